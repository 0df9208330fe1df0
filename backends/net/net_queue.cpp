#include "net/net_queue.h"

#include <algorithm>
#include <bit>

namespace torii::backend::net {

namespace {

// One turn of one queue: what an interface can do before others have theirs.
constexpr size_t kTurnPackets = 64;
constexpr size_t kTurnBytes = 512 * 1024;
// Copies in one call for frames to the guest.
constexpr size_t kReceiveBatch = 128;
// Frames that wait for a guest's buffers; beyond it new ones are dropped.
constexpr size_t kBacklogFrames = 512;
constexpr size_t kBacklogMemory = 4 << 20;

// What one call plans at most, of so many frames: the last may begin before the batch is full.
constexpr size_t kMostReceiveCopies = kReceiveBatch + kMaxFrame / kGuestPageSize + 1;
constexpr size_t kMostReceiveAnswers = kMostReceiveCopies + 2 * kReceiveBatch;

// Where the first fragment that is a whole page lies in the frame: the pages of a sender's data follow each
// other.
size_t bytes_before_a_page(const TxPacket& packet) {
    size_t before = 0;
    for (uint32_t index = 0; index < packet.fragment_count; ++index) {
        if (packet.fragments[index].size == kGuestPageSize) return before;
        before += packet.fragments[index].size;
    }
    return 0;
}

}  // namespace

class NetQueue::RingEntries final : public TxEntries {
public:
    explicit RingEntries(TxRing& ring) : ring_(ring) {}
    std::optional<abi::TxRequest> next() override { return ring_.take(); }

private:
    TxRing& ring_;
};

NetQueue::NetQueue(QueueOwner& owner, GuestMemory& memory, std::unique_ptr<GrantMapping> tx,
                   std::unique_ptr<GrantMapping> rx, const QueueFeatures& features)
    : owner_(owner),
      memory_(memory),
      tx_memory_(std::move(tx)),
      rx_memory_(std::move(rx)),
      tx_(TxRing::attach(tx_memory_->bytes().data(), tx_memory_->bytes().size())),
      rx_(RxRing::attach(rx_memory_->bytes().data(), rx_memory_->bytes().size())),
      features_(features),
      stepping_(owner.stepping()),
      receive_copies_(kMostReceiveCopies, GrantCopySegment{.gref = {}, .to_guest = true}),
      answers_(kMostReceiveAnswers) {
    jobs_.reserve(kTurnPackets);
    segments_.reserve(kTurnPackets + kMostTxSlots);
}

void NetQueue::set_ports(BoundPort transmit, BoundPort receive) {
    tx_port_ = std::move(transmit);
    rx_port_ = std::move(receive);
}

void NetQueue::take_over() {
    lose_uncertain_transmit();
    lose_uncertain_receive();
    tx_port_.notify();
    rx_port_.notify();
}

// --- from the guest

bool NetQueue::serve_transmit() {
    job_count_ = 0;
    segments_.clear();
    size_t bytes = 0;
    bool stopped = false;
    bool more = false;
    while (true) {
        more = job_count_ == kTurnPackets || bytes >= kTurnBytes;
        stopped = !more && !owner_.may_transmit();
        if (more || stopped) break;
        Job& job = next_job();
        if (!take_packet(job, bytes)) {
            if (job.outcome == TxOutcome::kBroken) return false;
            break;
        }
        ++job_count_;
    }
    if (tx_.broken()) {
        owner_.queue_broken("its transmit ring has more requests than slots");
        return false;
    }
    if (job_count_ != 0) answer_transmit();
    if (stopped) return false;
    return more || tx_.enable_events();
}

NetQueue::Job& NetQueue::next_job() {
    if (job_count_ == jobs_.size()) jobs_.push_back(std::make_unique<Job>());
    return *jobs_[job_count_];
}

// False when there is none, or none that can be told from the next.
bool NetQueue::take_packet(Job& job, size_t& bytes) {
    RingEntries entries(tx_);
    const char* problem = nullptr;
    job.outcome = parse_tx_packet(entries, job.packet, problem);
    job.frame.reset();
    if (job.outcome == TxOutcome::kNothing) return false;
    if (job.outcome == TxOutcome::kBroken) {
        owner_.queue_broken(problem);
        return false;
    }
    owner_.charge_transmit(job.packet.size);
    if (job.outcome == TxOutcome::kBad) {
        owner_.counters().from_guest.dropped(Drop::kMalformed);
    } else if (!job.packet.multicast_request()) {
        add_segments(job);
        bytes += job.packet.size;
    }
    return true;
}

void NetQueue::add_segments(Job& job) {
    job.frame = Frame::make(job.packet.size, bytes_before_a_page(job.packet));
    job.first_segment = segments_.size();
    size_t at = 0;
    for (uint32_t index = 0; index < job.packet.fragment_count; ++index) {
        const TxFragment& fragment = job.packet.fragments[index];
        segments_.push_back({.gref = fragment.gref,
                             .offset = fragment.offset,
                             .length = fragment.size,
                             .local = reinterpret_cast<std::byte*>(job.frame->data() + at)});
        at += fragment.size;
    }
}

void NetQueue::answer_transmit() {
    step("net.tx.taken");
    if (!segments_.empty()) {
        memory_.copy(segments_);
        owner_.counters().copy_calls.add(1);
    }
    step("net.tx.copied");
    uint32_t entries = 0;
    outcomes_.clear();
    for (size_t index = 0; index < job_count_; ++index) {
        outcomes_.push_back(finish_job(*jobs_[index]));
        entries += jobs_[index]->packet.entry_count;
    }
    step("net.tx.sent");
    tx_.announce(entries);
    for (size_t index = 0; index < job_count_; ++index) {
        const TxPacket& packet = jobs_[index]->packet;
        for (uint32_t entry = 0; entry < packet.entry_count; ++entry) {
            const abi::NetResponse status =
                packet.entries[entry].extra ? abi::NetResponse::kNull : outcomes_[index];
            tx_.put({.id = packet.entries[entry].id, .status = static_cast<int16_t>(status)});
            step("net.tx.answering");
        }
    }
    const bool signal = tx_.publish();
    step("net.tx.published");
    if (!signal) return;
    tx_port_.notify();
    owner_.counters().events_sent.add(1);
}

abi::NetResponse NetQueue::finish_job(Job& job) {
    if (job.outcome == TxOutcome::kBad) return abi::NetResponse::kError;
    const TxPacket& packet = job.packet;
    if (packet.multicast_request()) {
        bool done = true;
        if (packet.multicast_add) done = owner_.change_multicast(*packet.multicast_add, true);
        if (packet.multicast_delete) done = owner_.change_multicast(*packet.multicast_delete, false) && done;
        return done ? abi::NetResponse::kOkay : abi::NetResponse::kError;
    }
    for (uint32_t index = 0; index < packet.fragment_count; ++index) {
        if (segments_[job.first_segment + index].status == abi::GrantStatus::kOkay) continue;
        job.frame.reset();
        owner_.counters().from_guest.dropped(Drop::kGrant);
        return abi::NetResponse::kError;
    }
    FrameInfo& info = job.frame->info;
    info.checksum = packet.checksum_blank   ? Checksum::kPartial
                    : packet.data_validated ? Checksum::kVerified
                                            : Checksum::kUnknown;
    info.gso = packet.gso;
    info.gso_size = packet.gso == Gso::kNone ? uint16_t{0} : packet.gso_size;
    return owner_.transmit(std::move(job.frame)) ? abi::NetResponse::kOkay : abi::NetResponse::kDropped;
}

void NetQueue::lose_uncertain_transmit() {
    RingEntries entries(tx_);
    std::vector<TxPacket> lost;
    while (tx_.uncertain() != 0) {
        TxPacket packet;
        const char* problem = nullptr;
        // Only the grant of an entry was overwritten, and what an extra says; not what is looked at here. The
        // sizes that make a packet bad are no matter.
        const TxOutcome outcome = parse_tx_packet(entries, packet, problem);
        if (outcome == TxOutcome::kNothing) break;
        if (outcome == TxOutcome::kBroken) return owner_.queue_broken(problem);
        lost.push_back(packet);
    }
    if (lost.empty()) return;
    uint32_t count = 0;
    for (const TxPacket& packet : lost)
        count += packet.entry_count;
    tx_.announce(count);
    for (const TxPacket& packet : lost) {
        for (uint32_t index = 0; index < packet.entry_count; ++index) {
            const bool extra = packet.entries[index].extra;
            const auto status = extra ? abi::NetResponse::kNull : abi::NetResponse::kOkay;
            tx_.put({.id = packet.entries[index].id, .status = static_cast<int16_t>(status)});
            step("net.tx.losing");
        }
    }
    owner_.counters().from_guest.dropped(Drop::kRestart, lost.size());
    tx_.publish();
}

// --- to the guest

bool NetQueue::enqueue(FramePtr frame) {
    if (backlog_.size() >= kBacklogFrames || backlog_memory_ + frame->memory() > kBacklogMemory) {
        owner_.counters().to_guest.dropped(Drop::kBacklog);
        return false;
    }
    if (slots_for(*frame) > rx_.capacity() || (!features_.scatter_gather && frame->size() > kGuestPageSize)) {
        owner_.counters().to_guest.dropped(Drop::kTooLarge);
        return false;
    }
    backlog_memory_ += frame->memory();
    backlog_.push_back(std::move(frame));
    return true;
}

uint32_t NetQueue::slots_for(const Frame& frame) const {
    const size_t pages = (frame.size() + kGuestPageSize - 1) / kGuestPageSize;
    return static_cast<uint32_t>(pages) + (frame.info.gso != Gso::kNone ? 1 : 0) +
           (frame.info.hash.present ? 1 : 0);
}

void NetQueue::serve_receive() {
    while (!backlog_.empty()) {
        planned_ = {};
        size_t frames = 0;
        while (frames < std::min(backlog_.size(), kReceiveBatch) && planned_.copies < kReceiveBatch &&
               rx_.available() >= slots_for(*backlog_[frames])) {
            plan_receive(*backlog_[frames++]);
        }
        if (rx_.broken()) return owner_.queue_broken("its receive ring has more requests than slots");
        if (frames != 0) answer_receive();
        for (; frames != 0; --frames) {
            backlog_memory_ -= backlog_.front()->memory();
            backlog_.pop_front();
        }
        if (backlog_.empty()) return;
        if (!features_.receive_notify) return drop_backlog();
        if (!rx_.enable_events(slots_for(*backlog_.front()))) return;
    }
}

void NetQueue::plan_receive(const Frame& frame) {
    const FrameInfo& info = frame.info;
    uint16_t flags = 0;
    if (info.checksum == Checksum::kPartial) flags |= abi::kRxChecksumBlank | abi::kRxDataValidated;
    if (info.checksum == Checksum::kVerified) flags |= abi::kRxDataValidated;
    if (info.gso != Gso::kNone || info.hash.present) flags |= abi::kRxExtraInfo;
    plan_pages(frame.bytes().first(std::min(frame.size(), kGuestPageSize)), flags,
               frame.size() > kGuestPageSize);
    if (info.gso != Gso::kNone) {
        abi::NetExtraInfo extra{.type = abi::NetExtraType::kGso, .flags = 0, .u = {}};
        const auto type = info.gso == Gso::kTcpV6 ? abi::NetGsoType::kTcpV6 : abi::NetGsoType::kTcpV4;
        extra.u.gso = {.size = info.gso_size, .type = type, .pad = 0, .features = 0};
        plan_extra(extra, info.hash.present);
    }
    if (info.hash.present) {
        abi::NetExtraInfo extra{.type = abi::NetExtraType::kHash, .flags = 0, .u = {}};
        extra.u.hash.type = info.hash.type;
        extra.u.hash.algorithm = static_cast<uint8_t>(abi::NetHashAlgorithm::kToeplitz);
        for (unsigned byte = 0; byte < 4; ++byte)
            extra.u.hash.value[byte] = static_cast<uint8_t>(info.hash.value >> (byte * 8));
        plan_extra(extra, false);
    }
    if (frame.size() > kGuestPageSize) plan_pages(frame.bytes().subspan(kGuestPageSize), 0, false);
}

// `more`: of the frame, behind these bytes. Short, and nothing is written that is always the same: this is
// done for each page of a stream.
void NetQueue::plan_pages(std::span<const uint8_t> bytes, uint16_t flags, bool more) {
    GrantCopySegment* copy = &receive_copies_[planned_.copies];
    Answer* answer = &answers_[planned_.answers];
    auto* data = reinterpret_cast<std::byte*>(const_cast<uint8_t*>(bytes.data()));  // is only read
    for (size_t left = bytes.size(); left != 0; ++copy, ++answer) {
        const auto length = static_cast<uint16_t>(std::min(kGuestPageSize, left));
        left -= length;
        const auto request = rx_.take();
        copy->gref = GrantRef(request->gref);
        copy->length = length;
        copy->local = data;
        data += length;
        const uint16_t marks = left != 0 || more ? abi::kRxMoreData : uint16_t{0};
        *answer = {{.id = request->id,
                    .offset = 0,
                    .flags = static_cast<uint16_t>(flags | marks),
                    .status = static_cast<int16_t>(length)},
                   false};
    }
    planned_.copies = static_cast<size_t>(copy - receive_copies_.data());
    planned_.answers = static_cast<size_t>(answer - answers_.data());
}

void NetQueue::plan_extra(const abi::NetExtraInfo& extra, bool more) {
    rx_.take();  // its buffer goes back to the guest unused
    abi::NetExtraInfo marked = extra;
    marked.flags = more ? abi::kNetExtraMore : uint8_t{0};
    static_assert(sizeof(abi::NetExtraInfo) == sizeof(abi::RxResponse));
    answers_[planned_.answers++] = {std::bit_cast<abi::RxResponse>(marked), true};
}

void NetQueue::answer_receive() {
    step("net.rx.taken");
    memory_.copy({receive_copies_.data(), planned_.copies});
    owner_.counters().copy_calls.add(1);
    step("net.rx.copied");
    rx_.announce(static_cast<uint32_t>(planned_.answers));
    bool failed = false;
    const GrantCopySegment* copy = receive_copies_.data();
    for (Answer& answer : std::span(answers_).first(planned_.answers)) {
        if (!answer.extra) {
            if (copy->status != abi::GrantStatus::kOkay) [[unlikely]] {
                answer.response.status = static_cast<int16_t>(abi::NetResponse::kError);
                failed = true;
            }
            ++copy;
            if ((answer.response.flags & abi::kRxMoreData) == 0) {
                if (failed) owner_.counters().to_guest.dropped(Drop::kGrant);
                failed = false;
            }
        }
        rx_.put(answer.response);
        step("net.rx.answering");
    }
    const bool signal = rx_.publish();
    step("net.rx.published");
    if (!signal) return;
    (rx_port_.bound() ? rx_port_ : tx_port_).notify();
    owner_.counters().events_sent.add(1);
}

void NetQueue::drop_backlog() {
    owner_.counters().to_guest.dropped(Drop::kBacklog, backlog_.size());
    backlog_.clear();
    backlog_memory_ = 0;
}

void NetQueue::lose_uncertain_receive() {
    uint32_t count = rx_.uncertain();
    if (count == 0) return;
    std::vector<uint16_t> ids;
    for (; count != 0; --count) {
        const auto request = rx_.take();
        if (!request) break;
        ids.push_back(request->id);
    }
    rx_.announce(static_cast<uint32_t>(ids.size()));
    // The buffers go back; the front end goes by the slot.
    for (const uint16_t id : ids) {
        rx_.put(
            {.id = id, .offset = 0, .flags = 0, .status = static_cast<int16_t>(abi::NetResponse::kError)});
        step("net.rx.losing");
    }
    owner_.counters().to_guest.dropped(Drop::kRestart);
    rx_.publish();
}

}  // namespace torii::backend::net
