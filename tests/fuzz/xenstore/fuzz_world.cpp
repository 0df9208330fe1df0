#include "fuzz_world.h"

#include <unistd.h>

#include <cstdio>
#include <cstdlib>

namespace torii::dom0::xenstore::fuzz {
namespace {

[[noreturn]] void fail(const std::string& what) {
    std::fprintf(stderr, "%s\n", what.c_str());
    std::abort();
}

// The state without its generations: a restored directory may count as changed later than it was, which
// clients must expect, but never the other way round.
class Comparable : public RecordWriter {
public:
    explicit Comparable(const std::string& state) {
        if (!replay_records(state, *this)) fail("the described state is malformed");
    }
    void node(std::string_view path, std::uint64_t, const Permissions& permissions,
              std::string_view value) override {
        RecordWriter::node(path, 0, permissions, value);
    }
};

// One directory for the process: making one per input would cost more than the input.
const std::filesystem::path& state_directory() {
    static const std::filesystem::path directory = [] {
        std::string name = "/dev/shm/xenstore-fuzz-XXXXXX";
        if (::mkdtemp(name.data()) == nullptr) fail("no temporary directory");
        std::atexit([] { std::filesystem::remove_all(state_directory()); });
        return std::filesystem::path(name);
    }();
    return directory;
}

}  // namespace

class FuzzWorld::Channel : public RingChannel {
public:
    explicit Channel(Page& page) : page_(page) {}
    void* page() noexcept override { return page_.bytes; }
    void notify() noexcept override {}

private:
    Page& page_;
};

FuzzWorld::FuzzWorld(bool persistent) : persistent_(persistent) {
    if (persistent_) {
        directory_ = state_directory();
        std::filesystem::remove(directory_ / "journal");
    }
    start();
    Connection& local = engine_->local();
    for (unsigned guest = 0; guest != kGuests; ++guest) {
        const std::string home = "/local/domain/" + std::to_string(domain(guest).raw());
        (void)engine_->store().write(local, 0, home, "");
        (void)engine_->store().set_permissions(local, 0, home, {{domain(guest), Access::kNone}});
        engine_->introduce(domain(guest), {}, std::make_unique<Channel>(pages_[guest]));
    }
}

FuzzWorld::~FuzzWorld() = default;

void FuzzWorld::start() {
    io_ = std::make_unique<boost::asio::io_context>();
    Options options;
    options.state_directory = directory_;
    options.boot_id = "fuzz";
    // Small, so that the limits are met.
    options.quota.nodes_per_domain = 20;
    options.quota.watches_per_domain = 6;
    options.quota.transactions_per_domain = 4;
    options.quota.nodes_per_transaction = 30;
    options.quota.pending_events = 70;
    engine_ = std::make_unique<Engine>(*io_, options);
}

void FuzzWorld::run() {
    for (unsigned guest = 0; guest != kGuests; ++guest)
        engine_->ring_signalled(domain(guest));
    io_->restart();
    io_->poll();
}

void FuzzWorld::restart() {
    if (!persistent_) return;
    const Comparable before(engine_->describe());
    engine_.reset();
    start();
    if (Comparable(engine_->describe()).bytes() != before.bytes()) fail("the restored state differs");
    for (unsigned guest = 0; guest != kGuests; ++guest) {
        if (engine_->is_domain_introduced(domain(guest))) {
            engine_->resume(domain(guest), std::make_unique<Channel>(pages_[guest]));
        }
    }
}

void FuzzWorld::exchange(unsigned guest, std::uint32_t type, std::uint32_t transaction,
                         std::string_view payload) {
    const std::string message =
        encode_message(static_cast<abi::XenstoreMessage>(type), 77, transaction, payload);
    abi::XenstoreRing& shared = ring(guest);
    unsigned answers = 0;
    std::size_t sent = 0;
    for (unsigned idle = 0; sent != message.size(); ++idle) {
        if (idle == 100) fail("a request is not taken off the ring");
        for (; sent != message.size() && shared.req_prod - shared.req_cons != abi::kXenstoreRingSize;
             ++sent) {
            shared.req[shared.req_prod % abi::kXenstoreRingSize] = static_cast<std::uint8_t>(message[sent]);
            ++shared.req_prod;
            idle = 0;
        }
        run();
        answers += drain(guest);
    }
    for (unsigned idle = 0; answers == 0; ++idle) {
        if (idle == 100) fail("a request is not answered");
        run();
        answers += drain(guest);
    }
    if (answers != 1) fail("a request is answered more than once");
}

unsigned FuzzWorld::drain(unsigned guest) {
    abi::XenstoreRing& shared = ring(guest);
    unsigned answers = 0;
    while (shared.rsp_cons != shared.rsp_prod) {
        const char byte = static_cast<char>(shared.rsp[shared.rsp_cons % abi::kXenstoreRingSize]);
        ++shared.rsp_cons;
        answers_[guest].add(std::string_view(&byte, 1));
        if (answers_[guest].broken()) fail("an answer is too long");
        if (!answers_[guest].complete()) continue;
        const Message message = answers_[guest].take();
        if (message.header.type != static_cast<std::uint32_t>(abi::XenstoreMessage::kWatchEvent)) ++answers;
    }
    return answers;
}

void FuzzWorld::check() {
    const std::string fault = engine_->store().check();
    if (!fault.empty()) fail(fault);
}

}  // namespace torii::dom0::xenstore::fuzz
