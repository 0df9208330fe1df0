#pragma once
// A guest as a backend meets it: pages that it grants, event channels that it offers. Pages are real shared
// memory, so a mapping of a granted page is a second address of the same bytes, and using one after it was
// unmapped is a fault.
//
// The guest outlives the processes that serve it. A killed process is its FakeGuestMemory and its
// FakeEventChannels destroyed.

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "common/event_channels.h"
#include "common/file_descriptor.h"
#include "common/guest_memory.h"

namespace torii::backend::test {

class FakeGuest {
public:
    explicit FakeGuest(DomId id, size_t pages = 256);
    ~FakeGuest();
    FakeGuest(const FakeGuest&) = delete;
    FakeGuest& operator=(const FakeGuest&) = delete;

    DomId id() const { return id_; }
    std::byte* page(size_t number) { return pages_ + number * kGuestPageSize; }
    size_t page_count() const { return page_count_; }
    // A page that nobody has yet. Throws when there is none left.
    size_t allocate_page();
    // The page is allocated anew later.
    void free_page(size_t number) { free_.push_back(number); }

    GrantRef grant(size_t page, bool writable = true);
    // False while the grant is mapped: it then stays.
    bool end_grant(GrantRef gref);
    size_t grants() const { return grants_.size(); }
    // Mappings of all grants, and of one: leaks show here.
    size_t mapped() const;
    size_t mapped(GrantRef gref) const;

    // An event channel that any process of dom0 may bind.
    Port allocate_unbound();
    void close(Port port) { ports_.erase(port); }
    bool bound(Port port) const;
    // The guest signals; the bound process's handler is called from its loop.
    void notify(Port port);
    // Signals that came from dom0 since the last call.
    size_t take_signals(Port port);
    // Called with each of them, from inside the back end's notify(): it may only note or post something.
    std::function<void(Port)> on_signal;

private:
    friend class FakeGuestMemory;
    friend class FakeEventChannels;
    struct Grant {
        size_t page;
        bool writable;
        size_t maps = 0;
    };
    struct End {
        class FakeEventChannels* bound_to = nullptr;
        uint32_t local = 0;
        size_t signals = 0;
    };

    DomId id_;
    size_t page_count_;
    FileDescriptor file_;
    std::byte* pages_ = nullptr;
    std::vector<size_t> free_;
    size_t untouched_ = 0;
    std::map<GrantRef, Grant> grants_;
    uint32_t next_gref_ = 8;
    std::map<Port, End> ports_;
    uint32_t next_port_ = 3;
};

class FakeGuestMemory final : public GuestMemory {
public:
    explicit FakeGuestMemory(FakeGuest& guest) : guest_(guest) {}

    void copy(std::span<GrantCopySegment> segments) noexcept override;
    std::unique_ptr<GrantMapping> map(std::span<const GrantRef> grefs, bool writable) override;

    // Called between two copies of a batch and before the first: a guest that changes its pages meanwhile.
    std::function<void()> while_copying;
    size_t copy_calls = 0;
    size_t copied_segments = 0;
    size_t map_calls = 0;
    // As many successful map() calls until one fails.
    std::optional<size_t> maps_until_failure;

private:
    FakeGuest& guest_;
};

// The ports of one process on one loop. `post` runs an action from that loop.
class FakeEventChannels final : public EventChannels {
public:
    explicit FakeEventChannels(std::function<void(std::function<void()>)> post) : post_(std::move(post)) {}
    ~FakeEventChannels() override;

    // A process knows domains by number.
    void add_guest(FakeGuest& guest) { guests_[guest.id()] = &guest; }

    Port bind_interdomain(DomId remote, Port remote_port, Handler handler) override;
    Port bind_virq(abi::Virq virq, Handler handler) override;
    void unbind(Port local) noexcept override;
    void notify(Port local) noexcept override;

    size_t bound_ports() const { return bindings_.size(); }
    size_t notifications = 0;

private:
    friend class FakeGuest;
    struct Binding {
        FakeGuest* guest;
        Port remote;
        Handler handler;
        bool pending = false;
    };
    void signalled(uint32_t local);

    std::function<void(std::function<void()>)> post_;
    std::map<DomId, FakeGuest*> guests_;
    std::map<uint32_t, Binding> bindings_;
    uint32_t next_local_ = 1;
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace torii::backend::test
