#pragma once
// Event channels of dom0, as the backends declare them.

#include "common/event_channels.h"
#include "xen/ids.h"

namespace torii::dom0 {

using backend::BoundPort;
using backend::EventChannels;

}  // namespace torii::dom0
