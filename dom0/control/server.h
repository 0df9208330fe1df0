#pragma once
// The control socket: accepts clients, each served by a Session.

#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <filesystem>
#include <memory>
#include <string>

#include "control/dispatch.h"
#include "xen/file_descriptor.h"

namespace torii::dom0 {

class ControlServer {
public:
    // Makes the socket with mode 0660, owned by `group` if that exists. Throws Failure (kSystem).
    ControlServer(boost::asio::io_context& context, Dispatcher& dispatcher, const std::filesystem::path& path,
                  const std::string& group);
    // Takes a socket that somebody else has made, listens at, and removes.
    ControlServer(boost::asio::io_context& context, Dispatcher& dispatcher, FileDescriptor listening);
    ~ControlServer();

private:
    void accept_next();

    Dispatcher& dispatcher_;
    std::filesystem::path path_;  // empty: not ours to remove
    boost::asio::local::stream_protocol::acceptor acceptor_;
};

}  // namespace torii::dom0
