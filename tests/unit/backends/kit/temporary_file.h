#pragma once
// A folder that goes with the test.

#include <cstdlib>
#include <filesystem>
#include <stdexcept>
#include <string>

namespace torii::backend::test {

class TemporaryFolder {
public:
    explicit TemporaryFolder(const std::string& parent = "/tmp") {
        std::string name = parent + "/torii-backend-XXXXXX";
        if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("no temporary folder");
        path_ = name;
    }
    ~TemporaryFolder() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }
    TemporaryFolder(const TemporaryFolder&) = delete;
    TemporaryFolder& operator=(const TemporaryFolder&) = delete;
    std::string file(const std::string& name) const { return path_ / name; }

private:
    std::filesystem::path path_;
};

}  // namespace torii::backend::test
