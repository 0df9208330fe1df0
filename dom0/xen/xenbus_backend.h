#pragma once
// /dev/xen/xenbus_backend: the ring through which dom0's own kernel talks to xenstore.

#include <memory>

#include "xen/event_channels.h"
#include "xen/privileged_calls.h"

namespace torii::dom0 {

struct KernelStoreRing {
    OwnedMemory page;
    Port port;  // of dom0's kernel, to be bound interdomain with dom0 itself
};

// Throws Failure (kNoXenstore) when this is not the initial domain or another daemon serves the store
// already.
KernelStoreRing open_kernel_store_ring();

}  // namespace torii::dom0
