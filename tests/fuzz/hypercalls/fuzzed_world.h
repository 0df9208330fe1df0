// A world of hosted domains whose choices are a fuzzer's bytes.
#pragma once

#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <random>

#include "fuzz/input.h"
#include "kit/random/world.h"

namespace torii::fuzz {

class InputChooser : public test::Chooser {
public:
    InputChooser(const uint8_t* data, size_t size) : input_(data, size) {}
    uint64_t number() override { return input_.number(); }
    unsigned below(unsigned count) override {
        return count <= 256 ? input_.choice(count) : input_.word() % count;
    }
    [[nodiscard]] bool at_end() const { return input_.at_end(); }

private:
    Input input_;
};

// With TORII_RANDOM_ALOUD in the environment each step is told, and followed by a recount: to look at a
// finding.
//
// Takes steps until the input is used up, with a recount every few of them and at the end. All domains end
// with it, and every frame comes back.
template <class Step>
void run_world(const uint8_t* data, size_t size, Step&& step) {
    static const bool aloud = std::getenv("TORII_RANDOM_ALOUD") != nullptr;
    const unsigned steps_per_recount = aloud ? 1 : 4;
    GTEST_FLAG_SET(break_on_failure, true);  // the kit's expectations end the program
    InputChooser chooser(data, size);
    test::RandomWorld world(chooser);
    const auto check = [&world] {
        const std::vector<std::string> findings = world.findings();
        for (const std::string& finding : findings)
            std::fprintf(stderr, "%s (after %s)\n", finding.c_str(), world.last.c_str());
        if (!findings.empty()) std::abort();
    };
    for (unsigned steps = 1; !chooser.at_end(); ++steps) {
        step(world);
        if (aloud) std::fprintf(stderr, "%u: %s\n", steps, world.last.c_str());
        if (steps % steps_per_recount == 0) check();
    }
    check();
    if (world.end()) return;
    std::fprintf(stderr, "frames are lost\n");
    std::abort();
}

}  // namespace torii::fuzz

extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t most);

// Any bytes are a sequence of calls, so what makes the interesting ones is length: every fourth input goes on
// for some more steps.
extern "C" [[gnu::used]] inline size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t most,
                                                               unsigned seed) {
    if (seed % 4 != 0) return LLVMFuzzerMutate(data, size, most);
    std::minstd_rand random(seed);
    for (size_t more = random() % 512; more != 0 && size < most; --more)
        data[size++] = static_cast<uint8_t>(random() >> 8);
    return size;
}
