#pragma once
// A service with the control domain's kernel and two guests, driven by fuzzed bytes, that can be killed and
// restarted.

#include <torii/abi/xenstore_wire.h>

#include <array>
#include <boost/asio/io_context.hpp>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "fuzz/input.h"
#include "xenstore/engine.h"

namespace torii::dom0::xenstore::fuzz {

using torii::fuzz::Input;

inline constexpr unsigned kGuests = 3;

class FuzzWorld {
public:
    explicit FuzzWorld(bool persistent);
    ~FuzzWorld();

    [[nodiscard]] static DomId domain(unsigned guest) { return DomId(static_cast<std::uint16_t>(guest * 4)); }
    [[nodiscard]] abi::XenstoreRing& ring(unsigned guest) {
        return *reinterpret_cast<abi::XenstoreRing*>(pages_[guest].bytes);
    }
    [[nodiscard]] Engine& engine() { return *engine_; }

    // Lets everything happen that is due.
    void run();
    // Abandons the service and starts another on its state, which must come out the same.
    void restart();
    // Puts a whole message into the ring and runs until it has one answer; aborts if it gets none or two.
    void exchange(unsigned guest, std::uint32_t type, std::uint32_t transaction, std::string_view payload);
    // Reads all that is in the answer ring; the answers among it are counted.
    unsigned drain(unsigned guest);
    // Aborts if the store's counts disagree with its content.
    void check();

private:
    struct Page {
        alignas(4096) unsigned char bytes[4096];
    };
    class Channel;

    void start();

    bool persistent_;
    std::filesystem::path directory_;
    std::array<Page, kGuests> pages_{};
    std::array<MessageAssembler, kGuests> answers_;
    std::unique_ptr<boost::asio::io_context> io_;
    std::unique_ptr<Engine> engine_;
};

}  // namespace torii::dom0::xenstore::fuzz
