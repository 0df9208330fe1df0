#pragma once
// An interface whose frames go to a NAT helper (nat_protocol.h, nat/). The helper outlives this process, and
// with it the guest's connections; the port connects to it whenever it is there, and asks for it when it is
// not. Frames meanwhile are lost.

#include <deque>
#include <map>
#include <memory>

#include "common/io_loop.h"
#include "net/nat_protocol.h"
#include "net/port.h"
#include "net/waiter.h"

namespace torii::backend::net {

class NatPort final : public FramePort {
public:
    // `wanted` is called when no helper answers, every few seconds; on this thread.
    NatPort(IoLoop& loop, const NatAttachment& attachment, uint16_t mtu, PortUser& user,
            std::function<void()> wanted);

    // libslirp cuts its own segments, so a large one is as good as many; checksums it looks at.
    Takes takes() const override { return {false, false, true, true}; }
    bool ready() const override { return pending_.empty(); }
    bool send(FramePtr frame) override;
    void flush() override;
    bool link() const override { return connected_; }
    void change_forward(const PortForward& forward, bool add,
                        std::function<void(const std::string&)> done) override;
    void end() override;

private:
    void connect();
    void lose(bool at_once);
    void wait_readable();
    void readable();
    bool receive_burst();
    void take_message(std::span<const uint8_t> message);
    void greet(const NatHello& hello);
    bool send_control(const std::vector<uint8_t>& message);
    void wait_writable();
    void request_forward(const PortForward& forward, bool add, std::function<void(const std::string&)> done);
    void forward_done(uint32_t sequence, std::span<const uint8_t> text);

    const NatAttachment attachment_;
    const uint16_t mtu_;
    PortUser& user_;
    std::function<void()> wanted_;

    std::shared_ptr<FileDescriptor> socket_;
    bool connected_ = false;  // and both have said Hello
    unsigned attempts_ = 0;   // that failed since the helper was last there
    Waiter readable_;
    Waiter writable_;
    Waiter retry_;

    std::deque<FramePtr> pending_;  // in this burst, or left over by a full socket
    uint32_t next_sequence_ = 1;
    struct Request {
        PortForward forward;
        std::function<void(const std::string&)> done;
    };
    std::map<uint32_t, Request> requests_;
};

// Tells the helper at a socket to end. False when none answers there. For helpers whose guest is gone.
bool end_nat_helper(const std::string& socket_path);

}  // namespace torii::backend::net
