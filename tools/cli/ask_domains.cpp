#include "ask_domains.h"

#include <torii/failure.h>

#include <thread>

namespace torii::cli {
v1::Domain ask_info(Connection& connection, const std::string& domain) {
    v1::Request request;
    request.mutable_info()->set_domain(domain);
    return connection.call(request).domain();
}

v1::DomainList ask_list(Connection& connection, bool active_only) {
    v1::Request request;
    request.mutable_list();
    const v1::Reply reply = connection.call(request);
    v1::DomainList listed;
    for (const v1::Domain& domain : reply.domains().domains()) {
        if (domain.active() || !active_only) *listed.add_domains() = domain;
    }
    return listed;
}

v1::Domain ask_create(Connection& connection, const Description& description,
                      const Connection::OnProgress& on_progress) {
    v1::Request request;
    *request.mutable_create()->mutable_config() = description.config;
    request.mutable_create()->set_paused(description.paused);
    return connection.call(request, on_progress).domain();
}

bool wait_for_end(Connection& connection, const v1::Domain& before, std::chrono::milliseconds limit) {
    const auto deadline = std::chrono::steady_clock::now() + limit;
    while (true) {
        try {
            const v1::Domain now = ask_info(connection, before.uuid());
            if (!now.active() || now.domid() != before.domid() || now.building()) return true;
        } catch (const Failure& failure) {
            if (failure.code() == ErrorCode::kNoDomain) return true;
            throw;
        }
        if (std::chrono::steady_clock::now() > deadline) return false;
        std::this_thread::sleep_for(std::chrono::milliseconds(200));
    }
}

}  // namespace torii::cli
