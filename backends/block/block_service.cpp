#include "block/block_service.h"

#include <torii/failure.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "block/block_negotiation.h"

namespace torii::backend {

BlockService::BlockService(const BlockConfig& config, std::shared_ptr<DeviceThread> thread,
                           std::unique_ptr<BlockEngine> engine, std::unique_ptr<BlockRecord> record,
                           Reports reports)
    : config_(config),
      thread_(std::move(thread)),
      engine_(std::move(engine)),
      record_(std::move(record)),
      reports_(std::move(reports)),
      requests_(config.limits.requests),
      bytes_(config.limits.bytes) {}

BlockService::~BlockService() {
    let_go();
}

void BlockService::let_go() {
    queues_.clear();
    shared_.reset();
    memory_.reset();
}

void BlockService::open(std::optional<std::chrono::nanoseconds> patience,
                        std::function<void(BlockEngine::Opened)> opened) {
    thread_->keep(shared_from_this());
    opening_ = true;
    engine_->open(patience, [this, opened = std::move(opened)](BlockEngine::Opened result) {
        opening_ = false;
        if (result.geometry) geometry_ = *result.geometry;
        opened(std::move(result));
        if (when_opened_) std::exchange(when_opened_, nullptr)();
    });
}

void BlockService::connect(const BlockConnection& connection, bool resume,
                           std::function<void(const std::string&)> done) {
    try {
        make_rings(connection, resume);
    } catch (const Failure& problem) {
        let_go();
        return done(problem.what());
    }
    record_->set_valid(true);
    reach(config_.fail_point, "block.connected");
    for (const auto& queue : queues_)
        queue->begin();
    done({});
}

void BlockService::make_rings(const BlockConnection& connection, bool resume) {
    if (!resume) record_->prepare(connection);
    memory_ = thread_->open_memory(config_.guest);
    BlockRules rules;
    rules.unit_shift = connection.unit_shift;
    rules.bytes = block_device_bytes(config_, geometry_);
    rules.block_size = std::max({geometry_.block_size, config_.sector_size, 1u << connection.unit_shift});
    rules.read_only = config_.read_only || geometry_.read_only;
    rules.can_discard = config_.discard && geometry_.can_discard && !rules.read_only;
    shared_.emplace(BlockShared{config_.guest, thread_->loop(), thread_->event_channels(), *memory_, *engine_,
                                geometry_, rules, connection.persistent, counters_, requests_, bytes_,
                                config_.fail_point, [this](int error) { io_failed(error); }});
    for (size_t i = 0; i < connection.rings.size(); ++i) {
        queues_.push_back(std::make_unique<BlockQueue>(*shared_, connection.rings[i],
                                                       record_->of_ring(i, connection.ring_bytes()), resume,
                                                       reports_.broken));
    }
}

// May be asked again while it goes on: whoever asks is told when it is over.
void BlockService::stop(bool forget, std::function<void()> done) {
    forget_ = forget_ || forget;
    when_stopped_.push_back(std::move(done));
    if (stopping_ != 0) return;
    stopping_ = queues_.size() + 1;
    for (const auto& queue : queues_)
        queue->stop([this] { one_stopped(); });
    thread_->loop().post([this] { one_stopped(); });
}

void BlockService::one_stopped() {
    if (--stopping_ != 0) return;
    let_go();
    if (std::exchange(forget_, false)) {
        record_->set_valid(false);
        reach(config_.fail_point, "block.disconnected");
    }
    for (const auto& done : std::exchange(when_stopped_, {}))
        done();
}

void BlockService::end(bool keep_record, std::function<void()> done) {
    if (opening_) {
        // The engine waits for its image and cannot be interrupted in that.
        when_opened_ = [this, keep_record, done = std::move(done)] { end(keep_record, done); };
        return;
    }
    stop(!keep_record, [this, done = std::move(done)] {
        engine_->close([this, done] {
            const auto self = shared_from_this();
            thread_->release(this);
            done();
        });
    });
}

void BlockService::set_limits(const BlockLimits& limits) {
    requests_.set(limits.requests);
    bytes_.set(limits.bytes);
    for (const auto& queue : queues_)
        queue->wake();
}

void BlockService::measure(std::function<void(std::optional<uint64_t>)> measured) {
    engine_->measure([self = shared_from_this(), measured = std::move(measured)](auto bytes) {
        // A disk does not shrink under its guest.
        if (bytes && *bytes > self->geometry_.bytes) self->set_size(*bytes);
        measured(bytes);
    });
}

void BlockService::set_size(uint64_t bytes) {
    geometry_.bytes = bytes;
    if (!shared_) return;
    shared_->rules.bytes = block_device_bytes(config_, geometry_);
}

// Once for each kind, or a broken disk would fill the log.
void BlockService::io_failed(int error) {
    const auto kind = static_cast<size_t>(error) % reported_.size();
    if (reported_.test(kind)) return;
    reported_.set(kind);
    reports_.trouble(std::string("the image failed a request: ") + std::strerror(error) +
                     ". The guest was told; further ones of this kind are only counted");
}

BlockStatistics BlockStatistics::of(const BlockCounters& counters) {
    BlockStatistics result;
    result.reads = counters.reads.value();
    result.writes = counters.writes.value();
    result.flushes = counters.flushes.value();
    result.discards = counters.discards.value();
    result.bytes_read = counters.bytes_read.value();
    result.bytes_written = counters.bytes_written.value();
    result.bytes_discarded = counters.bytes_discarded.value();
    result.errors = counters.errors.value();
    result.refused = counters.refused.value();
    result.no_space = counters.no_space.value();
    result.throttled = counters.throttled.value();
    result.read_latency = counters.read_latency.snapshot();
    result.write_latency = counters.write_latency.snapshot();
    result.flush_latency = counters.flush_latency.snapshot();
    return result;
}

}  // namespace torii::backend
