#include "core/event/global_virq.h"

namespace torii {

constinit GlobalVirqs global_virqs;

Result<> GlobalVirqs::set_handler(uint32_t virq, EventTable& table) {
    if (virq >= abi::kVirqCount || !EventTable::is_global(static_cast<abi::Virq>(virq)))
        return Errno::kEINVAL;
    LockGuard guard(lock_);
    handlers_[bounded(virq, abi::kVirqCount)] = &table;
    return {};
}

void GlobalVirqs::forget(const EventTable& table) {
    LockGuard guard(lock_);
    for (EventTable*& handler : handlers_) {
        if (handler == &table) handler = nullptr;
    }
    if (default_ == &table) default_ = nullptr;
}

void GlobalVirqs::raise(abi::Virq virq) {
    // The lock keeps the handler alive: forget() comes before its end.
    LockGuard guard(lock_);
    EventTable* const own = handlers_[static_cast<uint32_t>(virq)];
    EventTable* const handler = own != nullptr ? own : default_;
    if (handler != nullptr) handler->raise_global_virq(virq);
}

}  // namespace torii
