// A domain that cheats the back ends of its devices, in the ways that its command line names
// (`ways=NAME:NAME:...`), one after the other. Of each it says on its console what came of it, then "NAME
// done", and waits for a line before the next.
//
// Its devices: disk 51712, all of whose bytes are 'Z', whose requests stay in the first MiB; card 0 behind a
// NAT; for floods also card 1, at a switch.

#include <torii/guest/console.h>
#include <torii/guest/events.h>
#include <torii/guest/start.h>

#include <atomic>

#include "cheat.h"

namespace torii::cheat {

namespace {

constexpr uint64_t kLookEveryNs = 10'000'000;
constexpr abi::RawDomId kNobody = 0x7000;

std::string_view g_way;

const Way* find(std::string_view name) {
    for (const auto ways :
         {block_requests(), block_connections(), net_packets(), net_connections(), floods()}) {
        for (const Way& way : ways)
            if (way.name == name) return &way;
    }
    return nullptr;
}

void run(std::string_view name) {
    g_way = name;
    const Way* const way = find(name);
    if (way == nullptr) {
        told_problem("no such way");
    } else {
        way->run();
    }
    guest::print("{} done\n", name);
    while (!told_to_stop())
        guest::wait_until([](void*) { return false; }, nullptr, kLookEveryNs);
}

std::string_view value_of(const Node& node, std::span<const Node> instead) {
    for (const Node& other : instead)
        if (other.name == node.name) return other.value;
    return node.value;
}

bool names(std::span<const Node> nodes, std::string_view name) {
    for (const Node& node : nodes)
        if (node.name == name) return true;
    return false;
}

}  // namespace

void told(const Answers& answers, bool honest) {
    guest::print("{}: {} okay, {} errors, {} unsupported, {} strange, {} missing; then {}\n", g_way,
                 answers.okay, answers.errors, answers.unsupported, answers.strange, answers.missing,
                 honest ? "served" : "NOT SERVED");
}
void told_closed(std::string_view sentence) {
    guest::print("{}: closed: {}\n", g_way, sentence);
}
void told_problem(std::string_view what) {
    guest::print("{}: PROBLEM: {}\n", g_way, what);
}

bool told_to_stop() {
    char character = 0;
    return guest::read_console({&character, 1}) == 1 && character == '\n';
}

void write_nodes(const guest::XenbusDevice& bus, std::span<const Node> nodes, std::span<const Node> instead) {
    for (const Node& node : nodes)
        bus.write(node.name, value_of(node, instead));
    for (const Node& node : instead)
        if (!names(nodes, node.name)) bus.write(node.name, node.value);
}

SharedPage share(bool read_only, abi::RawDomId with) {
    SharedPage shared{guest::allocate_page(), guest::allocate_grant_ref()};
    fill(shared);
    guest::grant_access(shared.gref, with, guest::mfn_of(shared.page), read_only);
    return shared;
}

void fill(const SharedPage& page, uint8_t byte) {
    __builtin_memset(page.bytes(), byte, abi::kPageSize);
}

bool untouched(const SharedPage& page, size_t from) {
    for (size_t at = from; at < abi::kPageSize; ++at)
        if (page.bytes()[at] != kOurs) return false;
    return true;
}

void end(SharedPage& page) {
    if (page.page == nullptr) return;
    if (guest::end_access(page.gref)) {
        guest::free_grant_ref(page.gref);
        guest::free_page(page.page);
    } else {
        told_problem("a page that was shared is still in use");
    }
    page = {};
}

BadGrants& bad_grants() {
    static BadGrants grants;
    if (grants.never == 0) {
        grants.never = guest::allocate_grant_ref();
        grants.of_another = share(false, kNobody);
        grants.read_only = share(true);
    }
    return grants;
}

}  // namespace torii::cheat

void torii::guest::guest_main() {
    if (!set_up_grants()) return;
    print("cheat: ready\n");
    std::string_view ways = option("ways");
    while (!ways.empty()) {
        size_t end = 0;
        while (end < ways.size() && ways[end] != ':')
            ++end;
        cheat::run(ways.substr(0, end));
        ways.remove_prefix(end < ways.size() ? end + 1 : end);
    }
    print("cheat: all done\n");
}
