# add_host_test(NAME SOURCES file... [LIBRARIES library...])
# A program of GoogleTest under the host's sanitizers, and the test that runs it. What it tests it gets as libraries, which the
# sanitizers' presets instrument: each source is compiled once.
find_package(GTest REQUIRED)
find_package(Threads REQUIRED)
function(add_host_test name)
  cmake_parse_arguments(HOST "" "" "SOURCES;LIBRARIES" ${ARGN})
  add_executable(${name} ${HOST_SOURCES})
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR}/tests)
  target_compile_options(${name} PRIVATE -Wall -Wextra -Werror -Wno-unused-parameter ${TORII_HOST_SANITIZERS})
  target_link_options(${name} PRIVATE ${TORII_HOST_SANITIZERS})
  target_link_libraries(${name} PRIVATE ${HOST_LIBRARIES} GTest::gtest_main Threads::Threads)
  add_test(NAME ${name} COMMAND ${name})
endfunction()
