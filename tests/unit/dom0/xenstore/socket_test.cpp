// A client on the Unix socket, as libxenstore is one.

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <boost/asio/buffer.hpp>
#include <boost/asio/local/stream_protocol.hpp>

#include "xenstore_kit.h"

namespace torii::dom0::xenstore::test {
namespace {

class SocketTest : public ::testing::Test {
protected:
    using Socket = boost::asio::local::stream_protocol::socket;

    void SetUp() override { world.service().listen(); }

    Socket connect(const std::string& name = "socket") {
        Socket socket(client_io_);
        socket.connect((world.directory() / name).string());
        socket.non_blocking(true);
        return socket;
    }
    void send(Socket& socket, std::string_view bytes) {
        while (!bytes.empty()) {
            boost::system::error_code error;
            const std::size_t count =
                socket.write_some(boost::asio::buffer(bytes.data(), bytes.size()), error);
            bytes.remove_prefix(count);
            world.run();
        }
    }
    // The next message; nothing if the other side has closed or stays silent.
    std::optional<Message> receive(Socket& socket) {
        MessageAssembler assembler;
        for (int idle = 0; idle != 50;) {
            char byte = 0;
            boost::system::error_code error;
            if (socket.read_some(boost::asio::buffer(&byte, 1), error) == 1) {
                assembler.add(std::string_view(&byte, 1));
                if (assembler.complete()) return assembler.take();
                continue;
            }
            if (error != boost::asio::error::would_block) return std::nullopt;
            ++idle;
            world.run();
        }
        return std::nullopt;
    }
    std::string ask(Socket& socket, Type type, std::string_view payload, std::uint32_t transaction = 0) {
        send(socket, encode_message(type, 1, transaction, payload));
        const auto answer = receive(socket);
        if (!answer) return "nothing";
        return (answer->header.type == static_cast<std::uint32_t>(Type::kError) ? "!" : "") +
               with_bars(answer->payload);
    }

    World world;
    boost::asio::io_context client_io_;
};

TEST_F(SocketTest, IsForTheOwnerOnly) {
    for (const std::string name : {"socket", "socket_ro"}) {
        struct stat status {};
        ASSERT_EQ(::stat((world.directory() / name).c_str(), &status), 0);
        EXPECT_EQ(status.st_mode & 0777, 0600u);
    }
}

TEST_F(SocketTest, ReadsWritesAndWatches) {
    Socket a = connect();
    Socket b = connect();
    EXPECT_EQ(ask(a, Type::kWatch, zero_terminated("/x|tok")), "OK");
    EXPECT_EQ(with_bars(receive(a)->payload), "/x|tok");
    EXPECT_EQ(ask(b, Type::kWrite, std::string("/x/y\0hello", 10)), "OK");
    EXPECT_EQ(ask(b, Type::kRead, zero_terminated("/x/y")), "hello");
    EXPECT_EQ(with_bars(receive(a)->payload), "/x/y|tok");
    EXPECT_EQ(ask(b, Type::kRead, zero_terminated("/nope")), "!ENOENT");
    EXPECT_EQ(ask(b, Type::kWrite, std::string("rel\0v", 5)), "OK");
    EXPECT_EQ(world.client().read("/local/domain/0/rel"), "v");
}

TEST_F(SocketTest, ReadOnlySocketOnlyReads) {
    Socket socket = connect("socket_ro");
    world.client().write("/x", "1");
    EXPECT_EQ(ask(socket, Type::kRead, zero_terminated("/x")), "1");
    EXPECT_EQ(ask(socket, Type::kWrite, std::string("/x\0002", 4)), "!EROFS");
    EXPECT_EQ(ask(socket, Type::kRm, zero_terminated("/x")), "!EROFS");
    EXPECT_EQ(ask(socket, Type::kMkdir, zero_terminated("/y")), "!EROFS");
    EXPECT_EQ(ask(socket, Type::kSetPerms, zero_terminated("/x|r0")), "!EROFS");
    EXPECT_EQ(ask(socket, Type::kRelease, zero_terminated("5")), "!EROFS");
    EXPECT_EQ(world.client().read("/x"), "1");
}

TEST_F(SocketTest, EndOfTheConnectionEndsWatchesAndTransactions) {
    {
        Socket socket = connect();
        ask(socket, Type::kWatch, zero_terminated("/x|tok"));
        ask(socket, Type::kTransactionStart, zero_terminated(""));
        EXPECT_EQ(world.service().counters().watches, 1u);
        EXPECT_EQ(world.service().counters().transactions, 1u);
        EXPECT_EQ(world.service().counters().socket_connections, 1u);
    }
    for (int i = 0; i != 5; ++i)
        world.run();
    EXPECT_EQ(world.service().counters().watches, 0u);
    EXPECT_EQ(world.service().counters().transactions, 0u);
    EXPECT_EQ(world.service().counters().socket_connections, 0u);
}

TEST_F(SocketTest, TooLongMessageEndsTheConnection) {
    Socket socket = connect();
    std::string header = encode_message(Type::kRead, 0, 0, "");
    const std::uint32_t length = 5000;
    std::memcpy(header.data() + 12, &length, sizeof(length));
    send(socket, header);
    EXPECT_FALSE(receive(socket));
    Socket other = connect();
    EXPECT_EQ(ask(other, Type::kRead, zero_terminated("/")), "");
}

TEST_F(SocketTest, ClientThatDoesNotReadIsNotServedWithoutEnd) {
    world.client().write("/big", std::string(4000, 'x'));
    Socket socket = connect();
    const std::string request = encode_message(Type::kRead, 0, 0, zero_terminated("/big"));
    std::size_t sent = 0;
    for (int idle = 0; idle != 20; ++sent) {
        boost::system::error_code error;
        if (socket.write_some(boost::asio::buffer(request), error) == 0) ++idle;
        world.run();
        ASSERT_LT(sent, 100'000u);
    }
    const std::uint64_t served = world.service().counters().requests;
    for (int i = 0; i != 100; ++i)
        world.run();
    EXPECT_EQ(world.service().counters().requests, served);
    EXPECT_LT(served, 1000u);
    // It reads at last, and is served again.
    for (int i = 0; i != 200; ++i)
        ASSERT_TRUE(receive(socket)) << i;
    EXPECT_GT(world.service().counters().requests, served);
}

TEST_F(SocketTest, ManyClientsComeAndGo) {
    for (int round = 0; round != 20; ++round) {
        std::vector<Socket> sockets;
        for (int i = 0; i != 20; ++i)
            sockets.push_back(connect());
        for (Socket& socket : sockets)
            EXPECT_EQ(ask(socket, Type::kMkdir, zero_terminated("/m")), "OK");
    }
    for (int i = 0; i != 5; ++i)
        world.run();
    EXPECT_EQ(world.service().counters().socket_connections, 0u);
}

}  // namespace
}  // namespace torii::dom0::xenstore::test
