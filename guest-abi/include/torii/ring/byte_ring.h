#pragma once
// The two ends of a byte stream in shared memory, as the console and xenstore use them: a buffer of a power
// of two and two free-running 32-bit indices, one written by each side. `produced - consumed` is the number
// of bytes in it, and a peer that makes it larger than the buffer has broken the ring: both ends then move
// nothing until reset.

#include <torii/ring/shared_memory.h>

#include <cstddef>
#include <cstdint>
#include <span>

namespace torii::ring {

// The parts that both ends share. The memory must outlive the ends.
struct ByteRingMemory {
    uint8_t* buffer;
    uint32_t size;  // a power of two
    uint32_t* consumed;
    uint32_t* produced;
};

class ByteRingWriter {
public:
    explicit ByteRingWriter(const ByteRingMemory& memory) : memory_(memory) {}

    // Bytes that can be written now. Zero for a broken ring.
    uint32_t room() const {
        const uint32_t used = load_relaxed(*memory_.produced) - load_peer_index(*memory_.consumed);
        return used <= memory_.size ? memory_.size - used : 0;
    }

    bool broken() const {
        return load_relaxed(*memory_.produced) - load_peer_index(*memory_.consumed) > memory_.size;
    }

    // Writes what fits and returns how much that was; the caller then sends the event.
    uint32_t write(std::span<const uint8_t> bytes) {
        const uint32_t count = bytes.size() < room() ? static_cast<uint32_t>(bytes.size()) : room();
        if (count == 0) return 0;
        const uint32_t start = load_relaxed(*memory_.produced);
        const uint32_t offset = start & (memory_.size - 1);
        const uint32_t first = count < memory_.size - offset ? count : memory_.size - offset;
        // The peer's index was read before: it must have finished with what is overwritten here (acquire in
        // room()).
        __builtin_memcpy(memory_.buffer + offset, bytes.data(), first);
        __builtin_memcpy(memory_.buffer, bytes.data() + first, count - first);
        store_own_index(*memory_.produced, start + count);
        return count;
    }

private:
    ByteRingMemory memory_;
};

class ByteRingReader {
public:
    explicit ByteRingReader(const ByteRingMemory& memory) : memory_(memory) {}

    // Bytes that can be read now. Zero for a broken ring.
    uint32_t available() const {
        const uint32_t used = load_peer_index(*memory_.produced) - load_relaxed(*memory_.consumed);
        return used <= memory_.size ? used : 0;
    }

    bool broken() const {
        return load_peer_index(*memory_.produced) - load_relaxed(*memory_.consumed) > memory_.size;
    }

    // Copies up to bytes.size() bytes out without consuming them.
    uint32_t peek(std::span<uint8_t> bytes) const {
        const uint32_t ready = available();
        const uint32_t count = bytes.size() < ready ? static_cast<uint32_t>(bytes.size()) : ready;
        if (count == 0) return 0;
        const uint32_t offset = load_relaxed(*memory_.consumed) & (memory_.size - 1);
        const uint32_t first = count < memory_.size - offset ? count : memory_.size - offset;
        copy_once(bytes.data(), memory_.buffer + offset, first);
        copy_once(bytes.data() + first, memory_.buffer, count - first);
        return count;
    }

    // Gives `count` bytes, at most those available, back to the writer; the caller then sends the event.
    void consume(uint32_t count) {
        store_own_index(*memory_.consumed, load_relaxed(*memory_.consumed) + count);
    }

    uint32_t read(std::span<uint8_t> bytes) {
        const uint32_t count = peek(bytes);
        consume(count);
        return count;
    }

private:
    ByteRingMemory memory_;
};

}  // namespace torii::ring
