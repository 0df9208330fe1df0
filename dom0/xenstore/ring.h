#pragma once
// A domain's connection over its ring page (public io/xs_wire.h, xenstore-ring.txt).
//
// The page belongs to the domain as much as to us, so it is never believed: our two indices are kept here and
// in the journal and only copied into the page; the domain's two are read once each time and checked.
//
// Surviving kill -9 at any instruction, order matters:
//   input:   bytes are copied out of the ring, and the request is done in memory. The journal then takes its
//   effect,
//            its answer, and the consumer index behind it in one step. Only then the page's consumer index
//            moves. Dead before that step, the request is still in the ring and nothing has happened; dead
//            after it, resume() sets the page's index from the journal.
//   output:  bytes are copied into the ring beyond the producer index, where the domain doesn't look. The
//   journal then
//            takes the new producer index. Only then the page's index moves. Dead before that step, the same
//            bytes are copied to the same place again; dead after it, resume() publishes them.

#include <torii/abi/xenstore_wire.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "xenstore/connection.h"
#include "xenstore/ring_channel.h"
#include "xenstore/state_sink.h"
#include "xenstore/wire.h"

namespace torii::dom0::xenstore {

class DomainRing {
public:
    DomainRing(Connection& connection, const RingLocation& location)
        : connection_(&connection), location_(location) {}

    [[nodiscard]] DomId domain() const { return connection_->principal.domain; }
    [[nodiscard]] Connection& connection() const { return *connection_; }
    [[nodiscard]] const RingLocation& location() const { return location_; }
    [[nodiscard]] bool attached() const { return channel_ != nullptr; }
    [[nodiscard]] bool broken() const { return broken_; }
    [[nodiscard]] std::uint32_t consumed() const { return consumed_; }
    [[nodiscard]] std::uint32_t produced() const { return produced_; }
    [[nodiscard]] std::string_view partial_input() const { return input_.partial(); }

    // A domain's first connection: begins where the page's indices are.
    void attach(std::unique_ptr<RingChannel> channel);
    // After a restart: puts our indices into the page.
    void reattach(std::unique_ptr<RingChannel> channel);

    enum class Input { kNothing, kPart, kMessage, kBroken };
    // Takes bytes off the ring up to the end of the next message. The page's index does not move before
    // show_indices().
    [[nodiscard]] Input read();
    // Precondition: read() has said kMessage.
    [[nodiscard]] Message take_message() { return input_.take(); }
    // What the last read() took.
    [[nodiscard]] std::string_view last_read() const { return last_read_; }

    // Copies waiting output into the ring's free space; the number of bytes, which are no longer waiting
    // then. The page's index does not move before show_indices(). Sets `corrupt` if the domain's index makes
    // no sense.
    [[nodiscard]] std::uint32_t write(bool& corrupt);
    // Makes both of our indices visible to the domain.
    void show_indices();
    // The domain should look at its ring: remembered, so that several steps cost one event.
    void want_notify() { notify_wanted_ = true; }
    void notify_if_wanted() {
        if (std::exchange(notify_wanted_, false) && channel_) channel_->notify();
    }

    [[nodiscard]] bool reconnection_wanted() const;
    // Empties both directions: sets all four indices of the page to zero, and ours.
    void restart_indices();
    // Tells the domain that the connection works again.
    void show_connected();
    // Stops serving the ring; shows the reason in the page.
    void mark_broken(std::uint32_t reason);

    // From the journal.
    void restore_input(std::uint32_t consumed, std::string_view bytes);
    void restore_request_done(std::uint32_t consumed);
    void restore_output_sent(std::uint32_t produced) { produced_ = produced; }
    void restore_indices(std::uint32_t consumed, std::uint32_t produced, bool broken);

private:
    [[nodiscard]] abi::XenstoreRing& ring() const {
        return *static_cast<abi::XenstoreRing*>(channel_->page());
    }

    Connection* connection_;
    RingLocation location_;
    std::unique_ptr<RingChannel> channel_;
    MessageAssembler input_;
    std::string last_read_;
    std::uint32_t consumed_ = 0;  // the truth about req_cons
    std::uint32_t produced_ = 0;  // the truth about rsp_prod
    bool broken_ = false;
    bool notify_wanted_ = false;
};

}  // namespace torii::dom0::xenstore
