#include "xenstore_kit.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

namespace torii::dom0::xenstore::test {
namespace {

class PageChannel : public RingChannel {
public:
    explicit PageChannel(SharedPage& page) : page_(page) {}
    void* page() noexcept override { return page_.bytes; }
    void notify() noexcept override { ++page_.notifications; }

private:
    SharedPage& page_;
};

}  // namespace

TemporaryDirectory::TemporaryDirectory() {
    std::string name = (std::filesystem::temp_directory_path() / "xenstore-test-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("mkdtemp");
    path_ = name;
}

TemporaryDirectory::~TemporaryDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
}

std::size_t Guest::push(std::string_view bytes) {
    abi::XenstoreRing& ring = page_.ring();
    const std::size_t room = abi::kXenstoreRingSize - (ring.req_prod - ring.req_cons);
    const std::size_t count = std::min(room, bytes.size());
    for (std::size_t i = 0; i != count; ++i) {
        ring.req[(ring.req_prod + i) % abi::kXenstoreRingSize] = static_cast<std::uint8_t>(bytes[i]);
    }
    ring.req_prod += static_cast<std::uint32_t>(count);
    return count;
}

void Guest::pull() {
    abi::XenstoreRing& ring = page_.ring();
    while (ring.rsp_cons != ring.rsp_prod) {
        const char byte = static_cast<char>(ring.rsp[ring.rsp_cons % abi::kXenstoreRingSize]);
        ++ring.rsp_cons;
        assembler_.add(std::string_view(&byte, 1));
        ASSERT_FALSE(assembler_.broken());
        if (assembler_.complete()) {
            Message message = assembler_.take();
            const bool is_event = message.header.type == static_cast<std::uint32_t>(Type::kWatchEvent);
            (is_event ? events_ : answers_).push_back(std::move(message));
        }
    }
}

void Guest::act_while_daemon_is_down() {
    pull();
    abi::XenstoreRing& ring = page_.ring();
    for (std::uint32_t at = ring.req_prod; at != ring.req_cons + abi::kXenstoreRingSize; ++at) {
        ring.req[at % abi::kXenstoreRingSize] = 0xEE;
    }
}

std::optional<Message> Guest::next_answer() {
    pull();
    if (answers_.empty()) return std::nullopt;
    Message message = std::move(answers_.front());
    answers_.pop_front();
    return message;
}

std::optional<Message> Guest::next_event() {
    pull();
    if (events_.empty()) return std::nullopt;
    Message message = std::move(events_.front());
    events_.pop_front();
    return message;
}

void Guest::send(Type type, std::string_view payload, std::uint32_t transaction, std::uint32_t request) {
    const std::string message = encode_message(type, request, transaction, payload);
    std::string_view rest = message;
    for (unsigned idle = 0; !rest.empty(); ++idle) {
        const std::size_t count = push(rest);
        rest.remove_prefix(count);
        if (count != 0) idle = 0;
        ASSERT_LT(idle, 1000u) << "the service does not take the request off the ring";
        world_.run();
    }
}

Message Guest::call(Type type, std::string_view payload, std::uint32_t transaction) {
    const std::uint32_t request = ++last_request_;
    send(type, payload, transaction, request);
    for (unsigned idle = 0; idle != 1000; ++idle) {
        if (auto answer = next_answer()) {
            EXPECT_EQ(answer->header.req_id, request);
            EXPECT_EQ(answer->header.tx_id, transaction);
            return *answer;
        }
        world_.run();
    }
    ADD_FAILURE() << "no answer to " << message_name(static_cast<std::uint32_t>(type));
    return {};
}

std::string Guest::ask(Type type, std::string_view payload, std::uint32_t transaction) {
    const Message answer = call(type, payload, transaction);
    if (answer.header.type == static_cast<std::uint32_t>(Type::kError))
        return '!' + std::string(answer.payload.c_str());
    EXPECT_EQ(answer.header.type, static_cast<std::uint32_t>(type));
    return answer.payload;
}

std::string Guest::read(std::string_view path, std::uint32_t transaction) {
    return ask(Type::kRead, std::string(path) + '\0', transaction);
}

std::string Guest::write(std::string_view path, std::string_view value, std::uint32_t transaction) {
    return with_bars(ask(Type::kWrite, std::string(path) + '\0' + std::string(value), transaction));
}

std::string Guest::watch(std::string_view path, std::string_view token) {
    return with_bars(ask(Type::kWatch, std::string(path) + '\0' + std::string(token) + '\0'));
}

std::uint32_t Guest::start() {
    return static_cast<std::uint32_t>(
        std::strtoul(ask(Type::kTransactionStart, zero_terminated("")).c_str(), nullptr, 10));
}

std::string Guest::end(std::uint32_t transaction, bool commit) {
    return with_bars(ask(Type::kTransactionEnd, zero_terminated(commit ? "T" : "F"), transaction));
}

std::vector<std::string> Guest::events() {
    world_.run();
    std::vector<std::string> result;
    for (unsigned idle = 0; idle < 3; ++idle) {
        while (const auto event = next_event()) {
            result.push_back(with_bars(event->payload));
            idle = 0;
        }
        world_.run();
    }
    return result;
}

World::World(Setup setup) : setup_(std::move(setup)) {
    start();
}

World::~World() = default;

Guest& World::add_unconnected_guest(std::uint16_t id) {
    auto& guest = guests_[DomId(id)];
    guest = std::make_unique<Guest>(*this, DomId(id));
    return *guest;
}

Guest& World::add_guest(std::uint16_t id) {
    Guest& guest = add_unconnected_guest(id);
    const std::string home = "/local/domain/" + std::to_string(id);
    client().write(home, "");
    client().set_permissions(home, {{DomId(id), Access::kNone}});
    introduce(guest);
    return guest;
}

void World::introduce(Guest& guest) {
    service_->introduce(guest.domain(), RingLocation{guest.domain().raw() * 100u, 7},
                        std::make_unique<PageChannel>(guest.page()));
}

void World::run() {
    try {
        for (const auto& [domain, guest] : guests_)
            service_->ring_signalled(domain);
        io_->restart();
        io_->poll();
    } catch (const Killed&) {
        ++kills_;
        kill();
        for (const auto& [domain, guest] : guests_) {
            guest->act_while_daemon_is_down();
        }
        start();
    }
}

void World::kill() {
    service_.reset();
    io_.reset();
}

void World::start() {
    io_ = std::make_unique<boost::asio::io_context>();
    Options options;
    options.quota = setup_.quota;
    if (setup_.persistent) options.state_directory = directory_.path() / "state";
    options.boot_id = setup_.boot_id;
    options.socket_directory = directory_.path();
    options.fail_point = [this](std::string_view step) { reach(step); };
    options.log = [this](LogSeverity, std::string_view line) { log_lines.emplace_back(line); };
    // A daemon may die again while it takes over.
    while (true) {
        try {
            service_ = std::make_unique<Service>(*io_, options);
            for (const RestoredDomain& restored : service_->restored_domains()) {
                const auto guest = guests_.find(restored.domain);
                if (guest == guests_.end()) {
                    service_->release(restored.domain);
                } else {
                    service_->resume(restored.domain, std::make_unique<PageChannel>(guest->second->page()));
                }
            }
            return;
        } catch (const Killed&) {
            ++kills_;
            service_.reset();
            for (const auto& [domain, guest] : guests_)
                guest->act_while_daemon_is_down();
            io_ = std::make_unique<boost::asio::io_context>();
        }
    }
}

void World::arm(std::string_view step, unsigned count) {
    armed_step_ = step;
    armed_count_ = count;
}

void World::reach(std::string_view step) {
    if (armed_count_ == 0 || step != armed_step_) return;
    if (--armed_count_ == 0) throw Killed();
}

std::string zero_terminated(std::string_view text) {
    std::string payload(text);
    std::replace(payload.begin(), payload.end(), '|', '\0');
    return payload + '\0';
}

std::string with_bars(std::string_view payload) {
    std::string text(payload);
    if (text.ends_with('\0')) text.pop_back();
    std::replace(text.begin(), text.end(), '\0', '|');
    return text;
}

}  // namespace torii::dom0::xenstore::test
