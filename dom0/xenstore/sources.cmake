# What the service is made of, for the library and for the tests, which build it with sanitizers.
set(TORII_XENSTORE_SOURCES
  engine.cpp engine_rings.cpp engine_state.cpp
  journal_file.cpp journal_records.cpp
  local_client.cpp
  output_queue.cpp
  path.cpp permissions.cpp
  refusal_log.cpp request.cpp request_domains.cpp ring.cpp
  service.cpp socket_server.cpp socket_session.cpp
  store.cpp store_events.cpp store_state.cpp
  transaction.cpp tree.cpp tree_access.cpp types.cpp
  watches.cpp wire.cpp)
list(TRANSFORM TORII_XENSTORE_SOURCES PREPEND ${CMAKE_CURRENT_LIST_DIR}/)
# Sources include from the root of dom0/; torii/failure.h lies in proto/.
set(TORII_XENSTORE_INCLUDES ${CMAKE_CURRENT_LIST_DIR}/.. ${CMAKE_CURRENT_LIST_DIR}/../proto ${CMAKE_CURRENT_LIST_DIR}/../../backends)
