#pragma once
// What a block device's bytes lie in. An engine belongs to the device's thread.

#include <sys/uio.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>

#include "common/io_loop.h"

namespace torii::backend {

// One operation on an image. Whoever submits it owns it and keeps it, and its memory, until
// ended() is called: once, from the loop, never from inside submit().
class BlockIo : public Completion {
public:
    enum class Kind : uint8_t { kRead, kWrite, kFlush, kDiscard };

    Kind kind = Kind::kRead;
    uint64_t offset = 0;  // in bytes, as length
    uint64_t length = 0;
    std::span<std::byte> memory;  // of reads and writes: `length` bytes, at the beginning of a page

    // 0 when all of it was done, otherwise a positive errno. A read that failed may have changed its memory.
    virtual void ended(int error) = 0;

    // The engine's own.
    class BlockEngine* engine = nullptr;
    size_t engine_progress = 0;
    void done(int32_t result) final;  // a completion of the loop, given to the engine

protected:
    ~BlockIo() = default;
};

struct BlockGeometry {
    uint64_t bytes = 0;
    uint32_t block_size = 512;  // offsets and lengths must be multiples of it
    uint32_t physical_block_size = 512;
    // A read or write up to this, in bytes, the image's disk takes in one piece; 0: unknown.
    uint64_t piece = 0;
    bool can_discard = false;
    uint32_t discard_granularity = 0;  // in bytes
    bool read_only = false;            // the image cannot be written, whatever is configured
};

class BlockEngine {
public:
    virtual ~BlockEngine() = default;

    // Waits until nobody else uses the image: no other device, and no request that a killed process left
    // under way. `opened` gets the geometry, or a sentence about what failed. `patience`: how long; without
    // one it waits for as long as it takes, and `opened` is not called before.
    struct Opened {
        std::optional<BlockGeometry> geometry;
        std::string problem;
    };
    virtual void open(std::optional<std::chrono::nanoseconds> patience,
                      std::function<void(Opened)> opened) = 0;

    virtual void submit(BlockIo& io) = 0;

    // The size now, in bytes: an image may have grown. Nothing when it cannot be told.
    virtual void measure(std::function<void(std::optional<uint64_t>)> measured) = 0;

    // Nothing is under way any more: lets go of what the engine itself waits for, then calls `closed`, from
    // the loop. Only destroyed after that, or with its loop.
    virtual void close(std::function<void()> closed) = 0;

private:
    friend class BlockIo;
    // The loop ended a part of an operation of this engine.
    virtual void progressed(BlockIo& io, int32_t result) = 0;
};

inline void BlockIo::done(int32_t result) {
    engine->progressed(*this, result);
}

}  // namespace torii::backend
