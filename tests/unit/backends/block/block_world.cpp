#include "unit/backends/block/block_world.h"

#include <gtest/gtest.h>

namespace torii::backend::test {
namespace {

constexpr int kFile = 3;

}  // namespace

void Guest::publish(unsigned count, unsigned order, bool persistent) {
    const std::string base = kFrontend;
    std::vector<std::pair<std::string, std::string>> nodes;
    rings.clear();
    for (unsigned i = 0; i < count; ++i) {
        Ring& ring = rings.emplace_back();
        const std::string prefix = base + (count > 1 ? "/queue-" + std::to_string(i) : "") + "/";
        // Neighbours, so that the ring is one piece of memory.
        ring.pages.resize(size_t{1} << order);
        for (size_t& page : ring.pages)
            page = fake_.allocate_page();
        for (size_t page = 0; page < ring.pages.size(); ++page) {
            EXPECT_EQ(ring.pages[page], ring.pages[0] + page) << "the test's guest is out of fresh pages";
            ring.grefs.push_back(fake_.grant(ring.pages[page]));
            const std::string name = order == 0 ? "ring-ref" : "ring-ref" + std::to_string(page);
            nodes.emplace_back(prefix + name, std::to_string(ring.grefs.back().raw()));
        }
        ring.port = fake_.allocate_unbound();
        nodes.emplace_back(prefix + "event-channel", std::to_string(ring.port.raw()));
        const std::span memory(fake_.page(ring.pages[0]), ring.pages.size() * kGuestPageSize);
        ring.shadows.resize(guest::BlockFront::entries(memory.size()));
        for (auto& shadow : ring.shadows) {
            const size_t page = fake_.allocate_page();
            shadow.descriptors = reinterpret_cast<abi::BlockSegment*>(fake_.page(page));
            shadow.descriptors_gref = fake_.grant(page).raw();
        }
        ring.front = std::make_unique<guest::BlockFront>(memory, ring.shadows);
        ring.front->set_most_indirect(256);
    }
    if (count > 1) nodes.emplace_back(base + "/multi-queue-num-queues", std::to_string(count));
    if (order > 0) nodes.emplace_back(base + "/ring-page-order", std::to_string(order));
    nodes.emplace_back(base + "/protocol", abi::kBlockProtocol64);
    nodes.emplace_back(base + "/feature-persistent", persistent ? "1" : "0");
    nodes.emplace_back(base + "/state", "3");
    store_.write(nodes);
}

void Guest::forget() {
    for (Ring& ring : rings) {
        for (const GrantRef gref : ring.grefs)
            EXPECT_TRUE(fake_.end_grant(gref)) << "the ring is still mapped";
        fake_.close(ring.port);
    }
    rings.clear();
}

BlockWorld::~BlockWorld() {
    device_.reset();
    on_step = nullptr;
    if (process) settle();
}

void BlockWorld::start() {
    process = std::make_shared<Process>(fake);
    process->loop().add_file(kFile, disk);
    BlockDevice::Events events;
    events.trouble = [this](const std::string& sentence) { troubles.push_back(sentence); };
    events.closed = [this](const std::string& problem) { closed.push_back(problem); };
    events.state_changed = [this](BlockState state) { states.push_back(state); };
    const auto post = [weak = std::weak_ptr(process)](std::function<void()> action) {
        if (const auto process = weak.lock()) process->control.push_back(std::move(action));
    };
    auto engine =
        std::make_unique<FileEngine>(process->loop(), kFile, geometry, [this] { return lock_free; });
    device_ = std::make_unique<BlockDevice>(config, process, std::move(engine), store, post, events);
}

void BlockWorld::kill(std::mt19937& random) {
    // Nothing that runs now may reach the guest or the disk: a killed process runs no destructors.
    on_step = nullptr;
    process->loop().abandon(random);
    process->control.clear();
    device_.reset();
    process->loop().abandon(random);
    process.reset();
}

void BlockWorld::detach_process() {
    device_.reset();
    settle();
    EXPECT_EQ(process.use_count(), 1) << "a part of the device is still there";
    process.reset();
}

void BlockWorld::settle(std::mt19937* random) {
    for (unsigned i = 0; i < 100'000; ++i) {
        bool any = store.run();
        any = process->run_control() || any;
        if (random != nullptr) {
            any = process->loop().run(1) || any;
            const size_t outstanding = process->loop().outstanding();
            if (outstanding != 0 && (*random)() % 3 == 0) process->loop().complete((*random)() % outstanding);
            any = any || outstanding != 0;
        } else {
            any = process->loop().run() || any;
            if (process->loop().outstanding() != 0) {
                process->loop().complete();
                any = true;
            }
        }
        if (any) continue;
        // Timers that are due at once; others are the test's to advance.
        const size_t timers = process->loop().timers();
        process->loop().advance(std::chrono::nanoseconds(0));
        if (process->loop().timers() == timers) return;
    }
    FAIL() << "it never comes to rest";
}

void BlockWorld::connect(unsigned rings, unsigned order, bool persistent) {
    start();
    guest.set_state(1);
    settle();
    ASSERT_EQ(back("state"), "2");
    guest.publish(rings, order, persistent);
    settle();
    ASSERT_EQ(back("state"), "4");
    guest.set_state(4);
    settle();
}

abi::BlockStatus BlockWorld::answer_to(uint64_t token, size_t ring) {
    guest.kick(ring);
    settle();
    const auto answer = guest.front(ring).next();
    EXPECT_TRUE(answer.has_value()) << "no answer";
    if (!answer) return abi::BlockStatus::kError;
    EXPECT_EQ(answer->token, token);
    return answer->status;
}

}  // namespace torii::backend::test
