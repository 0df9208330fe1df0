// The requests about domains, and the rarer ones: long directories, control.

#include <torii/abi/domid.h>

#include <charconv>
#include <concepts>
#include <optional>

#include "xenstore/expected_macros.h"
#include "xenstore/path.h"
#include "xenstore/request.h"

namespace torii::dom0::xenstore {
namespace {

template <std::integral Number>
std::optional<Number> parse_number(std::string_view text) {
    Number number = 0;
    const char* const end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data(), end, number);
    if (error != std::errc{} || stop != end) return std::nullopt;
    return number;
}

std::string text_answer(std::string_view text) {
    return std::string(text) + '\0';
}

std::string done() {
    return text_answer("OK");
}

// A domain that can be introduced: not the control domain, whose ring is the daemon's affair, and not a
// special id.
bool is_guest(DomId domain) {
    return domain != kDom0 && domain.raw() < abi::kDomIdFirstReserved;
}

Expected<DomId> domain_argument(std::string_view payload) {
    const auto text = take_string(payload);
    if (!text) return StoreError::kInvalid;
    const auto number = parse_number<std::uint16_t>(*text);
    if (!number) return StoreError::kInvalid;
    return DomId(*number);
}

std::string quota_report(const Quota& quota) {
    const auto line = [](std::string_view name, std::size_t limit) {
        return std::string(name) + ": " + std::to_string(limit) + '\n';
    };
    return line("nodes", quota.nodes_per_domain) + line("watches", quota.watches_per_domain) +
           line("transactions", quota.transactions_per_domain) +
           line("transaction-nodes", quota.nodes_per_transaction) + line("node-size", quota.node_size) +
           line("node-permissions", quota.permissions_per_node) + line("path-max", quota.path_length) +
           line("outstanding", quota.outstanding_requests) + line("pending-events", quota.pending_events);
}

}  // namespace

RequestHandler::Answer RequestHandler::directory_part(const Request& request) {
    const auto strings = split_strings(request.payload);
    if (!strings || strings->size() != 2) return StoreError::kInvalid;
    const auto path = resolve_path(strings->front(), request.connection.principal.domain);
    const auto offset = parse_number<std::uint32_t>((*strings)[1]);
    if (!path) return path.error();
    if (!offset) return StoreError::kInvalid;
    const auto node = store_.list(request.connection, request.transaction, *path);
    if (!node) return node.error();

    std::string answer = text_answer(std::to_string((*node)->generation()));
    std::size_t position = 0;
    for (const NodePtr& child : (*node)->children) {
        const std::size_t size = child->name.size() + 1;
        if (position >= *offset) {
            // Room is kept for the empty name that marks the end.
            if (answer.size() + size + 1 > abi::kXenstorePayloadMax) return answer;
            answer.append(child->name).append(1, '\0');
        }
        position += size;
    }
    answer += '\0';
    return answer;
}

RequestHandler::Answer RequestHandler::introduce(const Request& request) {
    const auto strings = split_strings(request.payload);
    if (!strings || strings->size() < 3) return StoreError::kInvalid;
    const auto domain = parse_number<std::uint16_t>((*strings)[0]);
    // The frame is sent as a signed number (xenstore.txt, INTRODUCE); its bits are meant.
    const auto frame = parse_number<std::int64_t>((*strings)[1]);
    const auto port = parse_number<std::uint32_t>((*strings)[2]);
    if (!domain || !frame || !port || !is_guest(DomId(*domain))) return StoreError::kInvalid;
    TRY(domains_.introduce_domain(DomId(*domain), RingLocation{static_cast<std::uint64_t>(*frame), *port}));
    return done();
}

RequestHandler::Answer RequestHandler::release(const Request& request) {
    const auto domain = domain_argument(request.payload);
    if (!domain) return domain.error();
    if (!is_guest(*domain)) return StoreError::kInvalid;
    TRY(domains_.release_domain(*domain));
    return done();
}

RequestHandler::Answer RequestHandler::get_domain_path(const Request& request) {
    const auto domain = domain_argument(request.payload);
    if (!domain) return domain.error();
    return text_answer(domain_path(*domain));
}

RequestHandler::Answer RequestHandler::is_domain_introduced(const Request& request) {
    const auto domain = domain_argument(request.payload);
    if (!domain) return domain.error();
    return text_answer(domains_.is_domain_introduced(*domain) ? "T" : "F");
}

RequestHandler::Answer RequestHandler::resume(const Request& request) {
    const auto domain = domain_argument(request.payload);
    if (!domain) return domain.error();
    // A shutdown is announced each time the daemon sees one, so there is nothing to arm again.
    if (!domains_.is_domain_introduced(*domain)) return StoreError::kNotFound;
    return done();
}

RequestHandler::Answer RequestHandler::set_target(const Request& request) {
    const auto strings = split_strings(request.payload);
    if (!strings || strings->size() < 2) return StoreError::kInvalid;
    const auto domain = parse_number<std::uint16_t>((*strings)[0]);
    const auto target = parse_number<std::uint16_t>((*strings)[1]);
    // With the control domain as target a domain would own every node.
    if (!domain || !target || !is_guest(DomId(*domain)) || !is_guest(DomId(*target)))
        return StoreError::kInvalid;
    TRY(domains_.set_domain_target(DomId(*domain), DomId(*target)));
    return done();
}

RequestHandler::Answer RequestHandler::control(const Request& request) {
    const auto strings = split_strings(request.payload);
    if (!strings || strings->empty()) return StoreError::kInvalid;
    const std::string_view command = strings->front();
    if (command == "help") return text_answer("check\nhelp\nprint\nquota");
    if (command == "check") {
        const std::string fault = store_.check();
        return text_answer(fault.empty() ? "OK" : fault);
    }
    if (command == "quota") return text_answer(quota_report(store_.quota()));
    if (command == "print") {
        std::string line = "xenstore: asked to print:";
        for (std::size_t i = 1; i < strings->size(); ++i)
            line.append(1, ' ').append((*strings)[i]);
        refusals_.log(LogSeverity::kInfo, line);
        return done();
    }
    return StoreError::kInvalid;
}

}  // namespace torii::dom0::xenstore
