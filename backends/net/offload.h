#pragma once
// What senders leave to others: filling in checksums and cutting TCP streams into segments. Used when the
// receiver does not take such frames as they are, and to check that a frame can have what is asked for it.

#include <vector>

#include "net/frame.h"

namespace torii::backend::net {

// Makes the frame of a guest that left its checksum blank one with Checksum::kPartial: finds the TCP or UDP
// header and puts the sum of the pseudo-header into it, whatever the guest left there. False when there is no
// such header, or the packet is one fragment of several.
bool prepare_checksum(Frame& frame);

// Fills a partial checksum in. The frame must have one.
void complete_checksum(Frame& frame);

// Holds a frame's GSO against its headers: a TCP packet over the right IP, whole, with its checksum left to
// do. Fills `header_length` in, and takes the GSO away where one segment is enough. False when it cannot be.
bool prepare_gso(Frame& frame);

// A frame from elsewhere (a tap device): whether all its offsets lie in it, and its GSO can be.
bool check_offsets(Frame& frame);

// What a receiver takes as it is.
struct Takes {
    bool partial_checksum_v4 = false;
    bool partial_checksum_v6 = false;
    bool segmentation_v4 = false;
    bool segmentation_v6 = false;
};
// Makes of a frame what the receiver takes, one frame or several, and appends it to `shaped`. (A receiver may
// take one large segment, but with its checksum filled in.)
void shape(FramePtr frame, const Takes& takes, std::vector<FramePtr>& shaped);

// Cuts a frame with GSO, that prepare_gso() has passed, into frames of at most gso_size payload bytes, in
// order. Their checksums are partial, or filled in.
std::vector<FramePtr> segment(const Frame& frame, bool fill_checksums);

}  // namespace torii::backend::net
