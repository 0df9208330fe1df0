#include "config_devices.h"

namespace torii::cli {
namespace {

uint64_t rate(const Reader& reader, const std::string& key, const toml::node& node) {
    if (!node.is_integer())
        return reader.converted(key, node, [](const std::string& word) { return parse_bytes(word); });
    const int64_t value = reader.number(key, node);
    if (value < 0) reader.fail(node.source(), "\"" + key + "\" cannot be " + std::to_string(value));
    return static_cast<uint64_t>(value);
}

const std::vector<Key<v1::Disk>>& disk_keys() {
    static const std::vector<Key<v1::Disk>> table{
        {"source",
         [](auto& r, auto& k, auto& n, auto& d) { d.set_source(disk_source(r.text(k, n), r.folder())); }},
        {"device", [](auto& r, auto& k, auto& n, auto& d) { d.set_device(r.text(k, n)); }},
        {"format", [](auto& r, auto& k, auto& n, auto& d) { d.set_format(r.text(k, n)); }},
        {"read-only", [](auto& r, auto& k, auto& n, auto& d) { d.set_read_only(r.flag(k, n)); }},
        {"cdrom", [](auto& r, auto& k, auto& n, auto& d) { d.set_cdrom(r.flag(k, n)); }},
        {"sector-size", [](auto& r, auto& k, auto& n, auto& d) { d.set_sector_size(r.count(k, n)); }},
        {"iops",
         [](auto& r, auto& k, auto& n, auto& d) { d.mutable_requests()->set_per_second(rate(r, k, n)); }},
        {"iops-burst",
         [](auto& r, auto& k, auto& n, auto& d) { d.mutable_requests()->set_burst(rate(r, k, n)); }},
        {"bytes-per-second",
         [](auto& r, auto& k, auto& n, auto& d) { d.mutable_bytes()->set_per_second(rate(r, k, n)); }},
        {"bytes-burst",
         [](auto& r, auto& k, auto& n, auto& d) { d.mutable_bytes()->set_burst(rate(r, k, n)); }},
    };
    return table;
}

const std::vector<Key<v1::Net>>& net_keys() {
    static const std::vector<Key<v1::Net>> table{
        {"attachment", [](auto& r, auto& k, auto& n, auto& d) { d.set_attachment(r.text(k, n)); }},
        {"device", [](auto& r, auto& k, auto& n, auto& d) { d.set_device(r.text(k, n)); }},
        {"mac", [](auto& r, auto& k, auto& n, auto& d) { d.set_mac(r.text(k, n)); }},
        {"mtu", [](auto& r, auto& k, auto& n, auto& d) { d.set_mtu(r.count(k, n)); }},
        {"forwards",
         [](auto& r, auto& k, auto& n, auto& d) {
             for (const std::string& forward : r.texts(k, n))
                 d.add_forwards(forward);
         }},
        {"addresses",
         [](auto& r, auto& k, auto& n, auto& d) {
             for (const std::string& address : r.texts(k, n))
                 d.add_addresses(address);
         }},
        {"send-limit",
         [](auto& r, auto& k, auto& n, auto& d) { d.mutable_from_guest()->set_per_second(rate(r, k, n)); }},
        {"receive-limit",
         [](auto& r, auto& k, auto& n, auto& d) { d.mutable_to_guest()->set_per_second(rate(r, k, n)); }},
    };
    return table;
}

}  // namespace

std::string disk_source(const std::string& source, const std::filesystem::path& folder) {
    if (source.empty() || source.find("://") != std::string::npos) return source;
    return std::filesystem::absolute(folder / source).lexically_normal().string();
}

void read_disk(const Reader& reader, const toml::table& table, v1::Disk& disk) {
    reader.read(table, disk_keys(), disk);
    if (disk.source().empty())
        reader.fail(table.source(), "a disk needs a source: a file, a block device or an NBD URI");
}

void read_net(const Reader& reader, const toml::table& table, v1::Net& net) {
    reader.read(table, net_keys(), net);
}

}  // namespace torii::cli
