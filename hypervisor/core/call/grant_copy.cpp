// GNTTABOP_copy: bytes from one page to another, each end a grant or a frame of the caller.
#include <cstring>
#include <span>

#include "core/call/grant_call.h"
#include "port/frames.h"

namespace torii::call {
namespace {

using abi::GrantStatus;

constexpr uint32_t kCopyChunk = 16;

// One end of a copy: its page, pinned. It stays pinned while consecutive elements name the same page, as
// those of a network backend do.
class CopyEnd {
public:
    CopyEnd(Domain& caller, GrantAccess access) : caller_(caller), access_(access), granters_(caller) {}
    CopyEnd(const CopyEnd&) = delete;
    ~CopyEnd() { close(); }

    [[nodiscard]] GrantStatus open(const abi::GrantCopyPointer& end, bool is_grant) {
        const Name name{is_grant ? uint64_t{end.u.ref} : end.u.gmfn, end.domid, is_grant};
        if (frame_ != nullptr && name == name_) [[likely]]
            return GrantStatus::kOkay;
        return open_other(end, name);
    }
    // The page, after a successful `open`.
    [[nodiscard]] Mfn mfn() const { return mfn_of(*frame_); }

    void close() {
        if (frame_ == nullptr) return;
        if (granter_ != nullptr) {
            granter_->grants.unpin(GrantRef(static_cast<uint32_t>(name_.number)), access_);
        } else {
            if (access_ == GrantAccess::kWrite) put_writable(*frame_);
            put_frame(*frame_);
        }
        frame_ = nullptr;
        granter_ = nullptr;
    }

private:
    // What an element calls the page.
    struct Name {
        uint64_t number = 0;  // grant reference or frame
        abi::RawDomId domid = 0;
        bool is_grant = false;
        friend bool operator==(Name, Name) = default;
    };

    [[gnu::noinline]] GrantStatus open_other(const abi::GrantCopyPointer& end, Name name) {
        close();
        name_ = name;
        return name.is_grant ? open_grant(end) : open_own_frame(end);
    }

    GrantStatus open_grant(const abi::GrantCopyPointer& end) {
        Domain* const granter = granters_.find_living(end.domid);
        if (granter == nullptr) return GrantStatus::kBadDomain;
        Frame* frame = nullptr;
        const GrantStatus status = granter->grants.pin(GrantRef(end.u.ref), caller_.id, access_, frame);
        if (status != GrantStatus::kOkay) return status;
        frame_ = frame;
        granter_ = granter;
        return status;
    }

    GrantStatus open_own_frame(const abi::GrantCopyPointer& end) {
        if (end.domid != abi::kDomIdSelf) return GrantStatus::kPermissionDenied;
        FrameRef frame = FrameRef::take(Mfn(end.u.gmfn), caller_.id);
        if (!frame) return GrantStatus::kBadPage;
        if (access_ == GrantAccess::kWrite && !get_writable(*frame)) return GrantStatus::kGeneralError;
        frame_ = frame.release();
        return GrantStatus::kOkay;
    }

    Domain& caller_;
    const GrantAccess access_;
    NamedDomain granters_;       // keeps granter_: our pin may be the last thing that did
    Frame* frame_ = nullptr;     // null: nothing is pinned
    Domain* granter_ = nullptr;  // null: a frame of the caller
    Name name_;
};

void copy_bytes(Mfn to, uint64_t to_offset, Mfn from, uint64_t from_offset, uint64_t bytes) {
    if (bytes == kPageSize && to != from) return copy_frame(to, from);
    const MappedFrame source(from);
    const MappedFrame destination(to);
    // A caller may name one page twice.
    memmove(destination.as<unsigned char>() + to_offset, source.as<const unsigned char>() + from_offset,
            bytes);
}

GrantStatus copy_one(CopyEnd& source, CopyEnd& destination, const abi::GrantCopy& element) {
    const uint64_t bytes = element.len;
    if (element.source.offset + bytes > kPageSize || element.dest.offset + bytes > kPageSize) [[unlikely]]
        return GrantStatus::kBadCopyArg;
    GrantStatus status = source.open(element.source, (element.flags & abi::kGrantCopySourceGref) != 0);
    if (status != GrantStatus::kOkay) [[unlikely]]
        return status;
    status = destination.open(element.dest, (element.flags & abi::kGrantCopyDestGref) != 0);
    if (status != GrantStatus::kOkay) [[unlikely]]
        return status;
    copy_bytes(destination.mfn(), element.dest.offset, source.mfn(), element.source.offset, bytes);
    return GrantStatus::kOkay;
}

}  // namespace

CallResult copy_grants(CallContext& context, uint64_t array, uint32_t count) {
    Domain& caller = context.domain();
    CopyEnd source(caller, GrantAccess::kRead);
    CopyEnd destination(caller, GrantAccess::kWrite);
    return for_each_chunk<abi::GrantCopy, kCopyChunk>(
        context, array, count,
        [&](std::span<abi::GrantCopy> elements) {
            for (abi::GrantCopy& element : elements)
                element.status = static_cast<int16_t>(copy_one(source, destination, element));
            // The statuses tell that the copies are done: the marks are gone by then.
            source.close();
            destination.close();
        },
        [](std::span<abi::GrantCopy>) {});
}

}  // namespace torii::call
