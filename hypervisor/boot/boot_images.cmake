# What runs at boot only: readers of what firmware and boot loader left, and the decompressors of kernel images. Included where
# `bare_flags` and `bare_includes` say how freestanding code is compiled; the linker script finds what belongs to them by the name
# of this target and of the archives.
#
#   target:    torii_boot_images (objects)
#   variable:  TORII_BOOT_ARCHIVES, to be linked behind them
add_library(torii_boot_images OBJECT
  ${CMAKE_CURRENT_LIST_DIR}/acpi_tables.cpp
  ${CMAKE_CURRENT_LIST_DIR}/efi_map.cpp
  ${CMAKE_CURRENT_LIST_DIR}/efi_table.cpp
  ${CMAKE_CURRENT_LIST_DIR}/libc_needs.cpp
  ${CMAKE_CURRENT_LIST_DIR}/memory_map.cpp
  ${CMAKE_CURRENT_LIST_DIR}/multiboot.cpp
  ${CMAKE_CURRENT_LIST_DIR}/unpack.cpp)
target_include_directories(torii_boot_images PRIVATE ${bare_includes})
target_compile_options(torii_boot_images PRIVATE ${bare_flags})

set(TORII_BOOT_ARCHIVES "")
foreach(library lzma zstd z lz4)
  find_library(TORII_BOOT_LIB_${library} NAMES lib${library}.a REQUIRED)
  list(APPEND TORII_BOOT_ARCHIVES ${TORII_BOOT_LIB_${library}})
endforeach()
