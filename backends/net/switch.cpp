#include "net/switch.h"

#include <utility>

namespace torii::backend::net {

namespace {

constexpr size_t kInboxFrames = 512;
constexpr size_t kInboxMemory = 4 << 20;

}  // namespace

// Frames on their way to a port, filled by any thread and emptied by the port's. It outlives the port while
// a message to that thread is under way.
struct Switch::Inbox : std::enable_shared_from_this<Inbox> {
    Inbox(IoLoop& of_port, PortUser& its_user) : loop(of_port), user(&its_user) {}

    bool put(FramePtr frame) {
        const std::lock_guard lock(mutex);
        if (closed || frames.size() >= kInboxFrames || memory + frame->memory() > kInboxMemory) return false;
        memory += frame->memory();
        frames.push_back(std::move(frame));
        if (frames.size() == 1) loop.post([self = shared_from_this()] { self->deliver(); });
        return true;
    }

    void deliver() {
        std::vector<FramePtr> arrived;
        {
            const std::lock_guard lock(mutex);
            arrived = std::exchange(frames, {});
            memory = 0;
            if (closed) return;
        }
        // On the port's thread, which is the one that closes.
        for (FramePtr& frame : arrived)
            user->receive(std::move(frame));
        user->burst_ended();
    }

    void close() {
        const std::lock_guard lock(mutex);
        closed = true;
        frames.clear();
    }

    IoLoop& loop;
    PortUser* const user;
    std::mutex mutex;
    std::vector<FramePtr> frames;
    size_t memory = 0;
    bool closed = false;
};

std::unique_ptr<SwitchPort> Switch::add_port(IoLoop& loop, PortUser& user, const MacAddress* fixed) {
    const std::lock_guard lock(mutex_);
    const uint32_t number = next_port_++;
    members_[number] = {std::make_shared<Inbox>(loop, user), 0};
    if (fixed != nullptr) {
        Known& entry = known_[fixed->number()];
        if (!entry.fixed && entry.port != 0) --members_[entry.port].learned;
        entry = {number, {}, true};
    }
    return std::unique_ptr<SwitchPort>(new SwitchPort(shared_from_this(), number, loop));
}

std::vector<Switch::Entry> Switch::table() const {
    const std::lock_guard lock(mutex_);
    std::vector<Entry> entries;
    for (const auto& [number, known] : known_) {
        Entry entry{{}, known.port, known.fixed};
        for (size_t index = 0; index < 6; ++index)
            entry.address.bytes[index] = static_cast<uint8_t>(number >> (8 * (5 - index)));
        entries.push_back(entry);
    }
    return entries;
}

size_t Switch::port_count() const {
    const std::lock_guard lock(mutex_);
    return members_.size();
}

bool Switch::forward(uint32_t from, FramePtr frame, std::chrono::nanoseconds now) {
    const auto destination = read_address<MacAddress>(frame->data());
    const auto source = read_address<MacAddress>(frame->data() + 6);
    std::vector<std::shared_ptr<Inbox>> targets;
    {
        const std::lock_guard lock(mutex_);
        forget_old(now);
        learn(from, source, now);
        const auto known = destination.multicast() ? known_.end() : known_.find(destination.number());
        if (known != known_.end()) {
            if (known->second.port == from) return false;
            targets.push_back(members_.at(known->second.port).inbox);
        } else {
            for (const auto& [number, member] : members_)
                if (number != from) targets.push_back(member.inbox);
        }
    }
    bool taken = false;
    for (size_t index = 0; index < targets.size(); ++index) {
        const bool last = index + 1 == targets.size();
        taken = targets[index]->put(last ? std::move(frame) : Frame::copy_of(*frame)) || taken;
    }
    return taken;
}

void Switch::learn(uint32_t port, const MacAddress& source, std::chrono::nanoseconds now) {
    if (source.multicast() || source.zero()) return;
    const auto found = known_.find(source.number());
    if (found != known_.end()) {
        Known& entry = found->second;
        if (entry.fixed) return;
        if (entry.port != port) {
            if (members_[port].learned >= kLearnedPerPort) return;
            --members_[entry.port].learned;
            ++members_[port].learned;
            entry.port = port;
        }
        entry.seen = now;
        return;
    }
    if (members_[port].learned >= kLearnedPerPort) return;
    ++members_[port].learned;
    known_[source.number()] = {port, now, false};
}

void Switch::forget_old(std::chrono::nanoseconds now) {
    if (now - swept_at_ < kForgetAfter / 10) return;
    swept_at_ = now;
    std::erase_if(known_, [&](const auto& entry) {
        const Known& known = entry.second;
        if (known.fixed || now - known.seen < kForgetAfter) return false;
        --members_[known.port].learned;
        return true;
    });
}

void Switch::remove_port(uint32_t port) {
    const std::lock_guard lock(mutex_);
    std::erase_if(known_, [port](const auto& entry) { return entry.second.port == port; });
    const auto member = members_.find(port);
    member->second.inbox->close();
    members_.erase(member);
}

SwitchPort::~SwitchPort() {
    network_->remove_port(number_);
}

bool SwitchPort::send(FramePtr frame) {
    return network_->forward(number_, std::move(frame), loop_.now());
}

}  // namespace torii::backend::net
