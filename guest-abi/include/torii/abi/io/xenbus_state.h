#pragma once
// States of one end of a PV device (public io/xenbus.h), written as decimal numbers to its "state" node.

#include <cstdint>

namespace torii::abi {

enum class XenbusState : uint32_t {
    kUnknown = 0,
    kInitialising = 1,
    kInitWait = 2,
    kInitialised = 3,
    kConnected = 4,
    kClosing = 5,
    kClosed = 6,
    kReconfiguring = 7,
    kReconfigured = 8,
};

}  // namespace torii::abi
