# Targets of the network backend and its front end.
set(NET_WORLD
  ${PROJECT_SOURCE_DIR}/tests/unit/backends/kit/fake_guest.cpp
  ${PROJECT_SOURCE_DIR}/tests/unit/backends/kit/fake_io_loop.cpp
  ${PROJECT_SOURCE_DIR}/tests/unit/backends/kit/fake_store.cpp
  ${PROJECT_SOURCE_DIR}/tests/unit/backends/net/net_world.cpp
  ${PROJECT_SOURCE_DIR}/tests/unit/backends/net/packets.cpp
  ${TORII_NET_FRONT_SOURCES})
add_fuzz_target(net_request SOURCES net_request_fuzz.cpp LIBRARIES torii_backend_net)
add_fuzz_target(net_offload
  SOURCES net_offload_fuzz.cpp ${PROJECT_SOURCE_DIR}/tests/unit/backends/net/packets.cpp
  LIBRARIES torii_backend_net)
add_fuzz_target(net_front
  SOURCES net_front_fuzz.cpp ${TORII_NET_FRONT_SOURCES}
  INCLUDES ${PROJECT_SOURCE_DIR}/frontends)
add_fuzz_target(net_ring
  SOURCES net_ring_fuzz.cpp ${NET_WORLD}
  INCLUDES ${PROJECT_SOURCE_DIR}/frontends
  LIBRARIES torii_backend_net)
