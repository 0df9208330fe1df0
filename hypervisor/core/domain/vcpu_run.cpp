#include "core/domain/vcpu_run.h"

#include "core/domain/time.h"
#include "port/platform.h"

namespace torii {

void start_vcpu(Vcpu& vcpu) {
    if (vcpu.up.exchange(true)) return;
    publish_time(vcpu);
    sched_unpause(vcpu.unit);
}

void stop_vcpu_for_guest(Vcpu& vcpu) {
    if (!vcpu.up.exchange(false)) return;
    sched_pause(vcpu.unit);
    __atomic_fetch_or(&vcpu.entry.exit_work, kWorkStop, __ATOMIC_SEQ_CST);
    poke(vcpu);
}

}  // namespace torii
