#pragma once
// The back end's side of the conversation by which two ends of a device find each other in xenstore (public
// io/xenbus.h, and the state diagram of io/blkif.h). On the daemon's loop.
//
//   own state      while                          goes on when the frontend is
//   InitWait       offered, or connecting         Initialised or Connected: connect
//   Connected      its rings are served           Closing: own Closing, rings are served until it is Closed
//                                                 Closed, Initialising or gone: disconnect
//   Closing        failed, or detaching           Closed or gone: own Closed
//   Closed         disconnected                   Initialising: InitWait (it comes back: driver loaded again,
//                                                 or another kernel after kexec)
//
// A frontend is hostile: it may write any state at any time, as often as it likes. What it is when it is
// looked at counts; a state that is no number changes nothing.

#include <torii/abi/io/xenbus_state.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/device_store.h"

namespace torii::backend {

class XenbusPeer {
public:
    struct Actions {
        // The frontend has published its parameters: answer by connected() or failed(), now or later.
        std::function<void()> connect;
        // Let go of the rings: answer by disconnected(), now or later.
        std::function<void()> disconnect;
        // The device was detached; nothing follows. The peer may be destroyed after this, not inside.
        std::function<void()> gone;
        // Own state or phase changed.
        std::function<void()> changed;
    };
    enum class Phase {
        kIdle,           // neither offer() nor take_over() was called
        kOffered,        //
        kConnecting,     //
        kConnected,      //
        kDisconnecting,  //
        kLeft,           // disconnected; the frontend may come back
        kGone,
    };
    // Below the back end's directory.
    using Nodes = std::vector<std::pair<std::string, std::string>>;

    XenbusPeer(DeviceStore& store, std::string backend_path, std::string frontend_path, Actions actions);

    // Begins a device that has no rings: publishes the features and waits for the frontend.
    void offer(Nodes features);
    // Begins a device whose rings an earlier process left and this one serves already.
    void take_over(Nodes features, Nodes properties);

    // Answers. Properties become visible together with the state.
    void connected(Nodes properties);
    void disconnected();
    // The frontend's parameters are impossible, or it broke the protocol: closes, and leaves the sentence in
    // the node "error". When connected, disconnects first.
    void failed(const std::string& sentence);
    // Other properties, while connected: the state is written again, by which the frontend looks at them.
    void update(const Nodes& properties);

    // Detaches: asks the frontend to close and waits for it; with `force` it is not asked. May be called
    // again with `force`.
    void close(bool force);

    Phase phase() const { return phase_; }
    // Why this end closed, as failed() was told, also by an earlier process; empty since the frontend came
    // back.
    std::string problem() const;

    // What the frontend has written. Text: of at most `longest` characters, all printable. Numbers: decimal
    // and at most `most`. Nothing for anything else; ok to call for nodes that do not exist.
    std::optional<std::string> frontend_text(std::string_view name, size_t longest) const;
    std::optional<uint64_t> frontend_number(std::string_view name, uint64_t most) const;
    bool frontend_has(std::string_view name) const;

private:
    using State = abi::XenbusState;
    enum class Frontend { kAbsent, kStarting, kReady, kClosing, kClosed, kOther };

    void begin();
    void look();
    void look_connected(Frontend frontend);
    void look_left(Frontend frontend);
    void offer_again();
    void disconnect();
    void finish();
    void enter(Phase phase);
    void write(const Nodes& nodes, State state);
    Frontend frontend() const;
    std::optional<State> stored_state(const std::string& directory) const;

    DeviceStore& store_;
    std::string backend_path_;
    std::string frontend_path_;
    Actions actions_;
    Nodes features_;
    Phase phase_ = Phase::kIdle;
    State state_ = State::kUnknown;  // as last written
    bool detaching_ = false;
    bool forced_ = false;
    bool frontend_left_ = false;  // since this end closed, the frontend was seen not using it
    std::optional<std::string> failure_;
    std::unique_ptr<DeviceStore::Watch> watch_;
};

// A decimal number without sign or space, at most `most`.
std::optional<uint64_t> parse_number(std::string_view text, uint64_t most);

}  // namespace torii::backend
