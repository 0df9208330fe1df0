// The service alone on Unix sockets, for the stock xenstore-* clients:
//     xenstore_standalone SOCKET_DIRECTORY [STATE_DIRECTORY]

#include <boost/asio/signal_set.hpp>
#include <csignal>
#include <cstdio>
#include <exception>
#include <string>

#include "xenstore/service.h"

int main(int argument_count, char** arguments) {
    using namespace torii::dom0::xenstore;
    if (argument_count < 2) {
        std::fprintf(stderr, "usage: %s SOCKET_DIRECTORY [STATE_DIRECTORY]\n", arguments[0]);
        return 2;
    }
    try {
        boost::asio::io_context io;
        Options options;
        options.socket_directory = arguments[1];
        if (argument_count > 2) options.state_directory = arguments[2];
        options.boot_id = "standalone";
        options.log = [](LogSeverity, std::string_view line) {
            std::fprintf(stderr, "%.*s\n", static_cast<int>(line.size()), line.data());
        };
        Service service(io, options);
        service.listen();
        boost::asio::signal_set stop(io, SIGTERM, SIGINT);
        stop.async_wait([&](const boost::system::error_code&, int) { io.stop(); });
        io.run();
    } catch (const std::exception& failure) {
        std::fprintf(stderr, "%s\n", failure.what());
        return 1;
    }
    return 0;
}
