#include "ask_vcpus.h"

namespace torii::cli {
namespace {

constexpr std::chrono::milliseconds kLook(100);

}  // namespace

v1::VcpuReport ask_vcpus(Connection& connection, const std::string& domain, bool times,
                         const std::function<void()>& waiting) {
    v1::Request request;
    request.mutable_vcpu_list()->set_domain(domain);
    request.mutable_vcpu_list()->set_times(times);
    const uint64_t id = connection.send(request);
    v1::VcpuReport whole;
    while (!whole.last()) {
        const auto reply = connection.receive(kLook);
        if (!reply) {
            if (waiting) waiting();
            continue;
        }
        if (reply->id() != id) continue;
        throw_failure(*reply);
        // The machine's facts are in each piece and must not add up.
        v1::VcpuReport piece = reply->vcpus();
        if (whole.taken_ns() != 0) piece.clear_cpus();
        whole.MergeFrom(piece);
    }
    return whole;
}

}  // namespace torii::cli
