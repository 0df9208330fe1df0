#pragma once
// How much of the service one unprivileged domain may use. The control domain is not limited.

#include <cstddef>
#include <cstdint>

namespace torii::dom0::xenstore {

// Defaults are the documented ones of Xen 4.17's xenstored (its --help and xenstored's quota names).
struct Quota {
    std::size_t nodes_per_domain = 1000;
    std::size_t watches_per_domain = 128;
    std::size_t transactions_per_domain = 10;
    std::size_t nodes_per_transaction = 1024;  // distinct nodes touched by one transaction
    // Changes by others after which an open transaction is given up and can only end in EAGAIN: it keeps the
    // store of its beginning in memory.
    std::size_t changes_during_transaction = 20'000;
    std::size_t node_size = 2048;  // bytes of value and permissions
    std::size_t permissions_per_node = 5;
    std::size_t path_length = 3072;  // XENSTORE_ABS_PATH_MAX
    std::size_t outstanding_requests =
        20;                             // answers that the domain has not yet read; then no more is served
    std::size_t pending_events = 1024;  // further watch events are merged into one per watch
    std::size_t pending_event_bytes = 1 << 20;
};

}  // namespace torii::dom0::xenstore
