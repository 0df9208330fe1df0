#include "core/call/boot_options.h"

namespace torii {

constinit BootOptions boot_options{};

}  // namespace torii
