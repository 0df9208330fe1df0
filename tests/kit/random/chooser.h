// Where the choices of a random or fuzzed run come from.
#pragma once

#include <cstdint>
#include <random>

namespace torii::test {

class Chooser {
public:
    virtual ~Chooser() = default;
    virtual uint64_t number() = 0;
    // Below `count`, which is not zero.
    virtual unsigned below(unsigned count) = 0;
    bool chance(unsigned percent) { return below(100) < percent; }
};

class RandomChooser : public Chooser {
public:
    explicit RandomChooser(uint64_t seed) : random_(seed) {}
    uint64_t number() override { return random_(); }
    unsigned below(unsigned count) override { return static_cast<unsigned>(random_() % count); }

private:
    std::mt19937_64 random_;
};

}  // namespace torii::test
