#pragma once
// A hypervisor of a few thousand frames in this process: enough of the control calls for the builder and the
// lifecycle to be tested as they are. Frames are real shared memory, so that what the builder writes through
// one mapping can be checked through another.

#include <torii/abi/domctl.h>
#include <torii/abi/errno.h>
#include <torii/abi/event_channel.h>
#include <torii/abi/memory.h>
#include <torii/abi/mmu.h>
#include <torii/abi/sysctl.h>

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "unit/dom0/kit/fake_cpus.h"
#include "xen/event_channels.h"
#include "xen/hypervisor.h"

namespace torii::dom0::test {

struct FakeDomain {
    uint16_t id = 0;
    Uuid handle{};
    bool paused = true;
    bool dying = false;
    bool shut_down = false;
    uint32_t shutdown_reason = 0;
    uint32_t vcpus = 0;
    uint64_t max_memory_kib = 0;
    std::map<uint64_t, uint64_t> frames;  // PFN to MFN
    uint64_t shared_info = 0;
    uint64_t grant_frame = 0;
    uint32_t next_port = 1;
    std::optional<abi::VcpuGuestContext> context;
    uint64_t pinned = 0;
    uint64_t hypercall_page = 0;
    std::optional<uint32_t> tsc_mode;
    std::string end_reason;  // empty: it ended by itself
};

class FakeHypervisor final : public PrivilegedCalls {
public:
    static constexpr uint64_t kFirstMfn = 0x1000;  // lower numbers are never valid

    explicit FakeHypervisor(uint64_t frames = 65536);
    ~FakeHypervisor() override;

    int64_t call(abi::Hypercall number, const std::array<uint64_t, 5>& arguments) override;
    OwnedMemory call_buffer(size_t bytes) override;
    ForeignMapping map_frames(DomId owner, std::span<const uint64_t> mfns) override;
    ForeignMapping map_resource(DomId owner, abi::ResourceType type, uint32_t id, uint32_t first,
                                uint32_t count) override;

    // --- For tests
    std::byte* frame(uint64_t mfn);
    FakeDomain& domain(uint16_t id) { return domains.at(id); }
    uint64_t free_frames() const { return free_.size(); }
    size_t writable_mappings_of(uint64_t mfn) const;
    size_t mappings() const { return mapping_count_; }
    // Adds a domain as if somebody had built it, with its ring frames; for lifecycle tests.
    FakeDomain& add_domain(const Uuid& handle, uint64_t pages);

    std::map<uint16_t, FakeDomain> domains;
    FakeCpus cpus{4};
    std::string log;
    // Fails the call of this number (counted from 1) with this error; 0: none.
    int64_t fail_call = 0;
    abi::Errno fail_error = abi::Errno::kENOMEM;
    int64_t calls_made = 0;
    bool no_large_extents = false;
    bool keep_dying = false;  // destroyed domains stay, as if others held their frames
    bool has_counters = true;
    bool keeps_end_reasons = true;         // as Torii, unlike Xen
    bool other_control_interface = false;  // as a version whose control calls are others
    std::string extra_version = ".0-torii";
    std::string changeset = "1234567";

private:
    int64_t domctl(abi::Domctl& request);
    int64_t version(uint64_t operation, uint64_t address) const;
    int64_t sysctl(abi::Sysctl& request);
    int64_t memory_op(uint64_t operation, uint64_t argument);
    int64_t tell_end_reason(const FakeDomain& domain, abi::Domctl& request);
    int64_t list_domains(abi::SysctlGetdomaininfolist& request);
    int64_t perfc(abi::SysctlPerfcOp& request);
    void describe(const FakeDomain& domain, abi::DomctlGetdomaininfo& info) const;
    std::optional<uint64_t> take_frame();
    bool take_run(uint64_t count, uint64_t& first);
    void release(FakeDomain& domain);
    bool owns(const FakeDomain& domain, uint64_t mfn) const;

    int memory_ = -1;
    uint64_t frame_count_;
    std::byte* view_ = nullptr;
    std::set<uint64_t> free_;
    std::multiset<uint64_t> mapped_;
    size_t mapping_count_ = 0;
    uint16_t next_id_ = 1;
};

// Event channels whose signals the test gives.
class FakeEventChannels final : public EventChannels {
public:
    struct Bound {
        DomId remote;
        Port remote_port;
        Handler handler;
    };

    Port bind_interdomain(DomId remote, Port remote_port, Handler handler) override;
    Port bind_virq(abi::Virq virq, Handler handler) override;
    void unbind(Port local) noexcept override { bound.erase(local.raw()); }
    void notify(Port local) noexcept override { notified[local.raw()]++; }

    void signal(DomId remote, Port remote_port);

    std::map<uint32_t, Bound> bound;
    std::map<uint32_t, int> notified;

private:
    uint32_t next_ = 1;
};

}  // namespace torii::dom0::test
