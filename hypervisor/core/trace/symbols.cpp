#include "core/trace/symbols.h"

namespace torii {
namespace {

constexpr unsigned kFirstToken = 128;
constexpr unsigned kTokens = 128;
constexpr size_t kTokenBytes = 2 * kTokens;

// Reads on through the table; behind its end there are zeros.
class Reader {
public:
    explicit Reader(std::span<const uint8_t> bytes) : rest_(bytes) {}

    uint8_t byte() {
        if (rest_.empty()) return 0;
        const uint8_t value = rest_.front();
        rest_ = rest_.subspan(1);
        return value;
    }
    // Seven bits a byte, the lowest first; the highest bit of a byte: another one follows.
    uint64_t number() {
        uint64_t value = 0;
        for (unsigned shift = 0; shift < 63; shift += 7) {
            const uint8_t next = byte();
            value |= uint64_t{next & 0x7fu} << shift;
            if ((next & 0x80) == 0) break;
        }
        return value;
    }
    std::span<const uint8_t> take(size_t bytes) {
        if (bytes > rest_.size()) bytes = rest_.size();
        const std::span<const uint8_t> taken = rest_.first(bytes);
        rest_ = rest_.subspan(bytes);
        return taken;
    }
    [[nodiscard]] bool at_end() const { return rest_.empty(); }

private:
    std::span<const uint8_t> rest_;
};

// A token stands for two bytes, each of them a character or an earlier token.
class NameWriter {
public:
    NameWriter(std::span<const uint8_t> tokens, std::span<char> room) : tokens_(tokens), room_(room) {}

    // `bound`: tokens from here on are none, so that the depth is bounded whatever the table says, and so are
    // the steps.
    void put(uint8_t byte, unsigned bound = kFirstToken + kTokens) {
        if (steps_ == kMostSteps) return;
        ++steps_;
        if (byte >= kFirstToken) {
            if (byte >= bound) return;
            const size_t at = 2 * (size_t{byte} - kFirstToken);
            put(tokens_[at], byte);
            put(tokens_[at + 1], byte);
            return;
        }
        if (length_ < room_.size()) room_[length_++] = static_cast<char>(byte);
    }
    [[nodiscard]] std::string_view text() const { return {room_.data(), length_}; }

private:
    std::span<const uint8_t> tokens_;
    std::span<char> room_;
    size_t length_ = 0;
    static constexpr unsigned kMostSteps = 1024;
    unsigned steps_ = 0;
};

}  // namespace

std::optional<FoundSymbol> find_symbol(std::span<const uint8_t> table, ImagePart part, uint64_t offset,
                                       std::span<char> room) {
    if (table.size() < kTokenBytes) return {};
    Reader reader(table);
    const std::span<const uint8_t> tokens = reader.take(kTokenBytes);
    for (unsigned i = 0; i < kImageParts; ++i) {
        const uint64_t count = reader.number();
        uint64_t start = 0;
        uint64_t best_start = 0;
        std::span<const uint8_t> best;
        for (uint64_t j = 0; j < count && !reader.at_end(); ++j) {
            start += reader.number();
            const std::span<const uint8_t> name = reader.take(reader.byte());
            if (start > offset) continue;
            best = name;
            best_start = start;
        }
        if (i != static_cast<unsigned>(part)) continue;
        if (best.empty()) return {};
        NameWriter writer(tokens, room);
        for (const uint8_t byte : best)
            writer.put(byte);
        return FoundSymbol{writer.text(), offset - best_start};
    }
    return {};
}

}  // namespace torii
