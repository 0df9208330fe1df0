#include "control/dispatch.h"

#include <sys/sysinfo.h>
#include <sys/utsname.h>

#include <algorithm>

#include "control/session.h"
#include "log/log.h"

namespace torii::dom0 {
namespace {

constexpr size_t kPieceBytes = 64 * 1024;
constexpr size_t kMaxLogBytes = 4 * 1024 * 1024;
constexpr size_t kMaxHistoryBytes = 64 * 1024;
constexpr uint64_t kKibPerPage = 4;

v1::Reply reply_to(uint64_t id) {
    v1::Reply reply;
    reply.set_id(id);
    return reply;
}

void send_done(const std::shared_ptr<Session>& session, uint64_t id) {
    v1::Reply reply = reply_to(id);
    reply.mutable_done();
    session->send(reply);
}

void send_domain(const std::shared_ptr<Session>& session, uint64_t id, const v1::Domain& domain) {
    v1::Reply reply = reply_to(id);
    *reply.mutable_domain() = domain;
    session->send(reply);
}

void send_text(const std::shared_ptr<Session>& session, uint64_t id, const std::string& text) {
    size_t sent = 0;
    do {
        const size_t count = std::min(kPieceBytes, text.size() - sent);
        v1::Reply reply = reply_to(id);
        reply.mutable_text()->set_data(text.substr(sent, count));
        sent += count;
        reply.mutable_text()->set_last(sent == text.size());
        session->send(reply);
    } while (sent < text.size());
}

size_t bounded(uint64_t asked, size_t limit) {
    return asked == 0 ? limit : static_cast<size_t>(std::min<uint64_t>(asked, limit));
}

}  // namespace

void Dispatcher::handle(const std::shared_ptr<Session>& session, const v1::Request& request) {
    const uint64_t id = request.id();
    if (handle_cpus(session, request) || handle_devices(session, request)) return;
    switch (request.verb_case()) {
        case v1::Request::kCreate:
            return create(session, id, request.create());
        case v1::Request::kDestroy:
            return destroy(session, id, request.destroy());
        case v1::Request::kConsoleAttach:
            return attach_console(session, id, request.console_attach());
        case v1::Request::kConsoleInput:
            return console_input(session, id, request.console_input());
        case v1::Request::kCounters:
            return counters(session, id, request.counters());
        case v1::Request::kInfo:
            return info(session, id, request.info().domain());
        case v1::Request::kList: {
            v1::Reply reply = reply_to(id);
            auto* list = reply.mutable_domains();
            for (v1::Domain& domain : domains_.list())
                *list->add_domains() = std::move(domain);
            return session->send(reply);
        }
        case v1::Request::kHost: {
            v1::Reply reply = reply_to(id);
            *reply.mutable_host() = describe_host();
            return session->send(reply);
        }
        case v1::Request::kLog:
            return send_text(session, id,
                             domains_.console_log(request.log().domain(),
                                                  bounded(request.log().max_bytes(), kMaxLogBytes)));
        case v1::Request::kHypervisorLog:
            return send_text(session, id,
                             hypervisor_.read_log(request.hypervisor_log().clear(), kMaxLogBytes));
        case v1::Request::kPause:
            domains_.pause(request.pause().domain());
            break;
        case v1::Request::kUnpause:
            domains_.unpause(request.unpause().domain());
            break;
        case v1::Request::kShutdown:
            domains_.request_shutdown(request.shutdown().domain(), request.shutdown().reboot(),
                                      request.shutdown().for_good());
            break;
        case v1::Request::kRename:
            domains_.rename(request.rename().domain(), request.rename().new_name());
            break;
        case v1::Request::kMemorySet:
            domains_.set_memory(request.memory_set().domain(), request.memory_set().memory_kib());
            break;
        default:
            throw Failure(ErrorCode::kNotSupported,
                          "the daemon does not know this request: the command line is newer than the daemon");
    }
    send_done(session, id);
}

void Dispatcher::info(const std::shared_ptr<Session>& session, uint64_t id, const std::string& domain) {
    v1::Domain found = domains_.info(domain);
    vcpus_.add_share(found);
    if (found.managed()) *found.mutable_devices() = domains_.devices(found.uuid()).devices();
    send_domain(session, id, found);
}

void Dispatcher::create(const std::shared_ptr<Session>& session, uint64_t id,
                        const v1::CreateRequest& request) {
    const std::weak_ptr<Session> client = session;
    const auto progress = [client, id](const std::string& step, unsigned percent) {
        const auto alive = client.lock();
        if (!alive) return;
        v1::Reply reply = reply_to(id);
        reply.mutable_progress()->set_step(step);
        reply.mutable_progress()->set_percent(percent);
        alive->send(reply);
    };
    DomainManager::Outcome outcome;
    outcome.done = [client, id](const v1::Domain& domain) {
        const auto alive = client.lock();
        if (!alive) return;
        alive->detach(id);
        send_domain(alive, id, domain);
    };
    outcome.failed = [client, id](const Failure& failure) {
        const auto alive = client.lock();
        if (!alive) return;
        alive->detach(id);
        alive->fail(id, failure);
    };
    const std::string uuid =
        domains_.create(request.config(), request.paused(), progress, std::move(outcome));
    // Whoever gives up waiting wants nothing left behind.
    session->attach(id, {[this, uuid] { domains_.cancel_creation(uuid); }, nullptr});
}

void Dispatcher::destroy(const std::shared_ptr<Session>& session, uint64_t id,
                         const v1::DestroyRequest& request) {
    const std::weak_ptr<Session> client = session;
    DomainManager::Outcome outcome;
    outcome.done = [client, id](const v1::Domain& domain) {
        if (const auto alive = client.lock()) send_domain(alive, id, domain);
    };
    outcome.failed = [client, id](const Failure& failure) {
        if (const auto alive = client.lock()) alive->fail(id, failure);
    };
    domains_.destroy(request.domain(), std::move(outcome));
}

void Dispatcher::attach_console(const std::shared_ptr<Session>& session, uint64_t id,
                                const v1::ConsoleAttachRequest& request) {
    ConsoleConnection& connection = domains_.console(request.domain());
    // Sent also when it is empty: the client learns that it is attached.
    v1::Reply attached = reply_to(id);
    std::string history;
    if (request.history_bytes() != 0) {
        history = connection.console().log().tail(bounded(request.history_bytes(), kMaxHistoryBytes));
    }
    attached.mutable_console_data()->set_data(std::move(history));
    session->send(attached);
    const std::weak_ptr<Session> client = session;
    auto skipped = std::make_shared<size_t>(0);
    const auto reader =
        connection.console().add_reader([client, id, skipped](std::span<const uint8_t> bytes) {
            const auto alive = client.lock();
            if (!alive) return;
            std::string data(bytes.begin(), bytes.end());
            if (*skipped != 0) {
                data.insert(0, fmt::format("\r\n[{} bytes skipped: `torii log` has them]\r\n", *skipped));
            }
            v1::Reply reply = reply_to(id);
            reply.mutable_console_data()->set_data(std::move(data));
            *skipped = alive->send_if_room(reply) ? 0 : *skipped + bytes.size();
        });
    const auto end_id = connection.on_end([client, id] {
        const auto alive = client.lock();
        if (!alive) return;
        alive->detach(id);
        send_done(alive, id);
    });
    Session::Attachment attachment;
    attachment.end = [&connection, reader, end_id] {
        connection.console().remove_reader(reader);
        connection.forget_end(end_id);
    };
    if (!request.read_only()) {
        attachment.input = [&connection](const std::string& data) {
            connection.console().send_input({reinterpret_cast<const uint8_t*>(data.data()), data.size()});
        };
    }
    session->attach(id, std::move(attachment));
}

void Dispatcher::console_input(const std::shared_ptr<Session>& session, uint64_t id,
                               const v1::ConsoleInput& input) {
    const Session::Attachment* attachment = session->attachment(id);
    // The console may have ended while this was on its way; its end has been told.
    if (attachment == nullptr || !attachment->input) return;
    attachment->input(input.data());
}

void Dispatcher::counters(const std::shared_ptr<Session>& session, uint64_t id,
                          const v1::CountersRequest& request) {
    v1::Reply reply = reply_to(id);
    auto* list = reply.mutable_counters();
    for (const PerformanceCounter& counter : hypervisor_.counters()) {
        v1::Counter* entry = list->add_counters();
        entry->set_name(counter.name);
        for (const uint64_t value : counter.values)
            entry->add_values(value);
    }
    if (request.reset()) hypervisor_.reset_counters();
    session->send(reply);
}

v1::Host Dispatcher::describe_host() {
    v1::Host host;
    const VersionInfo version = hypervisor_.version();
    const HostInfo machine = hypervisor_.host();
    host.set_hypervisor(version.version);
    host.set_capabilities(version.capabilities);
    host.set_compiler(version.compiler);
    host.set_command_line(version.command_line);
    host.set_build_id(version.changeset);
    host.set_total_memory_kib(machine.total_pages * kKibPerPage);
    host.set_free_memory_kib(machine.free_pages * kKibPerPage);
    host.set_scrub_memory_kib(machine.scrub_pages * kKibPerPage);
    host.set_cpus(machine.cpus);
    host.set_cores_per_socket(machine.cores_per_socket);
    host.set_threads_per_core(machine.threads_per_core);
    host.set_cpu_khz(machine.cpu_khz);
    describe_topology(host);
    *host.mutable_pools() = describe_pools();
    host.set_domains(static_cast<uint32_t>(hypervisor_.domains().size()));
    host.set_daemon("toriid " TORII_VERSION);
    host.set_remark(remark_);
    utsname system{};
    if (::uname(&system) == 0) host.set_dom0_kernel(system.release);
    struct sysinfo facts {};
    if (::sysinfo(&facts) == 0) host.set_uptime_seconds(static_cast<uint64_t>(facts.uptime));
    return host;
}

}  // namespace torii::dom0
