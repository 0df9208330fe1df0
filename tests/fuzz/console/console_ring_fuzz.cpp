// The daemon's end of a guest's console: a guest that writes and reads, and at times puts nonsense into the
// indices; a user who types; a daemon that is killed between any two steps and started again. As long as the
// guest keeps to the rules no byte is lost or doubled, in either direction; when it repairs the ring, that
// holds from there on.
#include <torii/ring/byte_ring.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "console/guest_console.h"
#include "fuzz/input.h"

namespace torii::dom0 {
namespace {

using fuzz::Input;

struct Killed {};

void require(bool condition, const char* what) {
    if (condition) return;
    std::fprintf(stderr, "%s\n", what);
    std::abort();
}

// One for the process: making one per input would cost more than the input.
const std::filesystem::path& folder() {
    static const std::filesystem::path made = [] {
        std::string name = "/dev/shm/console-fuzz-XXXXXX";
        require(::mkdtemp(name.data()) != nullptr, "no temporary directory");
        std::atexit([] { std::filesystem::remove_all(folder()); });
        return std::filesystem::path(name);
    }();
    return made;
}

class World {
public:
    explicit World(Input& input) : input_(input) {
        start(true);
        while (!input_.at_end())
            step();
        finish();
    }

private:
    void start(bool fresh) {
        console_.reset();
        ConsoleLogOptions options;
        options.file = folder() / "g.log";
        options.position_file = folder() / "g.console";
        options.fresh = fresh;
        GuestConsole::Wiring wiring;
        wiring.ring = &ring_;
        wiring.notify = [this] { notified_ = true; };
        wiring.call_again = [] {};
        wiring.fail_point = [this](std::string_view) {
            if (steps_to_live_ != 0 && --steps_to_live_ == 0) throw Killed();
        };
        wiring.name = "g";
        console_ = std::make_unique<GuestConsole>(wiring, std::make_unique<ConsoleLog>(options));
        console_->add_reader([this](auto bytes) { read_ += bytes.size(); });
    }

    // The guest's end.
    void guest_writes() {
        const std::string text =
            input_.choice(8) == 0 ? std::string(input_.word() % 3000, 'o') : input_.bytes(40);
        ring::ByteRingWriter out({ring_.out, abi::kConsoleOutSize, &ring_.out_cons, &ring_.out_prod});
        const uint32_t count = out.write({reinterpret_cast<const uint8_t*>(text.data()), text.size()});
        if (honest_) written_ += text.substr(0, count);
    }
    void guest_reads() {
        ring::ByteRingReader in({ring_.in, abi::kConsoleInSize, &ring_.in_cons, &ring_.in_prod});
        uint8_t buffer[abi::kConsoleInSize];
        const uint32_t count = in.read({buffer, abi::kConsoleInSize - input_.word() % abi::kConsoleInSize});
        if (honest_) got_.append(buffer, buffer + count);
    }
    void guest_meddles() {
        uint32_t* const indices[] = {&ring_.out_cons, &ring_.out_prod, &ring_.in_cons, &ring_.in_prod};
        uint32_t& index = *indices[input_.choice(4)];
        index = input_.choice(2) == 0 ? static_cast<uint32_t>(input_.number())
                                      : index + static_cast<uint32_t>(input_.word()) - 0x8000;
        honest_ = false;
    }
    // A ring that both sides agree on again. The daemon needn't have noticed that it was broken; it is
    // restarted, so that what waits for the guest is empty too.
    void guest_repairs() {
        ring_ = {};
        honest_ = true;
        written_.clear();
        got_.clear();
        typed_.clear();
        start(true);
    }

    void user_types() {
        const std::string text = input_.choice(8) == 0 ? std::string(input_.word(), 'i') : input_.bytes(30);
        const size_t count =
            console_->send_input({reinterpret_cast<const uint8_t*>(text.data()), text.size()});
        require(console_->waiting_input() <= 64 * 1024, "more waits than is allowed");
        typed_ += text.substr(0, count);
    }
    void serve() {
        const uint32_t before = ring_.out_prod - ring_.out_cons;
        notified_ = false;
        console_->service();
        require(!honest_ || before == 0 || notified_, "output was taken without a word to the guest");
    }
    // What was typed and waited in the daemon dies with it.
    void restart() {
        typed_.resize(typed_.size() - console_->waiting_input());
        start(false);
    }
    void serve_and_die() {
        steps_to_live_ = 1 + input_.choice(8);
        try {
            console_->service();
        } catch (const Killed&) {
            restart();
        }
        steps_to_live_ = 0;
    }

    void step() {
        const unsigned choice = input_.choice(64);
        if (choice < 20) return guest_writes();
        if (choice < 28) return guest_reads();
        if (choice < 36) return user_types();
        if (choice < 48) return serve();
        if (choice < 56) return serve_and_die();
        if (choice < 59) return restart();
        if (choice < 60) return console_->drain();
        if (choice < 62) return guest_repairs();
        guest_meddles();
    }

    void finish() {
        console_->drain();
        if (!honest_) return;
        for (unsigned i = 0; i < 2000 && got_.size() < typed_.size(); ++i) {
            serve();
            guest_reads();
        }
        require(got_ == typed_, "the guest didn't get what was typed");
        const std::string logged = read_console_log(folder() / "g.log", 1 << 24);
        // What was there before the guest last repaired the ring is in the log's predecessor.
        require(console_->log().total() == written_.size(), "the log's length isn't what was written");
        require(logged.ends_with(written_), "the log isn't what was written");
    }

    Input& input_;
    abi::ConsoleRing ring_{};
    std::unique_ptr<GuestConsole> console_;
    unsigned steps_to_live_ = 0;
    bool notified_ = false;
    bool honest_ = true;
    size_t read_ = 0;
    std::string written_;
    std::string got_;
    std::string typed_;
};

}  // namespace
}  // namespace torii::dom0

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    torii::fuzz::Input input(data, size);
    torii::dom0::World world(input);
    return 0;
}
