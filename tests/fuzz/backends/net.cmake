# Targets of the network backend and its front end.
set(NET_TESTS ${PROJECT_SOURCE_DIR}/tests/unit/backends/net)
add_fuzz_target(net_request SOURCES net_request_fuzz.cpp LIBRARIES torii_backend_net)
add_fuzz_target(net_offload SOURCES net_offload_fuzz.cpp ${NET_TESTS}/packets.cpp LIBRARIES torii_backend_net)
add_fuzz_target(net_front SOURCES net_front_fuzz.cpp LIBRARIES torii_frontend_drivers)
add_fuzz_target(net_ring
  SOURCES net_ring_fuzz.cpp ${NET_TESTS}/net_world.cpp ${NET_TESTS}/packets.cpp
  LIBRARIES torii_backend_net torii_backend_kit torii_frontend_drivers)
