// The areas in a guest's memory where a vCPU finds its run state and a second copy of its clock (public
// vcpu.h). They are named by virtual address, so they can be written only while the vCPU's own address space
// is loaded.
#pragma once

#include "core/domain/domain.h"

namespace torii {

// `vcpu` is the current vCPU. Writes its run state to its area, if it registered one that is mapped.
void publish_runstate_area(Vcpu& vcpu);

// What every vCPU does when it comes to run, the first time too: completes the switch, publishes its run
// state.
void vcpu_arrives(Vcpu& vcpu);

}  // namespace torii
