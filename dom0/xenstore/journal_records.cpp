#include "xenstore/journal_records.h"

#include <concepts>
#include <cstring>
#include <optional>

namespace torii::dom0::xenstore {
namespace {

enum Kind : std::uint8_t {
    kNode = 1,
    kNodeRemoved,
    kSpecialPermissions,
    kDomainIntroduced,
    kDomainReleased,
    kDomainTarget,
    kWatchAdded,
    kWatchRemoved,
    kTransactionOpened,
    kTransactionClosed,
    kWatchesReset,
    kInputTaken,
    kRequestDone,
    kOutputQueued,
    kOutputSent,
    kRingReset,
};

// Host byte order: writer and reader are the same machine in the same boot.
template <std::integral Number>
void put_field(std::string& bytes, Number number) {
    char raw[sizeof(number)];
    std::memcpy(raw, &number, sizeof(number));
    bytes.append(raw, sizeof(raw));
}

void put_field(std::string& bytes, DomId domain) {
    put_field(bytes, domain.raw());
}

void put_field(std::string& bytes, std::string_view text) {
    put_field(bytes, static_cast<std::uint32_t>(text.size()));
    bytes.append(text);
}

void put_field(std::string& bytes, const Permissions& permissions) {
    put_field(bytes, static_cast<std::uint32_t>(permissions.size()));
    for (const Permission& entry : permissions) {
        put_field(bytes, entry.domain);
        put_field(bytes, static_cast<std::uint8_t>(entry.access));
    }
}

class RecordReader {
public:
    explicit RecordReader(std::string_view bytes) : rest_(bytes) {}
    [[nodiscard]] bool at_end() const { return rest_.empty(); }
    // Once anything didn't fit, all later fields are empty and this stays true.
    [[nodiscard]] bool failed() const { return failed_; }

    template <std::integral Number>
    Number number() {
        Number number = 0;
        const std::string_view raw = take(sizeof(number));
        if (!failed_) std::memcpy(&number, raw.data(), sizeof(number));
        return number;
    }
    DomId domain() { return DomId(number<std::uint16_t>()); }
    std::string_view text() { return take(number<std::uint32_t>()); }
    Permissions permissions() {
        Permissions result;
        for (std::uint32_t left = number<std::uint32_t>(); left != 0 && !failed_; --left) {
            const DomId who = domain();
            result.push_back({who, static_cast<Access>(number<std::uint8_t>() & 3)});
        }
        failed_ = failed_ || result.empty();
        return result;
    }

private:
    std::string_view take(std::size_t count) {
        failed_ = failed_ || count > rest_.size();
        if (failed_) return {};
        const std::string_view taken = rest_.substr(0, count);
        rest_.remove_prefix(count);
        return taken;
    }

    std::string_view rest_;
    bool failed_ = false;
};

void replay_tree_record(std::uint8_t kind, RecordReader& in, StateSink& sink) {
    const std::string_view path = in.text();
    if (kind == kSpecialPermissions) {
        const Permissions permissions = in.permissions();
        if (!in.failed()) sink.special_permissions(path, permissions);
        return;
    }
    const auto generation = in.number<std::uint64_t>();
    if (kind == kNodeRemoved) {
        if (!in.failed()) sink.node_removed(path, generation);
        return;
    }
    const Permissions permissions = in.permissions();
    const std::string_view value = in.text();
    if (!in.failed()) sink.node(path, generation, permissions, value);
}

void replay_client_record(std::uint8_t kind, DomId domain, RecordReader& in, StateSink& sink) {
    if (kind == kWatchesReset) {
        sink.watches_reset(domain);
    } else if (kind == kTransactionOpened || kind == kTransactionClosed) {
        const auto id = in.number<std::uint32_t>();
        if (in.failed()) return;
        kind == kTransactionOpened ? sink.transaction_opened(domain, id)
                                   : sink.transaction_closed(domain, id);
    } else {
        const std::string_view path = in.text();
        const std::string_view token = in.text();
        const bool relative = kind == kWatchAdded && in.number<std::uint8_t>() != 0;
        if (in.failed()) return;
        kind == kWatchAdded ? sink.watch_added(domain, path, token, relative)
                            : sink.watch_removed(domain, path, token);
    }
}

void replay_domain_record(std::uint8_t kind, DomId domain, RecordReader& in, StateSink& sink) {
    if (kind == kDomainReleased) {
        sink.domain_released(domain);
    } else if (kind == kDomainTarget) {
        const DomId target = in.domain();
        if (!in.failed()) sink.domain_target(domain, target);
    } else {
        RingLocation location;
        location.frame = in.number<std::uint64_t>();
        location.port = in.number<std::uint32_t>();
        if (!in.failed()) sink.domain_introduced(domain, location);
    }
}

void replay_ring_record(std::uint8_t kind, DomId domain, RecordReader& in, StateSink& sink) {
    if (kind == kOutputQueued) {
        const std::string_view message = in.text();
        if (!in.failed()) sink.output_queued(domain, message);
        return;
    }
    const auto index = in.number<std::uint32_t>();
    if (kind == kRequestDone) {
        if (!in.failed()) sink.request_done(domain, index);
    } else if (kind == kInputTaken) {
        const std::string_view bytes = in.text();
        if (!in.failed()) sink.input_taken(domain, index, bytes);
    } else if (kind == kOutputSent) {
        const auto count = in.number<std::uint32_t>();
        if (!in.failed()) sink.output_sent(domain, index, count);
    } else {
        const auto produced = in.number<std::uint32_t>();
        const bool broken = in.number<std::uint8_t>() != 0;
        if (!in.failed()) sink.ring_reset(domain, index, produced, broken);
    }
}

}  // namespace

template <typename... Fields>
void RecordWriter::put(std::uint8_t kind, const Fields&... fields) {
    put_field(bytes_, kind);
    (put_field(bytes_, fields), ...);
}

void RecordWriter::node(std::string_view path, std::uint64_t generation, const Permissions& permissions,
                        std::string_view value) {
    put(kNode, path, generation, permissions, value);
}

void RecordWriter::node_removed(std::string_view path, std::uint64_t generation) {
    put(kNodeRemoved, path, generation);
}

void RecordWriter::special_permissions(std::string_view name, const Permissions& permissions) {
    put(kSpecialPermissions, name, permissions);
}

void RecordWriter::domain_introduced(DomId domain, const RingLocation& location) {
    put(kDomainIntroduced, domain, location.frame, location.port);
}

void RecordWriter::domain_released(DomId domain) {
    put(kDomainReleased, domain);
}

void RecordWriter::domain_target(DomId domain, DomId target) {
    put(kDomainTarget, domain, target);
}

void RecordWriter::watch_added(DomId domain, std::string_view path, std::string_view token, bool relative) {
    put(kWatchAdded, domain, path, token, static_cast<std::uint8_t>(relative));
}

void RecordWriter::watch_removed(DomId domain, std::string_view path, std::string_view token) {
    put(kWatchRemoved, domain, path, token);
}

void RecordWriter::transaction_opened(DomId domain, std::uint32_t id) {
    put(kTransactionOpened, domain, id);
}

void RecordWriter::transaction_closed(DomId domain, std::uint32_t id) {
    put(kTransactionClosed, domain, id);
}

void RecordWriter::watches_reset(DomId domain) {
    put(kWatchesReset, domain);
}

void RecordWriter::input_taken(DomId domain, std::uint32_t consumed, std::string_view bytes) {
    put(kInputTaken, domain, consumed, bytes);
}

void RecordWriter::request_done(DomId domain, std::uint32_t consumed) {
    put(kRequestDone, domain, consumed);
}

void RecordWriter::output_queued(DomId domain, std::string_view message) {
    put(kOutputQueued, domain, message);
}

void RecordWriter::output_sent(DomId domain, std::uint32_t produced, std::uint32_t count) {
    put(kOutputSent, domain, produced, count);
}

void RecordWriter::ring_reset(DomId domain, std::uint32_t consumed, std::uint32_t produced, bool broken) {
    put(kRingReset, domain, consumed, produced, static_cast<std::uint8_t>(broken));
}

bool replay_records(std::string_view bytes, StateSink& sink) {
    for (RecordReader in(bytes); !in.at_end();) {
        const auto kind = in.number<std::uint8_t>();
        if (kind < kNode || kind > kRingReset) return false;
        if (kind <= kSpecialPermissions) {
            replay_tree_record(kind, in, sink);
        } else {
            const DomId domain = in.domain();
            if (in.failed()) return false;
            if (kind <= kDomainTarget) {
                replay_domain_record(kind, domain, in, sink);
            } else if (kind <= kWatchesReset) {
                replay_client_record(kind, domain, in, sink);
            } else {
                replay_ring_record(kind, domain, in, sink);
            }
        }
        if (in.failed()) return false;
    }
    return true;
}

}  // namespace torii::dom0::xenstore
