// Bringing a vCPU up and taking it down, as its own domain asks (public vcpu.h).
#pragma once

#include "core/domain/domain.h"

namespace torii {

// Domain's control lock held, or the domain not yet running. Nothing happens when it is up already.
void start_vcpu(Vcpu& vcpu);
// Domain's control lock held. The vCPU stops when its CPU next leaves the hypervisor.
void stop_vcpu_for_guest(Vcpu& vcpu);

}  // namespace torii
