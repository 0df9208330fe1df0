// What a person may ask of the hypervisor by a single key (sysctl debug_keys).
#pragma once

namespace torii {

// Unknown keys are named in the log.
void handle_debug_key(char key);

}  // namespace torii
