#pragma once
// A block device's both ends in one process: a guest with the kit's front end, and a daemon's process with
// the back end, which may be killed and started again. The disk lies in memory.

#include <memory>
#include <string>
#include <vector>

#include "block/block_device.h"
#include "block/engine_file.h"
#include "drivers/block_front.h"
#include "unit/backends/kit/fake_guest.h"
#include "unit/backends/kit/fake_io_loop.h"
#include "unit/backends/kit/fake_store.h"
#include "unit/backends/kit/temporary_file.h"

namespace torii::backend::test {

struct Killed {};

inline constexpr char kBackend[] = "/local/domain/0/backend/torii-vbd/5/51712";
inline constexpr char kFrontend[] = "/local/domain/5/device/vbd/51712";

// The daemon's process: everything that dies when it is killed.
class Process final : public DeviceThread {
public:
    explicit Process(FakeGuest& guest)
        : guest_(guest), channels_([this](auto action) { loop_.post(action); }) {
        channels_.add_guest(guest);
    }

    FakeIoLoop& loop() override { return loop_; }
    FakeEventChannels& event_channels() override { return channels_; }
    std::unique_ptr<GuestMemory> open_memory(DomId) override {
        auto memory = std::make_unique<FakeGuestMemory>(guest_);
        memory->while_copying = while_copying;
        memory->maps_until_failure = std::exchange(maps_until_failure, std::nullopt);
        this->memory = memory.get();
        return memory;
    }
    FakeGuestMemory* memory = nullptr;  // the last one opened
    std::function<void()> while_copying;
    std::optional<size_t> maps_until_failure;

    // The daemon's own loop.
    std::deque<std::function<void()>> control;
    bool run_control() {
        bool any = false;
        while (!control.empty()) {
            const auto action = std::move(control.front());
            control.pop_front();
            action();
            any = true;
        }
        return any;
    }

private:
    FakeGuest& guest_;
    FakeEventChannels channels_;
    FakeIoLoop loop_;
};

// The guest's end: its ring or rings, and pages for data.
class Guest {
public:
    struct Ring {
        std::vector<size_t> pages;
        std::vector<GrantRef> grefs;
        Port port;
        std::vector<guest::BlockFront::Shadow> shadows;
        std::unique_ptr<guest::BlockFront> front;
    };
    struct Page {
        size_t number;
        GrantRef gref;
    };

    explicit Guest(FakeGuest& fake, FakeStore& store) : fake_(fake), store_(store) {}

    // What a frontend does when the back end waits for it.
    void publish(unsigned rings = 1, unsigned order = 0, bool persistent = false);
    // Takes its rings away again.
    void forget();
    Page page(bool writable = true) {
        const size_t number = fake_.allocate_page();
        return {number, fake_.grant(number, writable)};
    }
    std::byte* bytes(const Page& page) { return fake_.page(page.number); }
    void set_state(int state) { store_.set(std::string(kFrontend) + "/state", std::to_string(state)); }

    // Puts what was put before the back end.
    void kick(size_t ring = 0) {
        if (rings[ring].front->publish()) fake_.notify(rings[ring].port);
    }

    std::vector<Ring> rings;
    guest::BlockFront& front(size_t ring = 0) { return *rings[ring].front; }

private:
    FakeGuest& fake_;
    FakeStore& store_;
};

class BlockWorld {
public:
    explicit BlockWorld(size_t disk_bytes = size_t{1} << 20)
        : disk(std::make_shared<FakeFile>(disk_bytes)), guest(fake, store) {
        config.guest = fake.id();
        config.backend_path = kBackend;
        config.frontend_path = kFrontend;
        config.state_file = folder.file("state");
        config.fail_point = [this](std::string_view step) {
            if (on_step) on_step(step);
        };
        geometry.bytes = disk_bytes;
        geometry.can_discard = true;
        geometry.discard_granularity = 4096;
    }
    ~BlockWorld();

    // A daemon, with the device attached.
    void start();
    // Ends without a last word. Outstanding operations take effect or do not.
    void kill(std::mt19937& random);
    // Ends as a daemon that is exchanged does: what is under way ends first.
    void detach_process();
    // Everything that can go on does, in order, or in any.
    void settle(std::mt19937* random = nullptr);
    // start(), and a frontend that connects.
    void connect(unsigned rings = 1, unsigned order = 0, bool persistent = false);
    std::string back(const std::string& node) { return store.get(std::string(kBackend) + "/" + node); }
    BlockDevice& device() { return *device_; }
    bool attached() const { return device_ != nullptr; }

    // One request and its answer.
    abi::BlockStatus answer_to(uint64_t token, size_t ring = 0);

    TemporaryFolder folder{"/dev/shm"};
    FakeGuest fake{DomId(5), 2048};
    FakeStore store;
    std::shared_ptr<FakeFile> disk;
    BlockGeometry geometry;
    BlockConfig config;
    Guest guest;
    std::function<void(std::string_view)> on_step;
    std::shared_ptr<Process> process;
    std::vector<std::string> troubles;
    std::vector<std::string> closed;
    std::vector<BlockState> states;
    bool lock_free = true;  // whether the image's lock can be had

private:
    std::unique_ptr<BlockDevice> device_;
};

}  // namespace torii::backend::test
