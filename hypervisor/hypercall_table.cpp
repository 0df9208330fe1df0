// THE page: every hypercall, in the order of the public numbers.
#include "hypercall_table.h"

#include <torii/abi/hypercall_numbers.h>

#include "arch/x86/pv/handlers.h"
#include "core/call/handlers.h"

namespace torii {
namespace {

struct NumberedRow {
    abi::Hypercall number;
    HypercallRow row;
};

using abi::Hypercall;

// clang-format off
constexpr NumberedRow kRows[] = {
    {Hypercall::kSetTrapTable,      {pv::set_trap_table,    "set_trap_table", 1}},
    {Hypercall::kMmuUpdate,         {pv::mmu_update,        "mmu_update", 4}},
    {Hypercall::kSetGdt,            {pv::set_gdt,           "set_gdt", 2}},
    {Hypercall::kStackSwitch,       {pv::stack_switch,      "stack_switch", 2}},
    {Hypercall::kSetCallbacks,      {pv::set_callbacks,     "set_callbacks", 3}},
    {Hypercall::kFpuTaskswitch,     {pv::fpu_taskswitch,    "fpu_taskswitch", 1}},
    {Hypercall::kPlatformOp,        {call::platform_op,     "platform_op", 1, kPrivileged}},
    {Hypercall::kSetDebugreg,       {pv::set_debugreg,      "set_debugreg", 2}},
    {Hypercall::kGetDebugreg,       {pv::get_debugreg,      "get_debugreg", 1}},
    {Hypercall::kUpdateDescriptor,  {pv::update_descriptor, "update_descriptor", 2}},
    {Hypercall::kMemoryOp,          {call::memory_op,       "memory_op", 2}},
    {Hypercall::kMulticall,         {call::multicall,       "multicall", 2, kBatch}},
    {Hypercall::kUpdateVaMapping,   {pv::update_va_mapping, "update_va_mapping", 3}},
    {Hypercall::kSetTimerOp,        {call::set_timer_op,    "set_timer_op", 1}},
    {Hypercall::kXenVersion,        {call::xen_version,     "xen_version", 2}},
    {Hypercall::kConsoleIo,         {call::console_io,      "console_io", 3}},
    {Hypercall::kGrantTableOp,      {call::grant_table_op,  "grant_table_op", 3}},
    {Hypercall::kVmAssist,          {call::vm_assist,       "vm_assist", 2}},
    {Hypercall::kUpdateVaMappingOtherdomain,
                                    {pv::update_va_mapping_otherdomain, "update_va_mapping_otherdomain", 4}},
    {Hypercall::kIret,              {pv::iret,              "iret", 0, kWholeFrame}},
    {Hypercall::kVcpuOp,            {call::vcpu_op,         "vcpu_op", 3}},
    {Hypercall::kSetSegmentBase,    {pv::set_segment_base,  "set_segment_base", 2}},
    {Hypercall::kMmuextOp,          {pv::mmuext_op,         "mmuext_op", 4}},
    {Hypercall::kNmiOp,             {pv::nmi_op,            "nmi_op", 2}},
    {Hypercall::kSchedOp,           {call::sched_op,        "sched_op", 2}},
    {Hypercall::kCallbackOp,        {pv::callback_op,       "callback_op", 2}},
    {Hypercall::kEventChannelOp,    {call::event_channel_op, "event_channel_op", 2}},
    {Hypercall::kPhysdevOp,         {call::physdev_op,      "physdev_op", 2}},
    {Hypercall::kSysctl,            {call::sysctl,          "sysctl", 1, kPrivileged}},
    {Hypercall::kDomctl,            {call::domctl,          "domctl", 1, kPrivileged}},
    {Hypercall::kXenpmuOp,          {call::xenpmu_op,       "xenpmu_op", 2}},
    {Hypercall::kMca,               {call::mca,             "mca", 1, kPrivileged}},

    // Refused on purpose.
    // Forms that the calls without "compat" replaced in 2006 (public event_channel.h, physdev.h, sched.h); every kernel
    // that is still in use calls the new ones.
    {Hypercall::kSchedOpCompat,         {call::not_implemented,     "sched_op_compat", 2}},
    {Hypercall::kEventChannelOpCompat,  {call::not_implemented,     "event_channel_op_compat", 1}},
    {Hypercall::kPhysdevOpCompat,       {call::not_implemented,     "physdev_op_compat", 1}},
    // No loadable security policy: privilege.h is the policy.
    {Hypercall::kXsmOp,             {call::not_implemented, "xsm_op", 1}},
    // Profiling of the whole machine through a guest is a leak between domains.
    {Hypercall::kXenoprofOp,        {call::not_implemented, "xenoprof_op", 2}},
    // There are no hardware-virtualised guests.
    {Hypercall::kHvmOp,             {call::not_implemented, "hvm_op", 2}},
    {Hypercall::kDmOp,              {call::not_implemented, "dm_op", 3}},
    // The machine restarts through firmware only.
    {Hypercall::kKexecOp,           {call::not_implemented, "kexec_op", 2}},
    // Xen took transcendent memory out in 4.13.
    {Hypercall::kTmemOp,            {call::not_implemented, "tmem_op", 1}},
    // Domains talk through grants and events, which both sides must agree to.
    {Hypercall::kArgoOp,            {call::not_implemented, "argo_op", 5}},
    // Parameters are set at boot; domctl and sysctl change what may change later.
    {Hypercall::kHypfsOp,           {call::not_implemented, "hypfs_op", 5}},
};
// clang-format on

// Not constexpr: to reach it while the table is built is a compile error that shows its name.
void a_hypercall_number_stands_twice_in_the_table() {}

consteval HypercallTable build_table() {
    HypercallTable table{};
    std::array<bool, kCountedHypercalls> filled{};
    for (HypercallRow& row : table)
        row.handler = call::not_implemented;
    for (const NumberedRow& entry : kRows) {
        const auto number = static_cast<uint32_t>(entry.number);
        if (filled[number]) a_hypercall_number_stands_twice_in_the_table();
        filled[number] = true;
        table[number] = entry.row;
    }
    return table;
}

}  // namespace

constinit const HypercallTable hypercall_table = build_table();

}  // namespace torii
