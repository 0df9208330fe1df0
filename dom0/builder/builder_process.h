#pragma once
// Building happens in a process of its own (`toriid --builder`): unpacking and copying take seconds, the
// kernel file is not trusted, and thousands of foreign mappings are undone cheapest by ending. Dies with the
// daemon.

#include <torii/failure.h>
#include <torii/frame.h>
#include <torii/v1/internal.pb.h>

#include <array>
#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <functional>
#include <memory>
#include <string>

#include "builder/build.h"

namespace torii::dom0 {

// The daemon's side of one builder.
class BuilderProcess : public std::enable_shared_from_this<BuilderProcess> {
public:
    struct Callbacks {
        ProgressCallback progress;
        // The builder has ended, and with it every mapping it had. Exactly one of both is called, once.
        std::function<void(const v1::BuilderResult&)> built;
        std::function<void(const Failure&)> failed;
    };

    // Throws Failure (kSystem) when no process can be started.
    static std::shared_ptr<BuilderProcess> start(boost::asio::io_context& context,
                                                 const v1::BuilderRequest& request,
                                                 const std::string& fail_point, Callbacks callbacks);

    // `failed` follows, with kAborted.
    void cancel();

    BuilderProcess(boost::asio::io_context& context, Callbacks callbacks);
    ~BuilderProcess();

private:
    void spawn(const std::string& fail_point);
    void read_next();
    void take(const v1::BuilderEvent& event);
    void ended();

    boost::asio::local::stream_protocol::socket channel_;
    Callbacks callbacks_;
    FrameReader frames_;
    std::array<char, 4096> buffer_{};
    int child_ = -1;
    bool cancelled_ = false;
    v1::BuilderEvent outcome_;
};

// The builder's side: what `toriid --builder` runs, with the channel as standard input. Returns the exit
// status.
int run_builder(const FailPointHook& fail_point);

// Conversion shared by both sides and tests.
BuildRequest to_build_request(const v1::BuilderRequest& request);

}  // namespace torii::dom0
