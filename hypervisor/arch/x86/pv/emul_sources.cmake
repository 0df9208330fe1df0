# Pure code: built into the hypervisor and into host tests alike.
set(TORII_PV_EMUL_SOURCES
  ${CMAKE_CURRENT_LIST_DIR}/cpu_features.cpp
  ${CMAKE_CURRENT_LIST_DIR}/cpu_policy.cpp
  ${CMAKE_CURRENT_LIST_DIR}/decoder.cpp
  ${CMAKE_CURRENT_LIST_DIR}/emulate.cpp
  ${CMAKE_CURRENT_LIST_DIR}/emulate_store.cpp
  ${CMAKE_CURRENT_LIST_DIR}/descriptors.cpp
  ${CMAKE_CURRENT_LIST_DIR}/msr_policy.cpp
  ${CMAKE_CURRENT_LIST_DIR}/speculation.cpp)
