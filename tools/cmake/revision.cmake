# The revision that the boot log and XENVER_changeset tell, and that toriid compares with its own; taken again when the checkout moves.
find_package(Git QUIET)
set(TORII_REVISION unknown)
if(GIT_FOUND AND EXISTS ${CMAKE_SOURCE_DIR}/.git/logs/HEAD)
  execute_process(COMMAND ${GIT_EXECUTABLE} -C ${CMAKE_SOURCE_DIR} describe --always --dirty --abbrev=12
    OUTPUT_VARIABLE TORII_REVISION OUTPUT_STRIP_TRAILING_WHITESPACE)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/.git/logs/HEAD)
endif()
