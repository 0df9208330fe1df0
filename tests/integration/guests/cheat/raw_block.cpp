#include "raw_block.h"

#include <torii/guest/hypercall.h>
#include <torii/guest/start.h>
#include <torii/ring/shared_memory.h>

namespace torii::cheat {

using abi::BlockOperation;
using abi::XenbusState;

namespace {

constexpr uint64_t kTimeoutNs = 30'000'000'000;
constexpr uint32_t kDisk = 51712;
constexpr uint64_t kIdBase = 0x1D00;

struct Wanted {
    const uint32_t* index;
    uint32_t value;
};

}  // namespace

RawBlock& disk() {
    static RawBlock disk;
    return disk;
}

bool RawBlock::connect(std::span<const Node> instead) {
    if (!bus_.find("vbd", kDisk) || !bus_.reset(kTimeoutNs)) {
        told_problem("the disk's back end does not offer it");
        return false;
    }
    // What another way left there.
    for (const std::string_view name : {"multi-queue-num-queues", "ring-page-order", "num-ring-pages",
                                        "feature-persistent", "feature-large-sector-size"}) {
        bus_.remove(name);
    }
    ring_ = share();
    __builtin_memset(ring_.page, 0, abi::kPageSize);
    header().req_event = header().rsp_event = 1;
    for (SharedPage& page : pages_)
        page = share();
    port_ = static_cast<guest::RawPort>(guest::allocate_unbound(abi::kDomIdSelf, bus_.backend_domain()));
    guest::handle_event(port_, [](guest::RawPort, void*) {});
    produced_ = consumed_ = 0;
    const Decimal gref(ring_.gref);
    const Decimal port(port_);
    const Node nodes[] = {
        {"ring-ref", gref.view()}, {"event-channel", port.view()}, {"protocol", abi::kBlockProtocol64}};
    write_nodes(bus_, nodes, instead);
    bus_.set_state(XenbusState::kInitialised);
    bus_.wait_for_backend({XenbusState::kConnected, XenbusState::kClosing, XenbusState::kClosed}, kTimeoutNs);
    if (!served()) return false;
    bus_.set_state(XenbusState::kConnected);
    return true;
}

void RawBlock::tell_closed() {
    if (bus_.wait_for_backend({XenbusState::kClosing, XenbusState::kClosed}, kTimeoutNs)) {
        told_closed(bus_.backend_error());
    } else {
        told_problem("the disk is still served");
    }
}

void RawBlock::close() {
    bus_.set_state(XenbusState::kClosing);
    bus_.wait_for_backend({XenbusState::kClosing, XenbusState::kClosed, XenbusState::kInitWait}, kTimeoutNs);
    bus_.set_state(XenbusState::kClosed);
    bus_.wait_for_backend({XenbusState::kClosed}, kTimeoutNs);
    guest::handle_event(port_, nullptr);
    guest::close_port(port_);
    end(ring_);
    for (SharedPage& page : pages_)
        end(page);
}

abi::BlockRequest RawBlock::honest(BlockOperation operation, unsigned page) const {
    abi::BlockRequest request{};
    request.operation = static_cast<uint8_t>(operation);
    request.nr_segments = 1;
    request.sector_number = uint64_t{page} * 8;
    request.seg[0] = {pages_[page].gref, 0, 7, 0};
    return request;
}

void RawBlock::put(const abi::BlockRequest& request) {
    abi::BlockRequest& place = slot(produced_);
    place = request;
    place.id = kIdBase + produced_ % kEntries;
    ++produced_;
}

void RawBlock::publish() {
    ring::store_own_index(header().req_prod, produced_);
    guest::send_event(port_);
}

void RawBlock::wait(Answers& answers) {
    ring::store_own_index(header().rsp_event, produced_);
    Wanted wanted{&header().rsp_prod, produced_};
    guest::wait_until(
        [](void* argument) {
            const auto* const wanted = static_cast<const Wanted*>(argument);
            return ring::load_peer_index(*wanted->index) == wanted->value;
        },
        &wanted, kTimeoutNs);
    const uint32_t there = ring::load_peer_index(header().rsp_prod) - consumed_;
    const uint32_t asked = produced_ - consumed_;
    for (uint32_t taken = 0; taken < there && taken < asked; ++taken)
        count(*reinterpret_cast<abi::BlockResponse*>(layout().entry(consumed_ + taken)), answers);
    if (there > asked) answers.strange += there - asked;
    if (there < asked) answers.missing += asked - there;
    consumed_ = produced_;
}

void RawBlock::catch_up(Answers& answers) {
    if (produced_ - consumed_ > kEntries) consumed_ = produced_ - kEntries;
    wait(answers);
}

void RawBlock::count(const abi::BlockResponse& response, Answers& answers) {
    if (response.id - kIdBase >= kEntries) {
        ++answers.strange;
    } else if (response.status == static_cast<int16_t>(abi::BlockStatus::kOkay)) {
        ++answers.okay;
    } else if (response.status == static_cast<int16_t>(abi::BlockStatus::kError)) {
        ++answers.errors;
    } else if (response.status == static_cast<int16_t>(abi::BlockStatus::kNotSupported)) {
        ++answers.unsupported;
    } else {
        ++answers.strange;
    }
}

bool RawBlock::honest_read() {
    fill(pages_[0]);
    Answers answers;
    abi::BlockRequest request = honest(BlockOperation::kRead, 0);
    // Beyond what any way writes to.
    request.sector_number = 4096;
    ask(request, answers);
    for (size_t at = 0; at < abi::kPageSize; ++at)
        if (pages_[0].bytes()[at] != kImage) return false;
    return answers.okay == 1 && answers.strange == 0;
}

void RawBlock::tell(const Answers& answers) {
    for (const SharedPage& page : pages_) {
        for (size_t at = 0; at < abi::kPageSize; ++at) {
            if (page.bytes()[at] == kOurs || page.bytes()[at] == kImage) continue;
            return told_problem("a byte of somebody else's came into a page");
        }
    }
    if (!untouched(bad_grants().read_only) || !untouched(bad_grants().of_another))
        return told_problem("a page that dom0 must not write to was written to");
    told(answers, honest_read());
}

}  // namespace torii::cheat
