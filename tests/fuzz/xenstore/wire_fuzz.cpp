// Requests, mostly valid, of three domains: each gets exactly one answer, the store's counts stay true, and a
// restart at any point brings back the same state.

#include "fuzz_world.h"

namespace torii::dom0::xenstore::fuzz {
namespace {

using Type = abi::XenstoreMessage;

std::string some_path(Input& input) {
    static constexpr const char* kRoots[] = {"", "/", "/local/domain/4/", "/local/domain/8/",
                                             "/local/domain/0/"};
    static constexpr const char* kNames[] = {"a", "b", "c", "dev", "a/b", "a/b/c", "dev/0/state"};
    switch (input.choice(16)) {
        case 0:
            return input.bytes(40);
        case 1:
            return "@releaseDomain";
        case 2:
            return "/local/domain/" + std::to_string(input.choice(12));
        case 3:
            return std::string(input.word() % 3100, 'x');
        default:
            return std::string(kRoots[input.choice(5)]) + kNames[input.choice(7)];
    }
}

std::string some_permissions(Input& input) {
    std::string permissions;
    for (unsigned left = 1 + input.choice(7); left != 0; --left) {
        permissions += "nrwbx"[input.choice(input.choice(8) == 0 ? 5 : 4)];
        permissions += std::to_string(input.choice(12)) + '\0';
    }
    return permissions;
}

std::string payload_for(Type type, Input& input) {
    if (input.choice(32) == 0) return input.bytes(200);
    const std::string number = std::to_string(input.choice(12));
    switch (type) {
        case Type::kWrite:
            return some_path(input) + '\0' +
                   (input.choice(8) == 0 ? std::string(input.word() % 900, 'v') : input.bytes(20));
        case Type::kWatch:
        case Type::kUnwatch:
            return some_path(input) + '\0' + "t" + number + '\0';
        case Type::kSetPerms:
            return some_path(input) + '\0' + some_permissions(input);
        case Type::kDirectoryPart:
            return some_path(input) + '\0' + std::to_string(input.word()) + '\0';
        case Type::kTransactionStart:
        case Type::kResetWatches:
            return std::string(1, '\0');
        case Type::kTransactionEnd:
            return std::string(input.choice(4) == 0 ? "F" : "T") + '\0';
        case Type::kSetTarget:
            return number + '\0' + std::to_string(input.choice(12)) + '\0';
        case Type::kIntroduce:
            return number + '\0' + "-5" + '\0' + "7" + '\0';
        case Type::kGetDomainPath:
        case Type::kIsDomainIntroduced:
        case Type::kResume:
            return number + '\0';
        case Type::kControl:
            return std::string(input.choice(2) == 0 ? "check" : "quota") + '\0';
        default:
            return some_path(input) + '\0';
    }
}

void run_input(Input& input) {
    FuzzWorld world(input.choice(4) == 0);
    while (!input.at_end()) {
        const unsigned guest = input.choice(kGuests);
        const unsigned choice = input.byte();
        if (choice >= 250) {
            world.restart();
        } else if (choice >= 246) {
            world.engine().remove_domain_entries(FuzzWorld::domain(guest));
        } else {
            // A release would end the ring that the answer is waited for on.
            auto type = choice >= 240 ? input.word() : choice % abi::kXenstoreMessageCount;
            if (type == static_cast<std::uint32_t>(Type::kRelease))
                type = static_cast<std::uint32_t>(Type::kRm);
            const std::uint32_t transaction = input.choice(2) == 0 ? 0 : input.choice(6);
            world.exchange(guest, type, transaction, payload_for(static_cast<Type>(type), input));
        }
    }
    world.check();
    world.restart();
    world.check();
}

}  // namespace
}  // namespace torii::dom0::xenstore::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    torii::dom0::xenstore::fuzz::Input input(data, size);
    torii::dom0::xenstore::fuzz::run_input(input);
    return 0;
}
