#include "xenstore/socket_session.h"

#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <boost/asio/write.hpp>

#include "xenstore/socket_server.h"

namespace torii::dom0::xenstore {
namespace {

// Answers that a client may leave unread before it is served no further, and bytes written at once.
constexpr std::size_t kUnreadAnswers = 64;
constexpr std::size_t kWriteSize = 64 * 1024;

}  // namespace

SocketSession::SocketSession(Engine& engine, SocketServer& server, Socket socket, bool read_only)
    : engine_(engine), server_(&server), socket_(std::move(socket)), connection_(nullptr) {
    connection_ = &engine_.open_socket(read_only, [this] { flush(); });
}

void SocketSession::start() {
    read();
}

void SocketSession::close() {
    if (connection_ == nullptr) return;
    boost::system::error_code ignored;
    socket_.close(ignored);
    engine_.close_socket(*connection_);
    connection_ = nullptr;
}

void SocketSession::read() {
    if (reading_ || connection_ == nullptr) return;
    reading_ = true;
    socket_.async_read_some(
        boost::asio::buffer(read_buffer_),
        [self = shared_from_this()](const boost::system::error_code& error, std::size_t count) {
            self->reading_ = false;
            if (self->connection_ == nullptr) return;
            if (error) return self->end({});
            self->unserved_ = std::string_view(self->read_buffer_.data(), count);
            self->serve();
        });
}

void SocketSession::serve() {
    if (serving_ || connection_ == nullptr) return;
    serving_ = true;
    while (!unserved_.empty() && !must_wait()) {
        const std::size_t count = std::min(unserved_.size(), input_.wanted());
        input_.add(unserved_.substr(0, count));
        unserved_.remove_prefix(count);
        if (input_.broken()) {
            serving_ = false;
            return end("sent a message that is too long");
        }
        if (!input_.complete()) continue;
        engine_.handle_socket_request(*connection_, input_.take());
    }
    serving_ = false;
    if (unserved_.empty() && !must_wait()) read();
}

bool SocketSession::must_wait() const {
    return engine_.stalled() || connection_->output.replies() >= kUnreadAnswers;
}

void SocketSession::flush() {
    if (connection_ == nullptr || engine_.stalled()) return;
    write();
    // From inside serve() the loop there goes on by itself.
    if (!reading_) serve();
}

void SocketSession::write() {
    OutputQueue& output = connection_->output;
    if (writing_ || output.empty()) return;
    write_buffer_.clear();
    while (!output.empty() && write_buffer_.size() < kWriteSize) {
        const std::string_view next = output.front();
        const std::size_t size = next.size();
        write_buffer_.append(next);
        output.consume(size);
    }
    writing_ = true;
    boost::asio::async_write(
        socket_, boost::asio::buffer(write_buffer_),
        [self = shared_from_this()](const boost::system::error_code& error, std::size_t) {
            self->writing_ = false;
            if (self->connection_ == nullptr) return;
            if (error) return self->end({});
            self->flush();
        });
}

void SocketSession::end(const std::string& reason) {
    if (!reason.empty()) {
        engine_.refusals().log(LogSeverity::kWarning, "xenstore: " + connection_->describe() + ' ' + reason);
    }
    const auto self = shared_from_this();
    close();
    server_->forget(self);
}

}  // namespace torii::dom0::xenstore
