#pragma once
// The bytes of a StateSink's events.

#include <string>
#include <string_view>

#include "xenstore/state_sink.h"

namespace torii::dom0::xenstore {

// Appends each event to a string.
class RecordWriter : public StateSink {
public:
    [[nodiscard]] const std::string& bytes() const { return bytes_; }
    void clear() { bytes_.clear(); }

    void node(std::string_view path, std::uint64_t generation, const Permissions& permissions,
              std::string_view value) override;
    void node_removed(std::string_view path, std::uint64_t generation) override;
    void special_permissions(std::string_view name, const Permissions& permissions) override;
    void domain_introduced(DomId domain, const RingLocation& location) override;
    void domain_released(DomId domain) override;
    void domain_target(DomId domain, DomId target) override;
    void watch_added(DomId domain, std::string_view path, std::string_view token, bool relative) override;
    void watch_removed(DomId domain, std::string_view path, std::string_view token) override;
    void transaction_opened(DomId domain, std::uint32_t id) override;
    void transaction_closed(DomId domain, std::uint32_t id) override;
    void watches_reset(DomId domain) override;
    void input_taken(DomId domain, std::uint32_t consumed, std::string_view bytes) override;
    void request_done(DomId domain, std::uint32_t consumed) override;
    void output_queued(DomId domain, std::string_view message) override;
    void output_sent(DomId domain, std::uint32_t produced, std::uint32_t count) override;
    void ring_reset(DomId domain, std::uint32_t consumed, std::uint32_t produced, bool broken) override;

private:
    template <typename... Fields>
    void put(std::uint8_t kind, const Fields&... fields);

    std::string bytes_;
};

// Plays the events in `bytes` into `sink`. False if they are malformed; what came before has been played
// then.
[[nodiscard]] bool replay_records(std::string_view bytes, StateSink& sink);

}  // namespace torii::dom0::xenstore
