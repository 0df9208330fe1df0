#include "arch/x86/hw/speculation.h"

#include "arch/x86/hw/cpu_local.h"
#include "arch/x86/hw/registers.h"
#include "arch/x86/pv/pte.h"
#include "base/log.h"
#include "core/memory/machine_map.h"

namespace torii::hw {

constinit pv::SpeculationPlan speculation;

namespace {

const char* state_of(bool open, bool on) {
    if (on) return open ? "on" : "on, as asked";
    return open ? "OFF, as asked: this CPU is open to it" : "not needed";
}

}  // namespace

pv::HostCpuid read_host_cpuid() {
    return pv::HostCpuid::read([](uint32_t leaf, uint32_t subleaf) {
        const CpuidResult r = cpuid(leaf, subleaf);
        return pv::CpuidRegisters{r.a, r.b, r.c, r.d};
    });
}

void decide_speculation(const pv::SpeculationWishes& wishes) {
    const pv::HostCpuid host = read_host_cpuid();
    const uint64_t capabilities = pv::has_arch_capabilities(host) ? read_msr(kMsrArchCapabilities) : 0;
    const pv::SpeculationFacts facts = pv::speculation_facts(host, capabilities);
    speculation = pv::plan_speculation(facts, wishes);
    if (speculation.refuse_l1tf)
        pv::pte_limits.l1tf_unsafe_below = address_of(boot_memory_map.end_of_ram).raw();
    const char* barrier = "on";
    if (!speculation.prediction_barrier)
        barrier = facts.prediction_barrier ? "OFF, as asked" : "not offered by this CPU";
    log(LogLevel::kInfo, "speculation: isolated guests (Meltdown) {}; L1TF entries refused {}",
        state_of(facts.meltdown, speculation.isolate_guests), state_of(facts.l1tf, speculation.refuse_l1tf));
    log(LogLevel::kInfo, "speculation: IBPB between domains {}; guests' indices masked; compiled with {}",
        barrier, TORII_BRANCH_HARDENING);
}

void barrier_between(CpuLocal& cpu, const Vcpu& next) {
    if (!speculation.prediction_barrier || cpu.predictors_of == next.domain) return;
    cpu.predictors_of = next.domain;
    write_msr(kMsrPredictionCommand, kPredictionBarrier);
}

}  // namespace torii::hw
