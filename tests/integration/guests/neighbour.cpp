// A small domain that does as it is told on its console, one order a line; it answers with one line that ends
// in "done". For tests in which domains hold each other's memory, and in which one breaks its rings.
//
//   page             takes a page, fills it with the pattern     page FRAME done
//   grant DOM        the same, granted to DOM, writable          grant REF FRAME done
//   port DOM         an unbound port for DOM                     port PORT done
//   map DOM REF      maps DOM's grant; is the pattern in it?     map STATUS PATTERN done
//   copy DOM REF     copies DOM's grant; is the pattern in it?   copy STATUS PATTERN done
//   bind DOM PORT    binds a port of DOM                         bind PORT done
//   look             mapped page and bound port                  look PATTERN PORT-STATUS done
//   unmap            gives the mapping up                        unmap STATUS done
//   owns FRAME       is it ours by now, and what is in it?       owns OURS NON-ZERO-WORDS done
//   clock            wall clock and time stamp counter           clock NANOSECONDS TSC done
//   garbage console|xenstore      an index that makes no sense

#include <torii/abi/io/console.h>
#include <torii/abi/xenstore_wire.h>
#include <torii/guest/console.h>
#include <torii/guest/events.h>
#include <torii/guest/grants.h>
#include <torii/guest/hypercall.h>
#include <torii/guest/memory.h>
#include <torii/guest/start.h>

#include <atomic>

using namespace torii::guest;
namespace abi = torii::abi;

namespace {

constexpr uint64_t kPattern = 0x746F'7269'695F'6765;
constexpr uint64_t kNanosecondsBetweenLooks = 20'000'000;

abi::GrantMap g_mapping;
Page* g_window;
int64_t g_port = -1;

void fill(Page& page) {
    for (uint64_t& word : page.words)
        word = kPattern;
}

bool has_pattern(const Page& page) {
    for (const uint64_t& word : page.words)
        if (const_cast<const volatile uint64_t&>(word) != kPattern) return false;
    return true;
}

uint64_t non_zero_words(const Page& page) {
    uint64_t count = 0;
    for (const uint64_t& word : page.words)
        count += word != 0;
    return count;
}

// The words of an order; numbers are decimal.
class Order {
public:
    explicit Order(std::string_view line) : rest_(line) {}

    std::string_view word() {
        while (!rest_.empty() && rest_.front() == ' ')
            rest_.remove_prefix(1);
        size_t length = 0;
        while (length < rest_.size() && rest_[length] != ' ')
            ++length;
        const std::string_view word(rest_.data(), length);
        rest_.remove_prefix(length);
        return word;
    }
    uint64_t number() {
        uint64_t value = 0;
        for (const char digit : word())
            value = value * 10 + static_cast<uint64_t>(digit - '0');
        return value;
    }

private:
    std::string_view rest_;
};

void grant(abi::RawDomId to) {
    if (!set_up_grants()) return;
    Page* const page = allocate_page();
    fill(*page);
    const abi::RawGrantRef ref = allocate_grant_ref();
    grant_access(ref, to, mfn_of(page), false);
    print("grant {} {} done\n", ref, mfn_of(page));
}

void map(abi::RawDomId domain, abi::RawGrantRef ref) {
    g_window = allocate_page();
    // A grant must not replace a present entry: the old translation could stay cached.
    update_va_mapping(virtual_address(g_window), 0);
    g_mapping = map_grant(domain, ref, g_window, abi::kGrantMapHost);
    const bool pattern = g_mapping.status == 0 && has_pattern(*g_window);
    print("map {} {} done\n", g_mapping.status, pattern ? 1 : 0);
}

void copy(abi::RawDomId domain, abi::RawGrantRef ref) {
    Page* const page = allocate_page();
    abi::GrantCopy copy{};
    copy.source.u.ref = ref;
    copy.source.domid = domain;
    copy.dest.u.gmfn = mfn_of(page);
    copy.dest.domid = abi::kDomIdSelf;
    copy.len = abi::kPageSize;
    copy.flags = abi::kGrantCopySourceGref;
    grant_table_op(abi::GrantTableOp::kCopy, &copy);
    print("copy {} {} done\n", copy.status, has_pattern(*page) ? 1 : 0);
    free_page(page);
}

void look() {
    abi::EventStatus status;
    port_status(static_cast<RawPort>(g_port), status);
    print("look {} {} done\n", has_pattern(*g_window) ? 1 : 0, status.status);
}

void owns(uint64_t frame) {
    static Page* const window = allocate_page();
    for (uint64_t pfn = 0; pfn < start_info().nr_pages; ++pfn) {
        if (mfn_of_pfn(pfn) != frame) continue;
        update_va_mapping(virtual_address(window), make_entry(frame, kPteReadOnlyPage), abi::kUvmfInvlpg);
        print("owns 1 {} done\n", non_zero_words(*window));
        return;
    }
    print("owns 0 0 done\n");
}

// Whoever reads the ring must look at it once more.
void make_garbage(std::string_view which) {
    if (which == "console") {
        auto& ring =
            *static_cast<abi::ConsoleRing*>(pointer_of_pfn(pfn_of_mfn(start_info().console.dom_u.mfn)));
        ring.out_prod += 0x4000'0000;
        send_event(start_info().console.dom_u.evtchn);
    } else {
        auto& ring = *static_cast<abi::XenstoreRing*>(pointer_of_pfn(pfn_of_mfn(start_info().store_mfn)));
        ring.req_prod += 0x4000'0000;
        send_event(start_info().store_evtchn);
    }
}

void obey(Order order) {
    const std::string_view verb = order.word();
    if (verb == "page") {
        Page* const page = allocate_page();
        fill(*page);
        print("page {} done\n", mfn_of(page));
    } else if (verb == "grant") {
        grant(static_cast<abi::RawDomId>(order.number()));
    } else if (verb == "port") {
        print("port {} done\n",
              allocate_unbound(abi::kDomIdSelf, static_cast<abi::RawDomId>(order.number())));
    } else if (verb == "map" || verb == "copy") {
        const auto domain = static_cast<abi::RawDomId>(order.number());
        const auto ref = static_cast<abi::RawGrantRef>(order.number());
        verb == "map" ? map(domain, ref) : copy(domain, ref);
    } else if (verb == "bind") {
        const auto domain = static_cast<abi::RawDomId>(order.number());
        g_port = bind_interdomain(domain, static_cast<RawPort>(order.number()));
        print("bind {} done\n", g_port);
    } else if (verb == "look") {
        look();
    } else if (verb == "unmap") {
        print("unmap {} done\n", unmap_grant(g_mapping));
    } else if (verb == "owns") {
        owns(order.number());
    } else if (verb == "clock") {
        const uint64_t now = wall_clock();
        print("clock {} {} done\n", now, __builtin_ia32_rdtsc());
    } else if (verb == "garbage") {
        make_garbage(order.word());
    } else {
        print("unknown order done\n");
    }
}

void wait_for_input() {
    RawPort port = start_info().console.dom_u.evtchn;
    abi::SchedPoll poll{{virtual_address(&port)}, 1, 0, system_time() + kNanosecondsBetweenLooks};
    sched_op(abi::SchedOp::kPoll, poll);
    std::atomic_ref<uint64_t>(shared_info().evtchn_pending[port / 64])
        .fetch_and(~(uint64_t{1} << (port % 64)));
}

}  // namespace

void torii::guest::guest_main() {
    static char line[256];
    size_t length = 0;
    print("neighbour: ready\n");
    for (;;) {
        char character = 0;
        if (read_console({&character, 1}) == 0) {
            wait_for_input();
        } else if (character == '\n' || character == '\r') {
            obey(Order({line, length}));
            length = 0;
        } else if (length < sizeof(line)) {
            line[length++] = character;
        }
    }
}
