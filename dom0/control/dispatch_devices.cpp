// The verbs about guests' devices.

#include "control/dispatch.h"
#include "control/session.h"

namespace torii::dom0 {
namespace {

v1::Reply reply_to(uint64_t id) {
    v1::Reply reply;
    reply.set_id(id);
    return reply;
}

void send_device(const std::shared_ptr<Session>& session, uint64_t id, v1::Device device) {
    v1::Reply reply = reply_to(id);
    *reply.mutable_device() = std::move(device);
    session->send(reply);
}

}  // namespace

bool Dispatcher::handle_devices(const std::shared_ptr<Session>& session, const v1::Request& request) {
    const uint64_t id = request.id();
    switch (request.verb_case()) {
        case v1::Request::kAttach: {
            const v1::AttachRequest& attach = request.attach();
            if (attach.kind_case() == v1::AttachRequest::KIND_NOT_SET) {
                throw Failure(ErrorCode::kNotSupported,
                              "the daemon does not know this kind of device: the command line is newer than "
                              "the daemon");
            }
            send_device(session, id,
                        attach.has_disk() ? domains_.attach(attach.domain(), attach.disk())
                                          : domains_.attach(attach.domain(), attach.net()));
            return true;
        }
        case v1::Request::kDetach:
            detach(session, id, request.detach());
            return true;
        case v1::Request::kResize:
            resize(session, id, request.resize());
            return true;
        case v1::Request::kDevices: {
            v1::Reply reply = reply_to(id);
            v1::DeviceReport* report = reply.mutable_devices();
            if (!request.devices().domain().empty()) {
                *report->add_domains() = domains_.devices(request.devices().domain());
            } else {
                for (v1::DomainDevices& each : domains_.devices())
                    *report->add_domains() = std::move(each);
            }
            session->send(reply);
            return true;
        }
        default:
            return false;
    }
}

void Dispatcher::resize(const std::shared_ptr<Session>& session, uint64_t id,
                        const v1::ResizeRequest& request) {
    const std::weak_ptr<Session> client = session;
    domains_.resize(request.domain(), request.device(),
                    [client, id](const std::string& problem, const v1::Device& device) {
                        const auto alive = client.lock();
                        if (!alive) return;
                        if (!problem.empty())
                            return alive->fail(id, Failure(ErrorCode::kOperationInvalid, problem));
                        send_device(alive, id, device);
                    });
}

void Dispatcher::detach(const std::shared_ptr<Session>& session, uint64_t id,
                        const v1::DetachRequest& request) {
    const std::weak_ptr<Session> client = session;
    domains_.detach(request.domain(), request.device(), request.force(),
                    [client, id](const std::string& problem) {
                        const auto alive = client.lock();
                        if (!alive) return;
                        if (!problem.empty())
                            return alive->fail(id, Failure(ErrorCode::kOperationFailed, problem));
                        v1::Reply reply = reply_to(id);
                        reply.mutable_done();
                        alive->send(reply);
                    });
}

}  // namespace torii::dom0
