#pragma once
#include "common/file_descriptor.h"

namespace torii::dom0 {

using backend::FileDescriptor;

}  // namespace torii::dom0
