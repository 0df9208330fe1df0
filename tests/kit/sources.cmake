# The kit of hosted domains, on the fake machine: for tests and fuzz targets that run the whole core.
set(TORII_HOSTED_SOURCES
  ${CMAKE_CURRENT_LIST_DIR}/hosted_domain.cpp
  ${CMAKE_CURRENT_LIST_DIR}/recount.cpp
  ${CMAKE_CURRENT_LIST_DIR}/../unit/core/grant/call_world.cpp
  ${CMAKE_CURRENT_LIST_DIR}/../fakes/fake_machine.cpp
  ${CMAKE_CURRENT_LIST_DIR}/../fakes/fake_cpus.cpp
  ${CMAKE_CURRENT_LIST_DIR}/../fakes/fake_platform.cpp
  ${CMAKE_CURRENT_LIST_DIR}/../fakes/fake_tlb.cpp)
set(TORII_RANDOM_WORLD_SOURCES
  ${CMAKE_CURRENT_LIST_DIR}/random/control.cpp
  ${CMAKE_CURRENT_LIST_DIR}/random/events.cpp
  ${CMAKE_CURRENT_LIST_DIR}/random/grants.cpp
  ${CMAKE_CURRENT_LIST_DIR}/random/memory.cpp
  ${CMAKE_CURRENT_LIST_DIR}/random/paging.cpp
  ${CMAKE_CURRENT_LIST_DIR}/random/registers.cpp
  ${CMAKE_CURRENT_LIST_DIR}/random/vcpus.cpp
  ${CMAKE_CURRENT_LIST_DIR}/random/world.cpp)
