#include "devices/service_thread.h"

#include <exception>

#include "log/log.h"
#include "xen/granted_memory.h"

namespace torii::dom0 {

ServiceThread::ServiceThread(PrivilegedCalls& calls) : pages_(calls) {
    loop_.post([this] {
        backend::copy_memory_of_thread() = &pages_;
        channels_.start();
    });
    thread_ = std::thread([this] { loop_.run(); });
}

ServiceThread::~ServiceThread() {
    stop();
    // Before the loop and the event channels that they use.
    forget_parts();
}

void ServiceThread::stop() {
    if (!thread_.joinable()) return;
    loop_.stop();
    thread_.join();
}

void ServiceThread::tell(const std::exception& problem) {
    log_error("serving devices: {}", problem.what());
}

std::unique_ptr<backend::GuestMemory> ServiceThread::open_memory(backend::DomId guest) {
    return std::make_unique<GrantedMemory>(guest, pages_);
}

}  // namespace torii::dom0
