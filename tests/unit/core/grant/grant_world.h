// Domains made of nothing but their grant tables and some frames.
#pragma once

#include <memory>
#include <vector>

#include "core/grant/grant_table.h"
#include "fakes/fake_machine.h"

namespace torii::test {

class GrantDomain {
public:
    explicit GrantDomain(uint16_t id, uint32_t frame_limit = 4, uint32_t maptrack_limit = 4,
                         uint32_t frames = 8);
    ~GrantDomain();
    GrantDomain(const GrantDomain&) = delete;

    [[nodiscard]] DomId id() const { return id_; }
    // A frame of the domain by its own number.
    [[nodiscard]] Mfn mfn(uint32_t index) const { return frames_.at(index); }
    [[nodiscard]] Frame& frame(uint32_t index) const { return frame_at(mfn(index)); }
    [[nodiscard]] uint32_t frames() const { return static_cast<uint32_t>(frames_.size()); }

    // What the guest does to its table.
    [[nodiscard]] SharedGrantEntry& entry(GrantRef ref) const;
    void grant(GrantRef ref, DomId to, Mfn frame, uint16_t flags = abi::kGtfPermitAccess) const;
    [[nodiscard]] uint16_t flags(GrantRef ref) const;

    // The table's end; the destructor does it too. Every pin must be gone before the destructor.
    void close();
    // The domain gives up its own reference on a frame.
    void give_up(uint32_t index);

    GrantTable table;

private:
    [[nodiscard]] Mfn allocate(bool for_table);

    DomId id_;
    std::vector<Mfn> frames_;
    bool closed_ = false;
};

[[nodiscard]] inline uint64_t references(const Frame& frame) {
    return frame.references();
}
[[nodiscard]] inline uint64_t writers(const Frame& frame) {
    return frame.type_word().type() == FrameType::kWritable ? frame.type_word().count() : 0;
}

}  // namespace torii::test
