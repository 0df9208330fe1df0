#include "lifecycle/console_connection.h"

#include <torii/failure.h>

#include <boost/asio/post.hpp>

#include "log/log.h"

namespace torii::dom0 {

ConsoleConnection::ConsoleConnection(boost::asio::io_context& context, Hypervisor& hypervisor,
                                     EventChannels& channels, const ConsolePlace& place,
                                     const FailPointHook& fail_point) {
    const uint64_t frame = place.frame.raw();
    ring_ = hypervisor.calls().map_frames(place.domain, std::span(&frame, 1));
    const auto service = [this] { console_->service(); };
    port_ = BoundPort(channels, channels.bind_interdomain(place.domain, place.port, service));
    GuestConsole::Wiring wiring;
    wiring.ring = reinterpret_cast<abi::ConsoleRing*>(ring_.data());
    wiring.notify = [this] { port_.notify(); };
    wiring.call_again = [this, &context, alive = std::weak_ptr<bool>(alive_)] {
        boost::asio::post(context, [this, alive] {
            if (!alive.expired()) console_->service();
        });
    };
    wiring.fail_point = fail_point;
    wiring.name = place.name;
    wiring.broken = place.broken;
    console_ = std::make_unique<GuestConsole>(std::move(wiring), std::make_unique<ConsoleLog>(place.log));
    try {
        pty_ = std::make_unique<Pty>(context,
                                     [this](std::span<const uint8_t> input) { console_->send_input(input); });
        console_->add_reader([this](std::span<const uint8_t> output) { pty_->write(output); });
    } catch (const Failure& failure) {
        log_warning("the console of {} has no terminal device: {}", place.name, failure.what());
    }
    // Signals sent before the port was bound are lost: look, and wake a guest that waits for room.
    console_->service();
    port_.notify();
}

ConsoleConnection::~ConsoleConnection() {
    const auto callbacks = std::move(end_callbacks_);
    for (const auto& [id, callback] : callbacks)
        callback();
}

uint64_t ConsoleConnection::on_end(std::function<void()> callback) {
    end_callbacks_.emplace(next_end_callback_, std::move(callback));
    return next_end_callback_++;
}

}  // namespace torii::dom0
