#pragma once
// Reads a TOML file of known keys; whatever is wrong is a Failure with the file's name and the line.

#include <toml++/toml.h>
#include <torii/failure.h>

#include <filesystem>
#include <limits>
#include <string>
#include <vector>

#include "sizes.h"

namespace torii::cli {

class Reader;

// A key of a table, and what it sets of the target.
template <typename Target>
struct Key {
    const char* name;
    void (*set)(const Reader& reader, const std::string& key, const toml::node& node, Target& target);
};

class Reader {
public:
    explicit Reader(const std::string& path) : path_(path) {}

    [[noreturn]] void fail(const toml::source_region& where, const std::string& what) const {
        throw Failure(ErrorCode::kConfigurationSyntax,
                      path_ + ":" + std::to_string(where.begin.line) + ": " + what);
    }

    std::string text(const std::string& key, const toml::node& node) const {
        const auto value = node.value_exact<std::string>();
        if (!value) fail(node.source(), "\"" + key + "\" must be a text in quotes");
        return *value;
    }

    bool flag(const std::string& key, const toml::node& node) const {
        const auto value = node.value_exact<bool>();
        if (!value) fail(node.source(), "\"" + key + "\" must be true or false");
        return *value;
    }

    int64_t number(const std::string& key, const toml::node& node) const {
        const auto value = node.value_exact<int64_t>();
        if (!value) fail(node.source(), "\"" + key + "\" must be a whole number");
        return *value;
    }

    uint32_t count(const std::string& key, const toml::node& node) const {
        const int64_t value = number(key, node);
        if (value < 0 || value > std::numeric_limits<uint32_t>::max()) {
            fail(node.source(), "\"" + key + "\" cannot be " + std::to_string(value));
        }
        return static_cast<uint32_t>(value);
    }

    template <typename Limit>
    uint32_t limited(const std::string& key, const toml::node& node, Limit limit) const {
        try {
            return limit(number(key, node));
        } catch (const Failure& failure) {
            if (failure.code() == ErrorCode::kConfigurationSyntax) throw;
            fail(node.source(), key + ": " + failure.what());
        }
    }

    template <typename Convert>
    auto converted(const std::string& key, const toml::node& node, Convert convert) const {
        try {
            return convert(text(key, node));
        } catch (const Failure& failure) {
            if (failure.code() == ErrorCode::kConfigurationSyntax) throw;
            fail(node.source(), key + ": " + failure.what());
        }
    }

    // A number of MiB, or a text such as "2G".
    uint64_t memory(const std::string& key, const toml::node& node) const {
        if (node.is_integer()) {
            const int64_t value = number(key, node);
            if (value < 0 || value > (int64_t{1} << 40)) {
                fail(node.source(), "\"" + key + "\" cannot be " + std::to_string(value) + " MiB");
            }
            return static_cast<uint64_t>(value) << 10;
        }
        return converted(key, node, [](const std::string& word) { return parse_memory_kib(word); });
    }

    // Of the file: what relative paths in it are relative to.
    std::filesystem::path folder() const { return std::filesystem::path(path_).parent_path(); }

    std::string file(const std::string& key, const toml::node& node) const {
        const std::string name = text(key, node);
        if (name.empty()) return name;
        return std::filesystem::absolute(folder() / name).lexically_normal().string();
    }

    // Of a key that may be there several times, as [[key]].
    template <typename Read>
    void tables(const std::string& key, const toml::node& node, Read read) const {
        const toml::array* array = node.as_array();
        if (array == nullptr || !array->is_homogeneous<toml::table>()) {
            fail(node.source(), "\"" + key + "\" is a section: write [[" + key + "]], and its keys below");
        }
        for (const auto& each : *array)
            read(*each.as_table());
    }

    std::vector<std::string> texts(const std::string& key, const toml::node& node) const {
        std::vector<std::string> all;
        const toml::array* array = node.as_array();
        if (array == nullptr) fail(node.source(), "\"" + key + "\" must be a list: [\"...\", \"...\"]");
        for (const auto& each : *array)
            all.push_back(text(key, each));
        return all;
    }

    // Every key of the table must be one of the known.
    template <typename Target>
    void read(const toml::table& table, const std::vector<Key<Target>>& keys, Target& target) const;

private:
    const std::string& path_;
};

template <typename Target>
void Reader::read(const toml::table& table, const std::vector<Key<Target>>& keys, Target& target) const {
    for (const auto& [name, node] : table) {
        const std::string key(name.str());
        const Key<Target>* found = nullptr;
        std::string known;
        for (const Key<Target>& each : keys) {
            if (key == each.name) found = &each;
            known += (known.empty() ? "" : ", ") + std::string(each.name);
        }
        if (found == nullptr) fail(name.source(), "unknown key \"" + key + "\"; known are: " + known);
        found->set(*this, key, node, target);
    }
}

}  // namespace torii::cli
