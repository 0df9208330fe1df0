#include "control/session.h"

#include <boost/asio/buffer.hpp>
#include <boost/asio/write.hpp>

#include "control/dispatch.h"
#include "log/log.h"

namespace torii::dom0 {
namespace {

constexpr size_t kOutputRoom = 256 * 1024;        // of console output that waits for a slow client
constexpr size_t kOutputLimit = 8 * 1024 * 1024;  // then the client is dropped

}  // namespace

Session::Session(boost::asio::local::stream_protocol::socket socket, Dispatcher& dispatcher)
    : socket_(std::move(socket)), dispatcher_(dispatcher) {}

Session::~Session() {
    close();
}

void Session::start() {
    read_next();
}

const Session::Attachment* Session::attachment(uint64_t id) const {
    const auto found = attachments_.find(id);
    return found == attachments_.end() ? nullptr : &found->second;
}

void Session::read_next() {
    socket_.async_read_some(
        boost::asio::buffer(buffer_),
        [self = shared_from_this()](const boost::system::error_code& error, size_t count) {
            if (error) {
                self->close();
                return;
            }
            try {
                self->frames_.append({self->buffer_.data(), count});
                while (const auto body = self->frames_.next())
                    self->take(*body);
            } catch (const Failure& failure) {
                log_warning("a client of the control socket is dropped: {}", failure.what());
                self->close();
                return;
            }
            if (!self->closed_) self->read_next();
        });
}

void Session::take(const std::string& body) {
    v1::Request request;
    if (!request.ParseFromString(body))
        throw Failure(ErrorCode::kRpc, "it sent a message that is not a request");
    try {
        dispatcher_.handle(shared_from_this(), request);
    } catch (const Failure& failure) {
        fail(request.id(), failure);
    } catch (const std::exception& problem) {
        log_error("a request failed in an unexpected way: {}", problem.what());
        fail(request.id(), Failure(ErrorCode::kInternal, problem.what()));
    }
}

void Session::fail(uint64_t id, const Failure& failure) {
    v1::Reply reply;
    reply.set_id(id);
    reply.mutable_failure()->set_code(static_cast<int>(failure.code()));
    reply.mutable_failure()->set_sentence(failure.what());
    send(reply);
}

void Session::send(const v1::Reply& reply) {
    if (closed_ || unheard_) return;
    std::string frame = encode_frame(reply.SerializeAsString());
    output_bytes_ += frame.size();
    if (output_bytes_ > kOutputLimit) {
        log_warning("a client of the control socket does not read its answers and is dropped");
        close();
        return;
    }
    output_.push_back(std::move(frame));
    write_next();
}

bool Session::send_if_room(const v1::Reply& reply) {
    if (output_bytes_ > kOutputRoom) return false;
    send(reply);
    return true;
}

void Session::write_next() {
    if (writing_ || closed_ || output_.empty()) return;
    writing_ = true;
    boost::asio::async_write(socket_, boost::asio::buffer(output_.front()),
                             [self = shared_from_this()](const boost::system::error_code& error, size_t) {
                                 self->writing_ = false;
                                 if (error) {
                                     // It asked, and left without waiting for the answer: what it has sent
                                     // before it left counts all the same.
                                     self->unheard_ = true;
                                     self->output_.clear();
                                     self->output_bytes_ = 0;
                                     return;
                                 }
                                 self->output_bytes_ -= self->output_.front().size();
                                 self->output_.pop_front();
                                 self->write_next();
                             });
}

void Session::close() {
    if (closed_) return;
    closed_ = true;
    const auto attachments = std::move(attachments_);
    attachments_.clear();
    for (const auto& [id, attachment] : attachments)
        attachment.end();
    boost::system::error_code ignored;
    socket_.close(ignored);
}

}  // namespace torii::dom0
