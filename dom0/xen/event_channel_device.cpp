#include "xen/event_channel_device.h"

#include <unistd.h>

#include <boost/asio/buffer.hpp>
#include <exception>

#include "log/log.h"

namespace torii::dom0 {

EventChannelDevice::EventChannelDevice(boost::asio::io_context& context) : reader_(context, file()) {
    read_next();
}

EventChannelDevice::~EventChannelDevice() {
    reader_.release();  // the file is closed by who opened it
}

void EventChannelDevice::read_next() {
    reader_.async_read_some(boost::asio::buffer(ready_),
                            [this](const boost::system::error_code& error, size_t bytes) {
                                if (error == boost::asio::error::operation_aborted) return;
                                if (error) log_error("reading /dev/xen/evtchn: {}", error.message());
                                const std::exception_ptr problem = deliver(error ? 0 : bytes);
                                read_next();
                                // One ring's trouble, which must not stop the events of all others: the
                                // daemon's loop tells of it, and goes on.
                                if (problem) std::rethrow_exception(problem);
                            });
}

std::exception_ptr EventChannelDevice::deliver(size_t bytes) {
    std::exception_ptr problem;
    const auto ports = call_handlers(std::span(ready_.data(), bytes / sizeof(uint32_t)), problem);
    // Unmasked only now, so that a peer that signals all the time is heard once for each turn of the loop. A
    // signal that came meanwhile is pending and fires at once.
    (void)!::write(file(), ports.data(), ports.size_bytes());
    return problem;
}

}  // namespace torii::dom0
