#pragma once
// One client, whatever carries its bytes.

#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <utility>

#include "xenstore/output_queue.h"
#include "xenstore/permissions.h"
#include "xenstore/transaction.h"
#include "xenstore/types.h"
#include "xenstore/watches.h"

namespace torii::dom0::xenstore {

enum class ConnectionKind : std::uint8_t {
    kRing,    // a domain; survives the daemon
    kSocket,  // a program in the control domain
    kLocal,   // the daemon itself; its events go to local_events instead of output
};

struct Connection {
    ConnectionId id = 0;
    ConnectionKind kind = ConnectionKind::kRing;
    Principal principal;
    bool read_only = false;

    OutputQueue output;
    std::deque<std::pair<std::string, std::string>> local_events;  // path and token

    std::map<std::uint32_t, Transaction> transactions;
    std::uint32_t last_transaction = 0;
    // Is in Store's list of connections to send to.
    bool has_news = false;

    [[nodiscard]] bool is_persistent() const { return kind == ConnectionKind::kRing; }
    [[nodiscard]] std::string describe() const;
};

}  // namespace torii::dom0::xenstore
