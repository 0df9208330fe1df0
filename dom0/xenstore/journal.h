#pragma once
// Collects what one request changes and makes it durable in one step.

#include <algorithm>
#include <memory>
#include <string>
#include <utility>

#include "xenstore/journal_file.h"
#include "xenstore/journal_records.h"

namespace torii::dom0::xenstore {

class Journal : public RecordWriter {
public:
    // Without a file everything is forgotten at commit().
    explicit Journal(std::unique_ptr<JournalFile> file) : file_(std::move(file)) { note_rewritten(); }

    [[nodiscard]] std::string_view contents() const { return file_ ? file_->contents() : std::string_view{}; }

    // All events since the last commit become durable together. False if there is no space: they stay
    // collected, and nothing that follows from them may be shown to anybody until a later commit succeeds.
    [[nodiscard]] bool commit() {
        if (file_ && !file_->append(bytes())) return false;
        clear();
        return true;
    }

    // Whether most of what is in the file has been overtaken by later events.
    [[nodiscard]] bool wants_rewrite() const { return file_ && file_->contents().size() > rewrite_above_; }
    // Replaces all that was committed, and what is still collected, by `snapshot`.
    [[nodiscard]] bool rewrite(std::string_view snapshot) {
        if (!file_ || !file_->replace(snapshot)) return false;
        clear();
        note_rewritten();
        return true;
    }

private:
    static constexpr std::size_t kSmallest = 1 << 20;

    void note_rewritten() { rewrite_above_ = std::max(kSmallest, 3 * contents().size()); }

    std::unique_ptr<JournalFile> file_;
    std::size_t rewrite_above_ = kSmallest;
};

}  // namespace torii::dom0::xenstore
