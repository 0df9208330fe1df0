#pragma once
// A xenstore service with domains that are nothing but a page in memory, and that can be killed and started
// again.

#include <torii/abi/xenstore_wire.h>

#include <boost/asio/io_context.hpp>
#include <cstdint>
#include <deque>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "xenstore/service.h"
#include "xenstore/wire.h"

namespace torii::dom0::xenstore::test {

using Type = abi::XenstoreMessage;

// The memory that a domain and the service share. Outlives any service.
struct SharedPage {
    alignas(4096) unsigned char bytes[4096] = {};
    unsigned notifications = 0;
    [[nodiscard]] abi::XenstoreRing& ring() { return *reinterpret_cast<abi::XenstoreRing*>(bytes); }
};

// A directory that goes away with the object.
class TemporaryDirectory {
public:
    TemporaryDirectory();
    ~TemporaryDirectory();
    TemporaryDirectory(const TemporaryDirectory&) = delete;
    TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
    [[nodiscard]] const std::filesystem::path& path() const { return path_; }

private:
    std::filesystem::path path_;
};

// Thrown by the fail-point hook: the daemon dies here.
struct Killed {};

class World;

// A domain's side of its ring: what Linux's xenbus code does, without interrupts.
class Guest {
public:
    Guest(World& world, DomId domain) : world_(world), domain_(domain) {}

    [[nodiscard]] DomId domain() const { return domain_; }
    [[nodiscard]] SharedPage& page() { return page_; }

    // Bytes into the request ring as far as there is room; gives how many went in.
    std::size_t push(std::string_view bytes);
    // All bytes of the answer ring, put together into messages.
    void pull();
    // What a guest may do between the death of one daemon and the start of the next: reads all that it can
    // see, and writes over every byte of the request ring that it has been told is free.
    void act_while_daemon_is_down();
    // Next complete answer or event, if one has arrived.
    std::optional<Message> next_answer();
    std::optional<Message> next_event();

    // Sends a request, letting the service run whenever the ring is full, without waiting for an answer.
    void send(Type type, std::string_view payload, std::uint32_t transaction = 0, std::uint32_t request = 0);
    // Sends a request and runs the service until its answer is there.
    Message call(Type type, std::string_view payload, std::uint32_t transaction = 0);
    // The same, as text: the payload of the answer, or "!EINVAL" for an error.
    std::string ask(Type type, std::string_view payload, std::uint32_t transaction = 0);

    // Shorthands; `path` without a zero byte.
    std::string read(std::string_view path, std::uint32_t transaction = 0);
    std::string write(std::string_view path, std::string_view value, std::uint32_t transaction = 0);
    std::string watch(std::string_view path, std::string_view token);
    std::uint32_t start();
    std::string end(std::uint32_t transaction, bool commit = true);
    // Events so far as "path|token", and forgets them.
    std::vector<std::string> events();

private:
    void sort_messages();

    World& world_;
    DomId domain_;
    SharedPage page_;
    MessageAssembler assembler_;
    std::deque<Message> answers_;
    std::deque<Message> events_;
    std::uint32_t last_request_ = 0;
};

class World {
public:
    struct Setup {
        Quota quota;
        bool persistent = false;
        std::string boot_id = "boot-1";
    };
    World() : World(Setup()) {}
    explicit World(Setup setup);
    ~World();

    [[nodiscard]] Service& service() { return *service_; }
    [[nodiscard]] LocalClient& client() { return service_->client(); }
    [[nodiscard]] const std::filesystem::path& directory() const { return directory_.path(); }
    [[nodiscard]] boost::asio::io_context& io() { return *io_; }

    // A new domain, introduced, with its own path that it may write below.
    Guest& add_guest(std::uint16_t id);
    // A domain that is not introduced yet.
    Guest& add_unconnected_guest(std::uint16_t id);
    void introduce(Guest& guest);

    // Tells the service of every domain's signals and lets it do all it has to do.
    void run();

    // The daemon dies, and a new one takes over. Without state directory everything is lost.
    void kill();
    void start();
    void restart() {
        kill();
        start();
    }
    void set_boot_id(const std::string& boot_id) { setup_.boot_id = boot_id; }

    // The service dies the `count`-th time it gets to `step`; run() then throws nothing but restarts it,
    // until cleared.
    void arm(std::string_view step, unsigned count);
    [[nodiscard]] unsigned kills() const { return kills_; }

    std::vector<std::string> log_lines;

private:
    void reach(std::string_view step);

    Setup setup_;
    TemporaryDirectory directory_;
    std::unique_ptr<boost::asio::io_context> io_;
    std::unique_ptr<Service> service_;
    std::map<DomId, std::unique_ptr<Guest>> guests_;
    std::string armed_step_;
    unsigned armed_count_ = 0;
    unsigned kills_ = 0;
};

// "a|b" becomes "a\0b\0".
[[nodiscard]] std::string zero_terminated(std::string_view text);
// The other way round.
[[nodiscard]] std::string with_bars(std::string_view payload);

}  // namespace torii::dom0::xenstore::test
