#pragma once
// What systemd, if it has started this program, wants to hear, and what it has opened for it (sd-daemon(3)).

#include <filesystem>

#include "xen/file_descriptor.h"

namespace torii::dom0 {

// Without such a supervisor nothing happens.
void tell_supervisor(const char* state);

// The socket that listens at `path`, from a supervisor that opens it; invalid if there is none. A second call
// finds none. Throws Failure (kInvalidArgument) if what was handed over listens elsewhere.
FileDescriptor inherited_socket(const std::filesystem::path& path);

}  // namespace torii::dom0
