#include "common/xenbus_peer.h"

#include <algorithm>
#include <charconv>
#include <utility>

namespace torii::backend {

std::optional<uint64_t> parse_number(std::string_view text, uint64_t most) {
    uint64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size() || value > most) return std::nullopt;
    return value;
}

XenbusPeer::XenbusPeer(DeviceStore& store, std::string backend_path, std::string frontend_path,
                       Actions actions)
    : store_(store),
      backend_path_(std::move(backend_path)),
      frontend_path_(std::move(frontend_path)),
      actions_(std::move(actions)) {}

void XenbusPeer::offer(Nodes features) {
    features_ = std::move(features);
    const auto before = stored_state(backend_path_);
    const bool had_connected =
        before == State::kConnected || before == State::kClosing || before == State::kClosed;
    if (frontend() == Frontend::kReady && had_connected) {
        // An earlier process was about to close a connection that the frontend still believes in.
        write({}, State::kClosing);
        enter(Phase::kLeft);
    } else {
        offer_again();
    }
    begin();
}

void XenbusPeer::take_over(Nodes features, Nodes properties) {
    features_ = std::move(features);
    state_ = stored_state(backend_path_).value_or(State::kUnknown);
    enter(Phase::kConnected);
    // The earlier process may have died before it said so.
    if (state_ != State::kConnected && state_ != State::kClosing) write(properties, State::kConnected);
    begin();
}

void XenbusPeer::begin() {
    watch_ = store_.watch(frontend_path_ + "/state", [this] { look(); });
}

void XenbusPeer::connected(Nodes properties) {
    if (phase_ != Phase::kConnecting) return;
    write(properties, detaching_ ? State::kClosing : State::kConnected);
    enter(Phase::kConnected);
    if (detaching_ && forced_) return disconnect();
    look();
}

void XenbusPeer::disconnected() {
    if (phase_ != Phase::kDisconnecting) return;
    enter(Phase::kLeft);
    frontend_left_ = false;
    if (detaching_ && forced_) return finish();
    if (failure_) write({{"error", *std::exchange(failure_, std::nullopt)}}, State::kClosing);
    look();
}

void XenbusPeer::failed(const std::string& sentence) {
    if (phase_ == Phase::kConnected) {
        failure_ = sentence;
        return disconnect();
    }
    if (phase_ != Phase::kConnecting) return;
    enter(Phase::kLeft);
    frontend_left_ = false;
    write({{"error", sentence}}, State::kClosing);
    if (detaching_) return close(forced_);
    look();
}

std::string XenbusPeer::problem() const {
    return failure_ ? *failure_ : store_.read(backend_path_ + "/error").value_or("");
}

void XenbusPeer::update(const Nodes& properties) {
    if (phase_ == Phase::kConnected) write(properties, state_);
}

void XenbusPeer::close(bool force) {
    if (phase_ == Phase::kGone) return;
    forced_ = forced_ || force;
    const bool asked = std::exchange(detaching_, true);
    if (!asked && phase_ != Phase::kIdle) write({{"online", "0"}}, State::kClosing);
    switch (phase_) {
        case Phase::kConnecting:
        case Phase::kDisconnecting:
            return;  // goes on with the answer
        case Phase::kConnected:
            if (forced_) return disconnect();
            return look();
        default:
            if (forced_ || phase_ == Phase::kIdle) return finish();
            enter(Phase::kLeft);
            look();
    }
}

void XenbusPeer::look() {
    const Frontend now = frontend();
    if (now == Frontend::kOther) return;
    switch (phase_) {
        case Phase::kOffered:
            if (now == Frontend::kReady) {
                enter(Phase::kConnecting);
                return actions_.connect();
            }
            if (now == Frontend::kClosing || now == Frontend::kClosed) {
                enter(Phase::kLeft);
                frontend_left_ = true;
                look_left(now);
            }
            return;
        case Phase::kConnected:
            return look_connected(now);
        case Phase::kLeft:
            return look_left(now);
        default:
            return;
    }
}

void XenbusPeer::look_connected(Frontend now) {
    if (now == Frontend::kReady) return;
    if (now != Frontend::kClosing) return disconnect();
    // It may still use the rings while it closes.
    if (state_ != State::kClosing) write({}, State::kClosing);
}

void XenbusPeer::look_left(Frontend now) {
    const bool uses = now == Frontend::kReady || now == Frontend::kClosing;
    frontend_left_ = frontend_left_ || now != Frontend::kReady;
    if (detaching_) {
        if (!uses) finish();
        return;
    }
    if (now == Frontend::kStarting || (now == Frontend::kReady && frontend_left_)) {
        offer_again();
        return look();
    }
    if (now == Frontend::kClosing && state_ != State::kClosing) return write({}, State::kClosing);
    if (!uses && state_ != State::kClosed) write({}, State::kClosed);
}

void XenbusPeer::offer_again() {
    enter(Phase::kOffered);
    // Of an earlier connection.
    if (store_.read(backend_path_ + "/error")) store_.remove(backend_path_ + "/error");
    write(features_, State::kInitWait);
}

void XenbusPeer::disconnect() {
    enter(Phase::kDisconnecting);
    actions_.disconnect();
}

void XenbusPeer::finish() {
    watch_.reset();
    write({}, State::kClosed);
    enter(Phase::kGone);
    actions_.gone();
}

void XenbusPeer::enter(Phase phase) {
    phase_ = phase;
    if (actions_.changed) actions_.changed();
}

void XenbusPeer::write(const Nodes& nodes, State state) {
    Nodes absolute;
    for (const auto& [name, value] : nodes)
        absolute.emplace_back(backend_path_ + "/" + name, value);
    state_ = state;
    absolute.emplace_back(backend_path_ + "/state", std::to_string(static_cast<uint32_t>(state)));
    store_.write(absolute);
}

std::optional<abi::XenbusState> XenbusPeer::stored_state(const std::string& directory) const {
    const auto number = parse_number(store_.read(directory + "/state").value_or(""),
                                     static_cast<uint64_t>(State::kReconfigured));
    return number ? std::optional(static_cast<State>(*number)) : std::nullopt;
}

XenbusPeer::Frontend XenbusPeer::frontend() const {
    if (!store_.read(frontend_path_ + "/state")) return Frontend::kAbsent;
    switch (stored_state(frontend_path_).value_or(State::kReconfigured)) {
        case State::kInitialising:
            return Frontend::kStarting;
        case State::kInitialised:
        case State::kConnected:
            return Frontend::kReady;
        case State::kClosing:
            return Frontend::kClosing;
        case State::kClosed:
            return Frontend::kClosed;
        default:
            return Frontend::kOther;
    }
}

std::optional<std::string> XenbusPeer::frontend_text(std::string_view name, size_t longest) const {
    auto text = store_.read(frontend_path_ + "/" + std::string(name));
    const auto printable = [](unsigned char character) { return character >= 0x20 && character < 0x7F; };
    if (!text || text->size() > longest || !std::all_of(text->begin(), text->end(), printable))
        return std::nullopt;
    return text;
}

std::optional<uint64_t> XenbusPeer::frontend_number(std::string_view name, uint64_t most) const {
    const auto text = frontend_text(name, 20);
    return text ? parse_number(*text, most) : std::nullopt;
}

bool XenbusPeer::frontend_has(std::string_view name) const {
    return store_.read(frontend_path_ + "/" + std::string(name)).has_value();
}

}  // namespace torii::backend
