#pragma once
// What the two ends tell each other in xenstore (public io/blkif.h): features and properties of this end, and
// the frontend's parameters, of which none is believed.

#include "block/block_device.h"
#include "block/block_record.h"
#include "common/xenbus_peer.h"

namespace torii::backend {

// Published before the frontend connects.
XenbusPeer::Nodes block_features(const BlockConfig& config, const BlockGeometry& geometry);

// Published with the connection.
XenbusPeer::Nodes block_properties(const BlockConfig& config, const BlockGeometry& geometry,
                                   const BlockConnection& connection);

// The device's size as the guest sees it: whole sectors, in bytes.
uint64_t block_device_bytes(const BlockConfig& config, const BlockGeometry& geometry);

// Throws Failure with what is wrong with the frontend's parameters.
BlockConnection read_block_connection(const BlockConfig& config, const XenbusPeer& peer);

}  // namespace torii::backend
