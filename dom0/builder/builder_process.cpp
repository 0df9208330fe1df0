#include "builder/builder_process.h"

#include <signal.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/asio/buffer.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>
#include <cerrno>
#include <cstring>

#include "lifecycle/uuid.h"
#include "log/log.h"
#include "xen/file_descriptor.h"
#include "xen/privcmd.h"

namespace torii::dom0 {

using boost::asio::local::stream_protocol;

BuildRequest to_build_request(const v1::BuilderRequest& request) {
    const v1::DomainConfig& config = request.config();
    BuildRequest build;
    build.uuid = parse_uuid(request.uuid()).value_or(Uuid{});
    build.kernel_path = config.kernel();
    build.ramdisk_path = config.ramdisk();
    build.command_line = config.command_line();
    build.memory_kib = config.memory_kib();
    build.max_memory_kib = config.max_memory_kib();
    build.vcpus = config.max_vcpus() == 0 ? config.vcpus() : config.max_vcpus();
    switch (config.tsc_mode()) {
        case v1::TSC_DEFAULT:
            build.tsc_policy = TscPolicy::kDefault;
            break;
        case v1::TSC_EMULATE:
            build.tsc_policy = TscPolicy::kAlwaysEmulate;
            break;
        default:
            build.tsc_policy = TscPolicy::kNeverEmulate;
            break;
    }
    return build;
}

BuilderProcess::BuilderProcess(boost::asio::io_context& context, Callbacks callbacks)
    : channel_(context), callbacks_(std::move(callbacks)) {}

BuilderProcess::~BuilderProcess() {
    if (child_ > 0) {
        ::kill(child_, SIGKILL);
        ::waitpid(child_, nullptr, 0);
    }
}

std::shared_ptr<BuilderProcess> BuilderProcess::start(boost::asio::io_context& context,
                                                      const v1::BuilderRequest& request,
                                                      const std::string& fail_point, Callbacks callbacks) {
    auto process = std::make_shared<BuilderProcess>(context, std::move(callbacks));
    process->spawn(fail_point);
    const std::string frame = encode_frame(request.SerializeAsString());
    boost::system::error_code ignored;  // a builder that is gone is noticed by reading
    boost::asio::write(process->channel_, boost::asio::buffer(frame), ignored);
    process->read_next();
    return process;
}

void BuilderProcess::spawn(const std::string& fail_point) {
    int pair[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) {
        throw Failure(ErrorCode::kSystem, fmt::format("cannot start a builder: {}", std::strerror(errno)));
    }
    channel_.assign(stream_protocol(), pair[0]);
    const FileDescriptor theirs(pair[1]);
    posix_spawn_file_actions_t actions;
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawn_file_actions_adddup2(&actions, theirs.get(), STDIN_FILENO);
    std::string name = "toriid";
    std::string mode = "--builder";
    std::string fail = "--fail-point=" + fail_point;
    char* arguments[] = {name.data(), mode.data(), fail.data(), nullptr};
    // posix_spawn shares memory until the exec: unlike fork it costs no copy of the daemon's page tables,
    // which are write-protected in a paravirtual dom0 and therefore slow to copy.
    pid_t child = -1;
    const int problem = ::posix_spawn(&child, "/proc/self/exe", &actions, nullptr, arguments, environ);
    ::posix_spawn_file_actions_destroy(&actions);
    if (problem != 0) {
        throw Failure(ErrorCode::kSystem, fmt::format("cannot start a builder: {}", std::strerror(problem)));
    }
    child_ = child;
}

void BuilderProcess::cancel() {
    cancelled_ = true;
    if (child_ > 0) ::kill(child_, SIGKILL);
}

void BuilderProcess::read_next() {
    channel_.async_read_some(
        boost::asio::buffer(buffer_),
        [self = shared_from_this()](const boost::system::error_code& error, size_t count) {
            if (error) {
                self->ended();
                return;
            }
            self->frames_.append({self->buffer_.data(), count});
            try {
                while (auto body = self->frames_.next()) {
                    v1::BuilderEvent event;
                    if (event.ParseFromString(*body)) self->take(event);
                }
            } catch (const Failure& failure) {
                log_error("a builder sends nonsense and is stopped: {}", failure.what());
                ::kill(self->child_, SIGKILL);
                self->ended();
                return;
            }
            self->read_next();
        });
}

void BuilderProcess::take(const v1::BuilderEvent& event) {
    if (event.event_case() == v1::BuilderEvent::kProgress) {
        callbacks_.progress(event.progress().step(), event.progress().percent());
        return;
    }
    outcome_ = event;
}

// The channel closes when the builder's process is as good as gone; its mappings go with it, which waitpid
// awaits.
void BuilderProcess::ended() {
    int status = 0;
    ::waitpid(child_, &status, 0);
    child_ = -1;
    if (cancelled_) {
        callbacks_.failed(Failure(ErrorCode::kAborted, "the creation was cancelled"));
    } else if (outcome_.event_case() == v1::BuilderEvent::kResult) {
        callbacks_.built(outcome_.result());
    } else if (outcome_.event_case() == v1::BuilderEvent::kFailure) {
        callbacks_.failed(
            Failure(static_cast<ErrorCode>(outcome_.failure().code()), outcome_.failure().sentence()));
    } else {
        const std::string how = WIFSIGNALED(status) ? fmt::format("signal {}", WTERMSIG(status))
                                                    : fmt::format("status {}", WEXITSTATUS(status));
        callbacks_.failed(
            Failure(ErrorCode::kInternal, fmt::format("the process that builds the domain ended early "
                                                      "({}): is dom0 short of memory, or has the "
                                                      "kernel's file changed meanwhile?",
                                                      how)));
    }
}

namespace {

void send_event(const v1::BuilderEvent& event) {
    std::string frame = encode_frame(event.SerializeAsString());
    std::string_view rest = frame;
    while (!rest.empty()) {
        const ssize_t count = ::send(STDIN_FILENO, rest.data(), rest.size(), MSG_NOSIGNAL);
        if (count < 0 && errno == EINTR) continue;
        if (count <= 0) return;  // the daemon is gone, and we soon
        rest.remove_prefix(static_cast<size_t>(count));
    }
}

v1::BuilderRequest receive_request() {
    FrameReader frames;
    char buffer[4096];
    while (true) {
        const ssize_t count = ::read(STDIN_FILENO, buffer, sizeof(buffer));
        if (count < 0 && errno == EINTR) continue;
        if (count <= 0) throw Failure(ErrorCode::kRpc, "the daemon sent no request");
        frames.append({buffer, static_cast<size_t>(count)});
        if (const auto body = frames.next()) {
            v1::BuilderRequest request;
            if (!request.ParseFromString(*body))
                throw Failure(ErrorCode::kRpc, "the daemon's request is damaged");
            return request;
        }
    }
}

}  // namespace

int run_builder(const FailPointHook& fail_point) {
    const pid_t daemon = ::getppid();
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != daemon || daemon == 1) return 1;  // it died before we could ask to die with it
    v1::BuilderEvent event;
    try {
        const BuildRequest request = to_build_request(receive_request());
        Privcmd calls;
        Hypervisor hypervisor(calls);
        const ProgressCallback progress = [](const std::string& step, unsigned percent) {
            v1::BuilderEvent told;
            told.mutable_progress()->set_step(step);
            told.mutable_progress()->set_percent(percent);
            send_event(told);
        };
        const BuiltDomain built = build_domain(hypervisor, request, progress, fail_point);
        v1::BuilderResult& result = *event.mutable_result();
        result.set_domid(built.domain.raw());
        result.set_xenstore_frame(built.xenstore_frame.raw());
        result.set_xenstore_port(built.xenstore_port.raw());
        result.set_console_frame(built.console_frame.raw());
        result.set_console_port(built.console_port.raw());
    } catch (const Failure& failure) {
        event.mutable_failure()->set_code(static_cast<int>(failure.code()));
        event.mutable_failure()->set_sentence(failure.what());
    } catch (const std::bad_alloc&) {
        event.mutable_failure()->set_code(static_cast<int>(ErrorCode::kNoMemory));
        event.mutable_failure()->set_sentence("dom0 has too little memory to build this domain");
    }
    send_event(event);
    // Not exit(): destructors would undo mapping after mapping what the end of the process undoes at once.
    ::_exit(0);
}

}  // namespace torii::dom0
