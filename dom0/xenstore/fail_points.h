#pragma once
// The steps between which a crash of the daemon must not hurt. Tests and the daemon's fail-point option name
// them.

#include <array>
#include <string_view>

namespace torii::dom0::xenstore::fail_point {

// A request's life, in order.
inline constexpr std::string_view kRequestRead = "xenstore.request_read";  // copied from the ring
inline constexpr std::string_view kRequestApplied =
    "xenstore.request_applied";                                              // done in memory, not journaled
inline constexpr std::string_view kRecordCopied = "xenstore.record_copied";  // in the journal, not yet valid
inline constexpr std::string_view kRecordCommitted = "xenstore.record_committed";  // valid
inline constexpr std::string_view kIndexAdvanced =
    "xenstore.index_advanced";  // the ring's consumer index is set
inline constexpr std::string_view kInputTaken =
    "xenstore.input_taken";  // part of a request journaled, index not set
// An answer's part that fits the ring.
inline constexpr std::string_view kReplyCopied = "xenstore.reply_copied";  // bytes in the ring, not journaled
inline constexpr std::string_view kReplyRecorded = "xenstore.reply_recorded";  // journaled, not visible
inline constexpr std::string_view kReplyPublished =
    "xenstore.reply_published";  // visible, other side not notified
// Rewriting the journal.
inline constexpr std::string_view kSnapshotWritten = "xenstore.snapshot_written";  // beside the old journal
inline constexpr std::string_view kSnapshotInstalled = "xenstore.snapshot_installed";  // in its place

inline constexpr std::array kAll{kRequestRead,    kRequestApplied,  kRecordCopied,     kRecordCommitted,
                                 kIndexAdvanced,  kInputTaken,      kReplyCopied,      kReplyRecorded,
                                 kReplyPublished, kSnapshotWritten, kSnapshotInstalled};

}  // namespace torii::dom0::xenstore::fail_point
