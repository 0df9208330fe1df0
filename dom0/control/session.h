#pragma once
// One client's connection: frames in, frames out, and what must end with it.

#include <torii/failure.h>
#include <torii/frame.h>
#include <torii/v1/control.pb.h>

#include <array>
#include <boost/asio/local/stream_protocol.hpp>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>

namespace torii::dom0 {

class Dispatcher;

class Session : public std::enable_shared_from_this<Session> {
public:
    Session(boost::asio::local::stream_protocol::socket socket, Dispatcher& dispatcher);
    ~Session();

    void start();

    // --- For the dispatcher
    void send(const v1::Reply& reply);
    // For output that may be skipped when the client does not keep up; false if it was.
    bool send_if_room(const v1::Reply& reply);
    void fail(uint64_t id, const Failure& failure);
    bool closed() const { return closed_; }

    // Something that a request of this client has begun and that ends with the client. Input is what the
    // client sends to it later.
    struct Attachment {
        std::function<void()> end;
        std::function<void(const std::string&)> input;
    };
    void attach(uint64_t id, Attachment attachment) { attachments_[id] = std::move(attachment); }
    // Forgets it without ending it.
    void detach(uint64_t id) { attachments_.erase(id); }
    const Attachment* attachment(uint64_t id) const;

private:
    void read_next();
    void take(const std::string& body);
    void write_next();
    void close();

    boost::asio::local::stream_protocol::socket socket_;
    Dispatcher& dispatcher_;
    FrameReader frames_;
    std::array<char, 4096> buffer_{};
    std::deque<std::string> output_;
    size_t output_bytes_ = 0;
    bool writing_ = false;
    bool unheard_ = false;  // the client takes no answers any more
    bool closed_ = false;
    std::map<uint64_t, Attachment> attachments_;
};

}  // namespace torii::dom0
