# Included once by the top CMakeLists.txt, before any part.
#   TORII_SANITIZE  host code under AddressSanitizer and UndefinedBehaviorSanitizer; a finding ends the test
#   TORII_SANITIZE_THREADS  the core of the hypervisor under ThreadSanitizer instead, for tests/threads
#   TORII_FUZZ      also build the fuzz targets (needs clang)
# A target that runs without an operating system sets its property TORII_FREESTANDING and gets none of it.
option(TORII_SANITIZE "Build host code with AddressSanitizer and UndefinedBehaviorSanitizer" OFF)
option(TORII_SANITIZE_THREADS "Build the core of the hypervisor, and the test of its threads, with ThreadSanitizer" OFF)
option(TORII_FUZZ "Build the libFuzzer targets" OFF)

define_property(TARGET PROPERTY TORII_FREESTANDING INHERITED
  BRIEF_DOCS "This target runs without an operating system, so without sanitizers")

if(TORII_SANITIZE)
  set(hosted "$<NOT:$<BOOL:$<TARGET_PROPERTY:TORII_FREESTANDING>>>")
  add_compile_options(
    "$<${hosted}:-fsanitize=address,undefined>"
    "$<${hosted}:-fno-sanitize-recover=all>"
    "$<${hosted}:-fno-omit-frame-pointer>")
  add_link_options("$<${hosted}:-fsanitize=address,undefined>")
endif()
# The core's host library has sanitizers in every build. GCC warns of fences, which ThreadSanitizer doesn't follow: those that
# there are order writes to guest memory, for guests to read.
set(TORII_HOST_SANITIZERS -fsanitize=address,undefined)
if(TORII_SANITIZE_THREADS)
  set(TORII_HOST_SANITIZERS -fsanitize=thread $<$<CXX_COMPILER_ID:GNU>:-Wno-tsan>)
endif()
if(TORII_FUZZ)
  add_compile_options("$<$<NOT:$<BOOL:$<TARGET_PROPERTY:TORII_FREESTANDING>>>:-fsanitize=fuzzer-no-link>")
endif()

# To be called after all parts are added: everything in these folders runs without an operating system.
function(mark_freestanding_folders)
  foreach(folder IN LISTS ARGN)
    if(EXISTS ${PROJECT_SOURCE_DIR}/${folder}/CMakeLists.txt)
      set_property(DIRECTORY ${PROJECT_SOURCE_DIR}/${folder} PROPERTY TORII_FREESTANDING ON)
    endif()
  endforeach()
endfunction()
