#pragma once
// One guest's console: its ring on one side, the log, a pty and any number of readers on the other.
//
// A byte leaves the ring when it is in the log, never before: the ring lives in the guest's memory and
// survives the daemon. Everything belongs to the event loop's thread.

#include <torii/abi/io/console.h>

#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>

#include "console/console_log.h"
#include "fail_point.h"

namespace torii::dom0 {

class GuestConsole {
public:
    struct Wiring {
        abi::ConsoleRing* ring = nullptr;  // shared with the guest, hostile
        std::function<void()> notify;      // wakes the guest
        std::function<void()> call_again;  // asks for another service() soon, from the event loop
        FailPointHook fail_point;
        std::string name;  // for messages
        // Told, once each time it begins, that the ring holds indices that no working guest leaves there.
        // Called from within service() and drain(): it must not touch this object. May be empty.
        std::function<void()> broken;
    };
    // Gets output as it arrives.
    using Reader = std::function<void(std::span<const uint8_t>)>;
    using ReaderId = uint64_t;

    GuestConsole(Wiring wiring, std::unique_ptr<ConsoleLog> log);

    // Moves output out and waiting input in. Call it once at the start (signals sent before are lost) and
    // after each event of the guest. Does a bounded amount of work.
    void service();

    // Moves out all that is in the ring; for a guest that has stopped.
    void drain();

    ReaderId add_reader(Reader reader);
    void remove_reader(ReaderId id) { readers_.erase(id); }
    size_t reader_count() const { return readers_.size(); }

    // Queues what fits for the guest and returns how many bytes that was.
    size_t send_input(std::span<const uint8_t> bytes);
    size_t waiting_input() const { return input_.size(); }

    ConsoleLog& log() { return *log_; }
    void rename(const std::string& name) { wiring_.name = name; }

private:
    void skip_logged_output();
    bool indices_are_possible();
    bool move_output();
    bool move_input();

    Wiring wiring_;
    std::unique_ptr<ConsoleLog> log_;
    std::map<ReaderId, Reader> readers_;
    ReaderId next_reader_ = 1;
    std::string input_;
    bool broken_ = false;
};

}  // namespace torii::dom0
