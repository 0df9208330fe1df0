#pragma once
// What all ways of cheating share: pages that are shown to a back end, how an outcome is told, and the order
// to stop.

#include <torii/guest/grants.h>
#include <torii/guest/memory.h>
#include <torii/guest/xenbus.h>

#include <cstdint>
#include <span>
#include <string_view>

namespace torii::cheat {

// What a shared page is filled with, and what the disk's image holds: no other byte has any business in a
// page that a back end could write to.
inline constexpr uint8_t kOurs = 0xA5;
inline constexpr uint8_t kImage = 'Z';

// A way of cheating; it connects as it needs to, and tells its outcome by told().
struct Way {
    std::string_view name;
    void (*run)();
};
std::span<const Way> block_requests();
std::span<const Way> block_connections();
std::span<const Way> net_packets();
std::span<const Way> net_connections();
std::span<const Way> floods();

// Requests by what was answered.
struct Answers {
    uint64_t okay = 0;
    uint64_t errors = 0;
    uint64_t unsupported = 0;  // of a frame: dropped
    uint64_t strange = 0;      // a status or an id that is nobody's
    uint64_t missing = 0;      // not in time
};

// The outcome of the way that runs, as one line on the console. `honest`: what came after it was served.
void told(const Answers& answers, bool honest);
void told_closed(std::string_view sentence);
void told_problem(std::string_view what);

// Has a line been typed at the console? Floods go on until then.
bool told_to_stop();

// A node of the frontend's directory.
struct Node {
    std::string_view name;
    std::string_view value;
};
// Writes `nodes`, each with the value of `instead` where that names it; then what only `instead` names.
void write_nodes(const guest::XenbusDevice& bus, std::span<const Node> nodes, std::span<const Node> instead);

// A page that dom0 may write to, and its grant.
struct SharedPage {
    guest::Page* page = nullptr;
    abi::RawGrantRef gref = 0;
    uint8_t* bytes() const { return reinterpret_cast<uint8_t*>(page); }
};
SharedPage share(bool read_only = false, abi::RawDomId with = 0);
void fill(const SharedPage& page, uint8_t byte = kOurs);
void end(SharedPage& page);
// Whether all its bytes from `from` on are kOurs.
bool untouched(const SharedPage& page, size_t from = 0);

// References that dom0 can do nothing with: never granted, beyond the table, granted to another domain; and
// one by which it can only read.
struct BadGrants {
    abi::RawGrantRef never = 0;
    abi::RawGrantRef beyond = 0xFFFF'FFFF;
    SharedPage of_another;
    SharedPage read_only;
};
BadGrants& bad_grants();

// A number as text, in memory of its own.
class Decimal {
public:
    explicit Decimal(uint64_t number) { text_.add(number); }
    std::string_view view() const { return text_.view(); }

private:
    guest::StoreText text_;
};

}  // namespace torii::cheat
