// What the grant calls share. Each works on an array of the caller's: elements are copied in, worked on and
// written back with a status each; the call as a whole fails only when the array can't be read or written.
#pragma once

#include <torii/abi/grant_table.h>

#include "core/call/context.h"
#include "core/call/guest_ptr.h"

namespace torii::call {

// How many elements a call works on before it lets others run. An element costs about a microsecond, a copied
// page included.
inline constexpr uint32_t kGrantElementsPerCall = 256;

CallResult map_grants(CallContext& context, uint64_t array, uint32_t count);
CallResult unmap_grants(CallContext& context, uint64_t array, uint32_t count);
CallResult unmap_and_replace_grants(CallContext& context, uint64_t array, uint32_t count);
CallResult copy_grants(CallContext& context, uint64_t array, uint32_t count);
CallResult transfer_grants(CallContext& context, uint64_t array, uint32_t count);

// The domain that an element names; consecutive elements mostly name the same one, which is looked up once.
class NamedDomain {
public:
    explicit NamedDomain(Domain& caller) : caller_(caller) {}
    NamedDomain(const NamedDomain&) = delete;
    ~NamedDomain() { drop(); }

    // Null when there is none; valid until the next call. Dying ones are found.
    [[nodiscard]] Domain* find(abi::RawDomId id) {
        if (id == abi::kDomIdSelf || DomId(id) == caller_.id) return &caller_;
        if (held_ == nullptr || held_->id != DomId(id)) [[unlikely]]
            look_up(DomId(id));
        return held_;
    }
    // As `find`, without the dying: they give nothing any more.
    [[nodiscard]] Domain* find_living(abi::RawDomId id) {
        Domain* const found = find(id);
        return found != nullptr && found->life.load(std::memory_order_relaxed) < Life::kDying ? found
                                                                                              : nullptr;
    }

private:
    void look_up(DomId id);
    void drop() {
        if (held_ != nullptr) put_domain(*held_);
        held_ = nullptr;
    }
    Domain& caller_;
    Domain* held_ = nullptr;
};

// Works on the array in chunks of `Chunk` elements: reads each, calls `work(span of elements)`, and writes
// them back whole. `write_failed(span)` undoes what the guest can't learn of. ERESTART with the arguments set
// to what is left once kGrantElementsPerCall are done.
template <class Element, uint32_t Chunk, class Work, class WriteFailed>
CallResult for_each_chunk(CallContext& context, uint64_t array, uint32_t count, Work work,
                          WriteFailed write_failed) {
    static_assert(kGrantElementsPerCall % Chunk == 0);
    const GuestArray<Element> elements(array);
    Element chunk[Chunk];
    for (uint32_t done = 0; done < count;) {
        if (done == kGrantElementsPerCall) {
            context.set_arg<1>(array + uint64_t{done} * sizeof(Element));
            context.set_arg<2>(count - done);
            return Errno::kERESTART;
        }
        const uint32_t size = count - done < Chunk ? count - done : Chunk;
        TRY(elements.read_many(done, chunk, size));
        const std::span<Element> now(chunk, size);
        work(now);
        const Result<> written = elements.write_many(done, chunk, size);
        if (!written.ok()) [[unlikely]] {
            write_failed(now);
            return written.error();
        }
        done += size;
    }
    return 0;
}

}  // namespace torii::call
