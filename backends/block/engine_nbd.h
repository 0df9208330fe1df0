#pragma once
// An image behind an NBD server (libnbd): qcow2 and whatever else QEMU reads through qemu-nbd on a Unix
// socket, or any nbd:// or nbd+unix:// URI.
//
// Exclusive use is the server's matter: qemu-nbd takes one client at a time unless told otherwise, and the
// next only when no request of the last is under way. So a connection that a server like this accepted is its
// word that a killed process's requests have ended. Other servers give no such word: put a qemu-nbd between.
//
// A connection that is lost is not made again: a server that died may have lost writes that were answered,
// and a flush on a new connection would vouch for them. All requests fail from then on, until the device is
// attached again.

#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "block/block_engine.h"
#include "block/nbd_library.h"

namespace torii::backend {

struct NbdImage {
    std::string uri;
    bool read_only = false;
};

class NbdEngine final : public BlockEngine {
public:
    // Throws Failure: libnbd is not there.
    NbdEngine(IoLoop& loop, NbdImage image);
    ~NbdEngine() override;

    void open(std::optional<std::chrono::nanoseconds> patience, std::function<void(Opened)> opened) override;
    void submit(BlockIo& io) override;
    void measure(std::function<void(std::optional<uint64_t>)> measured) override;
    void close(std::function<void()> closed) override;

private:
    // Waits for the connection to be readable, writable, or for time; each once at a time.
    struct Wait final : Completion {
        Wait(NbdEngine& engine, void (NbdEngine::*ready)(int32_t)) : engine_(engine), ready_(ready) {}
        void done(int32_t result) override {
            pending = false;
            (engine_.*ready_)(result);
        }
        bool pending = false;

    private:
        NbdEngine& engine_;
        void (NbdEngine::*ready_)(int32_t);
    };
    struct Ended {
        BlockIo* io;
        int error;
    };

    void progressed(BlockIo& io, int32_t result) override;
    void issue(BlockIo& io);
    int64_t ask(BlockIo& io);
    void end_later(BlockIo& io, int error);
    static int command_ended(void* io, int* error);

    void try_connect();
    void negotiate();
    void describe();
    void give_up(const std::string& problem);
    void readable(int32_t result);
    void writable(int32_t result);
    void timed(int32_t result);
    void listen();
    void finish_close();

    std::string last_error() const;

    IoLoop& loop_;
    const NbdLibrary& nbd_ = NbdLibrary::get();
    const NbdImage image_;
    nbd_handle* handle_ = nullptr;
    BlockGeometry geometry_;
    std::function<void(Opened)> opened_;
    std::function<void()> closed_;
    std::optional<std::chrono::nanoseconds> give_up_at_;
    Wait readable_{*this, &NbdEngine::readable};
    Wait writable_{*this, &NbdEngine::writable};
    Wait timer_{*this, &NbdEngine::timed};
    std::vector<Ended> ended_;
    bool closing_ = false;
};

}  // namespace torii::backend
