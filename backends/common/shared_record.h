#pragma once
// Memory that outlives the process: a file on a tmpfs, mapped. What a killed process had stored is there, in
// program order; nothing survives the machine.

#include <cstddef>
#include <span>
#include <string>

namespace torii::backend {

class SharedRecord {
public:
    // Opens or makes the file, for root alone. Throws Failure (kSystem).
    explicit SharedRecord(std::string path);
    ~SharedRecord();
    SharedRecord(const SharedRecord&) = delete;
    SharedRecord& operator=(const SharedRecord&) = delete;

    // All of the file; empty for a new one. Aligned to a page.
    std::span<std::byte> bytes() const { return bytes_; }
    // At least that long afterwards, new parts zero, with memory reserved: no later store can fail. Earlier
    // spans end. Throws Failure (kSystem).
    void grow(size_t size);

    // Removes the file of a device that is gone. No effect when there is none.
    static void remove(const std::string& path) noexcept;

private:
    void map(size_t size);

    std::string path_;
    int file_ = -1;
    std::span<std::byte> bytes_;
};

}  // namespace torii::backend
