#pragma once
// An image in a raw file or on a block device, through the loop (io_uring).
//
// The file is locked with flock(2), shared for reading alone, exclusively for writing. The lock belongs to
// the open file, which requests under way hold in the kernel: of a killed process it ends with the last of
// them. A block device that is written is claimed besides (O_EXCL), as the kernel claims one for a mount:
// what dom0 itself uses is refused, and what a guest writes can't be mounted in dom0 meanwhile.

#include <memory>
#include <string>

#include "block/block_engine.h"
#include "common/file_descriptor.h"

namespace torii::backend {

struct FileImage {
    std::string path;
    bool read_only = false;
    bool direct = true;          // past the page cache, where the file and `sector_size` allow
    uint32_t sector_size = 512;  // of the guest's device: what is asked for is a multiple of it
};

class FileEngine final : public BlockEngine {
public:
    // Opens and looks at the file; on any thread, may block. Throws Failure (kSystem, kInvalidArgument).
    FileEngine(IoLoop& loop, const FileImage& image);

    // For tests: an open file of which nothing is asked but what goes through the loop.
    FileEngine(IoLoop& loop, int file, const BlockGeometry& geometry, std::function<bool()> try_lock);

    void open(std::optional<std::chrono::nanoseconds> patience, std::function<void(Opened)> opened) override;
    void submit(BlockIo& io) override;
    void measure(std::function<void(std::optional<uint64_t>)> measured) override;
    void close(std::function<void()> closed) override { loop_.post(std::move(closed)); }

private:
    struct Retry final : Completion {
        explicit Retry(FileEngine& engine) : engine_(engine) {}
        void done(int32_t) override { engine_.try_open(); }

    private:
        FileEngine& engine_;
    };

    void progressed(BlockIo& io, int32_t result) override;
    void go_on(BlockIo& io);
    void try_open();
    std::string find_obstacle();
    bool claim();

    IoLoop& loop_;
    std::string path_;
    FileDescriptor own_;
    int file_ = -1;
    bool exclusive_ = false;
    FileDescriptor claim_;
    BlockGeometry geometry_;
    std::function<bool()> try_lock_;
    Retry retry_{*this};
    std::function<void(Opened)> opened_;
    std::optional<std::chrono::nanoseconds> give_up_at_;
};

}  // namespace torii::backend
