// image.toml, by which an image is known again.

#include <toml++/toml.h>
#include <torii/failure.h>

#include <limits>
#include <sstream>

#include "image/store.h"

namespace torii::cli::image {
namespace {

constexpr int64_t kFormat = 1;

class Reader {
public:
    Reader(const toml::table& table, const std::string& path) : table_(table), path_(path) {}

    [[noreturn]] void fail(const std::string& what) const {
        throw Failure(ErrorCode::kConfigurationSyntax, path_ + ": " + what);
    }
    std::string text(const char* key) const {
        const auto value = table_[key].value_exact<std::string>();
        if (!value) fail(std::string("\"") + key + "\" is missing, or no text");
        return *value;
    }
    uint64_t number(const char* key, uint64_t limit) const {
        const auto value = table_[key].value_exact<int64_t>();
        if (!value || *value < 0 || static_cast<uint64_t>(*value) > limit) {
            fail(std::string("\"") + key + "\" is missing, or no possible number");
        }
        return static_cast<uint64_t>(*value);
    }
    std::vector<std::string> texts(const char* key) const {
        const toml::array* array = table_[key].as_array();
        if (array == nullptr) fail(std::string("\"") + key + "\" is missing, or no list");
        std::vector<std::string> list;
        for (const toml::node& node : *array) {
            const auto value = node.value_exact<std::string>();
            if (!value) fail(std::string("\"") + key + "\" must be a list of texts");
            list.push_back(*value);
        }
        return list;
    }

private:
    const toml::table& table_;
    const std::string& path_;
};

}  // namespace

std::string facts_text(const Facts& facts) {
    toml::array packages;
    for (const std::string& package : facts.packages)
        packages.push_back(package);
    const toml::table table{{"format", kFormat},
                            {"name", facts.name},
                            {"suite", facts.suite},
                            {"mirror", facts.mirror},
                            {"kernel", facts.kernel},
                            {"packages", packages},
                            {"user", facts.user},
                            {"created", facts.created},
                            {"size", static_cast<int64_t>(facts.size_bytes)},
                            {"ssh-port", static_cast<int64_t>(facts.ssh_port)},
                            {"sha256-vmlinuz", facts.kernel_sha256},
                            {"sha256-initrd", facts.ramdisk_sha256}};
    std::ostringstream text;
    text << "# What this image is; written by `torii image build`, read by `torii image list`.\n"
         << table << "\n";
    return text.str();
}

Facts parse_facts(const std::string& text, const std::string& path) {
    toml::table table;
    try {
        table = toml::parse(text, path);
    } catch (const toml::parse_error& error) {
        throw Failure(
            ErrorCode::kConfigurationSyntax,
            path + ":" + std::to_string(error.source().begin.line) + ": " + std::string(error.description()));
    }
    const Reader reader(table, path);
    if (reader.number("format", std::numeric_limits<int64_t>::max()) != kFormat) {
        reader.fail("the image was made by a newer torii, which this one does not understand");
    }
    Facts facts;
    facts.name = reader.text("name");
    facts.suite = reader.text("suite");
    facts.mirror = reader.text("mirror");
    facts.kernel = reader.text("kernel");
    facts.packages = reader.texts("packages");
    facts.user = reader.text("user");
    facts.created = reader.text("created");
    facts.size_bytes = reader.number("size", std::numeric_limits<int64_t>::max());
    facts.ssh_port = static_cast<uint16_t>(reader.number("ssh-port", std::numeric_limits<uint16_t>::max()));
    facts.kernel_sha256 = reader.text("sha256-vmlinuz");
    facts.ramdisk_sha256 = reader.text("sha256-initrd");
    return facts;
}

}  // namespace torii::cli::image
