#pragma once
// Error numbers of the guest ABI (public errno.h). A hypercall that fails returns the negated number in rax.
// They happen to equal Linux's, but a guest must not rely on its own system's table: this one is the
// contract.

#include <cstdint>

namespace torii::abi {

enum class Errno : int32_t {
    kEPERM = 1,
    kENOENT = 2,
    kESRCH = 3,
    kEINTR = 4,  // inside the hypervisor only: never returned to a guest
    kEIO = 5,
    kENXIO = 6,
    kE2BIG = 7,
    kENOEXEC = 8,
    kEBADF = 9,
    kECHILD = 10,
    kEAGAIN = 11,
    kENOMEM = 12,
    kEACCES = 13,
    kEFAULT = 14,
    kEBUSY = 16,
    kEEXIST = 17,
    kEXDEV = 18,
    kENODEV = 19,
    kENOTDIR = 20,
    kEISDIR = 21,
    kEINVAL = 22,
    kENFILE = 23,
    kEMFILE = 24,
    kENOSPC = 28,
    kEROFS = 30,
    kEMLINK = 31,
    kEDOM = 33,
    kERANGE = 34,
    kEDEADLK = 35,
    kENAMETOOLONG = 36,
    kENOLCK = 37,
    kENOSYS = 38,
    kENOTEMPTY = 39,
    kENODATA = 61,
    kETIME = 62,
    kEBADMSG = 74,
    kEOVERFLOW = 75,
    kEILSEQ = 84,
    kERESTART = 85,  // inside the hypervisor only: never returned to a guest
    kENOTSOCK = 88,
    kEMSGSIZE = 90,
    kEOPNOTSUPP = 95,
    kEADDRINUSE = 98,
    kEADDRNOTAVAIL = 99,
    kENOBUFS = 105,
    kEISCONN = 106,
    kENOTCONN = 107,
    kETIMEDOUT = 110,
    kECONNREFUSED = 111,

    kEWOULDBLOCK = kEAGAIN,
    kEDEADLOCK = kEDEADLK,
};

// The value a failing hypercall leaves in rax.
constexpr int64_t negated(Errno error) {
    return -static_cast<int64_t>(error);
}

}  // namespace torii::abi
