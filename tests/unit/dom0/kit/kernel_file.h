#pragma once
// Small synthetic kernels and folders for tests.

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace torii::dom0::test {

// A folder that goes with the test.
class TemporaryFolder {
public:
    TemporaryFolder();
    ~TemporaryFolder();
    std::string file(const std::string& name) const { return (path_ / name).string(); }
    std::string write(const std::string& name, const std::string& content) const;
    const std::filesystem::path& path() const { return path_; }

private:
    std::filesystem::path path_;
};

struct KernelRecipe {
    uint64_t virt_base = 0xFFFFFFFF80000000;
    uint64_t physical = 0x100000;
    uint64_t text_bytes = 3 * 4096 + 100;
    uint64_t zero_bytes = 5000;
    bool notes = true;
    bool p2m = true;
    bool module_is_pfn = true;
    bool hypercall_page = false;
};

// The bytes of an ELF kernel; its text is text_byte(offset).
std::string make_kernel(const KernelRecipe& recipe = {});
char text_byte(uint64_t offset);

// A Linux boot image around `payload`, packed as it is.
std::string make_boot_image(const std::string& packed_payload, uint32_t unpacked_size, bool with_size = true);

std::string pack_gzip(const std::string& data);
std::string pack_xz(const std::string& data);
std::string pack_zstd(const std::string& data);
std::string pack_lz4(const std::string& data);

}  // namespace torii::dom0::test
