# The revision that the boot log and XENVER_changeset tell, and that toriid compares with its own; taken again when the checkout moves.
find_package(Git QUIET)
set(TORII_REVISION unknown)
# The time of the files in the package, so that the same content makes the same package: the commit's, or any that stays.
set(TORII_COMMIT_SECONDS 1704067200)
if(GIT_FOUND AND EXISTS ${CMAKE_SOURCE_DIR}/.git/logs/HEAD)
  execute_process(COMMAND ${GIT_EXECUTABLE} -C ${CMAKE_SOURCE_DIR} describe --always --dirty --abbrev=12
    OUTPUT_VARIABLE TORII_REVISION OUTPUT_STRIP_TRAILING_WHITESPACE)
  execute_process(COMMAND ${GIT_EXECUTABLE} -C ${CMAKE_SOURCE_DIR} log -1 --format=%ct
    OUTPUT_VARIABLE TORII_COMMIT_SECONDS OUTPUT_STRIP_TRAILING_WHITESPACE)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/.git/logs/HEAD)
endif()
