#include "unit/backends/kit/fake_guest.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <torii/failure.h>
#include <unistd.h>

#include <cstring>
#include <stdexcept>
#include <string>

namespace torii::backend::test {
namespace {

Failure no(const std::string& what) {
    return Failure(ErrorCode::kHypercall, what);
}

void* or_throw(void* mapped) {
    if (mapped == MAP_FAILED) throw std::runtime_error("mmap in a test");
    return mapped;
}

class Mapping final : public GrantMapping {
public:
    Mapping(std::byte* at, std::vector<size_t*> counts) : at_(at), counts_(std::move(counts)) {}
    ~Mapping() override {
        ::munmap(at_, bytes().size());
        for (size_t* count : counts_)
            --*count;
    }
    std::span<std::byte> bytes() const override { return {at_, counts_.size() * kGuestPageSize}; }

private:
    std::byte* at_;
    std::vector<size_t*> counts_;  // in nodes of a map, which stay while they are mapped
};

}  // namespace

FakeGuest::FakeGuest(DomId id, size_t pages)
    : id_(id), page_count_(pages), file_(::memfd_create("guest", MFD_CLOEXEC)) {
    const size_t bytes = pages * kGuestPageSize;
    if (::ftruncate(file_.get(), static_cast<off_t>(bytes)) != 0) throw std::runtime_error("memfd in a test");
    pages_ = static_cast<std::byte*>(
        or_throw(::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file_.get(), 0)));
}

FakeGuest::~FakeGuest() {
    ::munmap(pages_, page_count_ * kGuestPageSize);
}

size_t FakeGuest::allocate_page() {
    if (untouched_ < page_count_) return untouched_++;
    if (free_.empty()) throw std::runtime_error("the fake guest has no page left");
    const size_t page = free_.back();
    free_.pop_back();
    return page;
}

GrantRef FakeGuest::grant(size_t page, bool writable) {
    const GrantRef gref(next_gref_++);
    grants_[gref] = {page, writable};
    return gref;
}

bool FakeGuest::end_grant(GrantRef gref) {
    const auto found = grants_.find(gref);
    if (found == grants_.end() || found->second.maps != 0) return false;
    grants_.erase(found);
    return true;
}

size_t FakeGuest::mapped() const {
    size_t count = 0;
    for (const auto& [gref, grant] : grants_)
        count += grant.maps;
    return count;
}

size_t FakeGuest::mapped(GrantRef gref) const {
    const auto found = grants_.find(gref);
    return found == grants_.end() ? 0 : found->second.maps;
}

Port FakeGuest::allocate_unbound() {
    const Port port(next_port_++);
    ports_[port] = {};
    return port;
}

bool FakeGuest::bound(Port port) const {
    const auto found = ports_.find(port);
    return found != ports_.end() && found->second.bound_to != nullptr;
}

void FakeGuest::notify(Port port) {
    const auto found = ports_.find(port);
    if (found == ports_.end() || found->second.bound_to == nullptr) return;
    found->second.bound_to->signalled(found->second.local);
}

size_t FakeGuest::take_signals(Port port) {
    const auto found = ports_.find(port);
    return found == ports_.end() ? 0 : std::exchange(found->second.signals, 0);
}

void FakeGuestMemory::copy(std::span<GrantCopySegment> segments) noexcept {
    ++copy_calls;
    for (GrantCopySegment& segment : segments) {
        if (while_copying) while_copying();
        const auto found = guest_.grants_.find(segment.gref);
        if (found == guest_.grants_.end()) {
            segment.status = abi::GrantStatus::kBadGntref;
        } else if (segment.offset + segment.length > kGuestPageSize) {
            segment.status = abi::GrantStatus::kBadCopyArg;
        } else if (segment.to_guest && !found->second.writable) {
            segment.status = abi::GrantStatus::kGeneralError;
        } else {
            std::byte* const bytes = guest_.page(found->second.page) + segment.offset;
            if (segment.to_guest) {
                std::memcpy(bytes, segment.local, segment.length);
            } else {
                std::memcpy(segment.local, bytes, segment.length);
            }
            segment.status = abi::GrantStatus::kOkay;
            ++copied_segments;
        }
    }
}

std::unique_ptr<GrantMapping> FakeGuestMemory::map(std::span<const GrantRef> grefs, bool writable) {
    ++map_calls;
    if (maps_until_failure && (*maps_until_failure)-- == 0) {
        maps_until_failure.reset();
        throw no("no more grants can be mapped");
    }
    std::vector<size_t*> counts;
    for (const GrantRef gref : grefs) {
        const auto found = guest_.grants_.find(gref);
        if (found == guest_.grants_.end() || (writable && !found->second.writable)) {
            throw no("grant " + std::to_string(gref.raw()) + " of domain " +
                     std::to_string(guest_.id().raw()) + " cannot be mapped");
        }
        counts.push_back(&found->second.maps);
    }
    const size_t bytes = grefs.size() * kGuestPageSize;
    auto* const at = static_cast<std::byte*>(
        or_throw(::mmap(nullptr, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)));
    const int protection = writable ? PROT_READ | PROT_WRITE : PROT_READ;
    for (size_t i = 0; i < grefs.size(); ++i) {
        const size_t page = guest_.grants_.at(grefs[i]).page;
        or_throw(::mmap(at + i * kGuestPageSize, kGuestPageSize, protection, MAP_SHARED | MAP_FIXED,
                        guest_.file_.get(), static_cast<off_t>(page * kGuestPageSize)));
        ++*counts[i];
    }
    return std::make_unique<Mapping>(at, std::move(counts));
}

FakeEventChannels::~FakeEventChannels() {
    *alive_ = false;
    while (!bindings_.empty())
        unbind(Port(bindings_.begin()->first));
}

Port FakeEventChannels::bind_interdomain(DomId remote, Port remote_port, Handler handler) {
    const auto guest = guests_.find(remote);
    if (guest == guests_.end()) throw no("no such domain");
    const auto end = guest->second->ports_.find(remote_port);
    if (end == guest->second->ports_.end() || end->second.bound_to != nullptr) {
        throw no("cannot bind to event channel " + std::to_string(remote_port.raw()));
    }
    const uint32_t local = next_local_++;
    end->second.bound_to = this;
    end->second.local = local;
    bindings_[local] = {guest->second, remote_port, std::move(handler)};
    return Port(local);
}

Port FakeEventChannels::bind_virq(abi::Virq, Handler) {
    throw no("the fake has no virtual interrupts");
}

void FakeEventChannels::unbind(Port local) noexcept {
    const auto found = bindings_.find(local.raw());
    if (found == bindings_.end()) return;
    const auto end = found->second.guest->ports_.find(found->second.remote);
    if (end != found->second.guest->ports_.end()) end->second.bound_to = nullptr;
    bindings_.erase(found);
}

void FakeEventChannels::notify(Port local) noexcept {
    const auto found = bindings_.find(local.raw());
    if (found == bindings_.end()) return;
    ++notifications;
    const auto end = found->second.guest->ports_.find(found->second.remote);
    if (end == found->second.guest->ports_.end()) return;
    ++end->second.signals;
    if (found->second.guest->on_signal) found->second.guest->on_signal(found->second.remote);
}

void FakeEventChannels::signalled(uint32_t local) {
    Binding& binding = bindings_.at(local);
    if (std::exchange(binding.pending, true)) return;
    post_([this, local, alive = alive_] {
        if (!*alive) return;
        const auto found = bindings_.find(local);
        if (found == bindings_.end()) return;
        found->second.pending = false;
        const Handler handler = found->second.handler;  // it may unbind itself
        handler();
    });
}

}  // namespace torii::backend::test
