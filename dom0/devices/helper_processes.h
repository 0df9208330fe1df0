#pragma once
// Programs beside the daemon that outlive it, so that what they hold does too: a NAT's connections, a disk
// server's file. Under systemd each has a unit of its own, torii-NAME.service; without, it is a session of
// its own.

#include <filesystem>
#include <string>
#include <vector>

namespace torii::dom0 {

class HelperProcesses {
public:
    // `folder`, on a tmpfs, has a file with the number of each helper's process.
    explicit HelperProcesses(std::filesystem::path folder);

    // Starts a program, unless it runs; the first argument is its file. Throws Failure (kSystem). That it
    // ends at once shows only in what it was to do.
    void start(const std::string& name, const std::vector<std::string>& arguments);
    // Ends it, if it runs.
    void stop(const std::string& name) noexcept;
    bool runs(const std::string& name) const;

    std::filesystem::path folder() const { return folder_; }

private:
    std::filesystem::path record(const std::string& name) const;
    // The process, if it is still the one that was started: numbers are used again.
    int process(const std::string& name) const;

    std::filesystem::path folder_;
};

}  // namespace torii::dom0
