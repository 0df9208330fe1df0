// Undo on the way out, unless dismissed.
#pragma once

#include <utility>

namespace torii {

template <class Undo>
class [[nodiscard]] ScopeGuard {
public:
    explicit ScopeGuard(Undo undo) : undo_(std::move(undo)) {}
    ScopeGuard(const ScopeGuard&) = delete;
    ~ScopeGuard() {
        if (armed_) undo_();
    }
    void dismiss() { armed_ = false; }

private:
    Undo undo_;
    bool armed_ = true;
};

}  // namespace torii
