#pragma once
// Domain identifiers as they cross the ABI (public xen.h). Values from kDomIdFirstReserved up name no
// ordinary domain.

#include <cstdint>

namespace torii::abi {

using RawDomId = uint16_t;

inline constexpr RawDomId kDomIdFirstReserved = 0x7FF0;
inline constexpr RawDomId kDomIdSelf = 0x7FF0;     // the caller
inline constexpr RawDomId kDomIdIo = 0x7FF1;       // owner of machine addresses that are not RAM
inline constexpr RawDomId kDomIdXen = 0x7FF2;      // owner of what the hypervisor shares (M2P, trace buffers)
inline constexpr RawDomId kDomIdCow = 0x7FF3;      // owner of shared copy-on-write frames
inline constexpr RawDomId kDomIdInvalid = 0x7FF4;  // names nobody
inline constexpr RawDomId kDomIdIdle = 0x7FFF;
inline constexpr RawDomId kDomIdMask = 0x7FFF;

}  // namespace torii::abi
