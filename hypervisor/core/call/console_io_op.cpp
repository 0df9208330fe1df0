// console_io (public xen.h): the emergency console of every domain, and the machine's console for the control
// domain.
#include <torii/abi/console_io.h>

#include "core/call/guest_ptr.h"
#include "core/call/handlers.h"
#include "core/console/console.h"
#include "core/domain/privilege.h"

namespace torii::call {
namespace {

constexpr size_t kPiece = 128;
// A serial line at 115200 baud takes about 90 microseconds for a byte; a device that is emulated takes far
// less.
constexpr uint32_t kPiecesPerTurn = 8;

CallResult write(CallContext& context) {
    uint32_t left = context.arg32<1>();
    uint64_t address = context.arg<2>();
    const bool machine_console = may_use_machine_console(context.domain());
    Budget budget(kPiecesPerTurn);
    while (left != 0) {
        if (!budget.spend(1)) {
            context.set_arg<1>(left);
            context.set_arg<2>(address);
            return Errno::kERESTART;
        }
        char piece[kPiece];
        const uint32_t size = left < kPiece ? left : static_cast<uint32_t>(kPiece);
        TRY(GuestArray<char>(address).read_many(0, piece, size));
        const std::string_view text(piece, size);
        if (machine_console) {
            console_write_through(text);
        } else {
            console_write_for_guest(context.domain().id, text);
        }
        left -= size;
        address += size;
    }
    return 0;
}

// As much as there is, at most a piece: a reader asks again until it reads nothing.
CallResult read(CallContext& context) {
    if (!may_use_machine_console(context.domain())) return Errno::kEPERM;
    const uint32_t room = context.arg32<1>();
    char piece[kPiece];
    const size_t wanted = room < kPiece ? room : kPiece;
    const size_t size = console_take_input(std::span<char>(piece, wanted));
    TRY(GuestArray<char>(context.arg<2>()).write_many(0, piece, size));
    return static_cast<int64_t>(size);
}

}  // namespace

CallResult console_io(CallContext& context) {
    switch (static_cast<abi::ConsoleIoOp>(context.arg32<0>())) {
        case abi::ConsoleIoOp::kWrite:
            return write(context);
        case abi::ConsoleIoOp::kRead:
            return read(context);
    }
    return Errno::kENOSYS;
}

}  // namespace torii::call
