#include "render_devices.h"

#include "render.h"
#include "sizes.h"

namespace torii::cli {
namespace {

std::string latency_text(const v1::Latencies& latencies) {
    if (latencies.count() == 0) return "-";
    return std::to_string(latencies.median_us()) + "/" + std::to_string(latencies.most_us()) + " us";
}

std::string traffic(uint64_t count, uint64_t bytes) {
    return std::to_string(count) + " (" + format_kib(bytes >> 10) + ")";
}

std::vector<std::string> row_of(const std::string& domain, const v1::Device& device) {
    std::vector<std::string> row{domain, device_name(device), device.state()};
    if (device.has_disk()) {
        const v1::DiskCounters& counters = device.disk_counters();
        row.insert(row.end(),
                   {traffic(counters.reads(), counters.bytes_read()),
                    traffic(counters.writes(), counters.bytes_written()), std::to_string(counters.errors()),
                    latency_text(counters.read_latency()), latency_text(counters.write_latency())});
    } else {
        const v1::NetCounters& counters = device.net_counters();
        row.insert(row.end(),
                   {traffic(counters.frames_to_guest(), counters.bytes_to_guest()),
                    traffic(counters.frames_from_guest(), counters.bytes_from_guest()),
                    std::to_string(counters.dropped_from_guest() + counters.dropped_to_guest()), "-", "-"});
    }
    const v1::Disk& disk = device.disk();
    row.push_back(device.has_disk() ? disk.source() + (disk.read_only() ? " (read only)" : "")
                                    : device.net().attachment() + " " + device.net().mac());
    return row;
}

void write_latency(JsonWriter& json, const char* name, const v1::Latencies& latencies) {
    json.key(name);
    json.begin_object();
    json.field("count", uint64_t{latencies.count()});
    json.field("median_us", uint64_t{latencies.median_us()});
    json.field("p99_us", uint64_t{latencies.most_us()});
    json.end_object();
}

void write_disk(JsonWriter& json, const v1::Device& device) {
    const v1::Disk& disk = device.disk();
    const v1::DiskCounters& counters = device.disk_counters();
    json.field("source", disk.source());
    json.field("format", disk.format());
    json.field("read_only", disk.read_only());
    json.field("cdrom", disk.cdrom());
    json.field("sector_size", disk.sector_size());
    json.field("size_bytes", uint64_t{device.size_bytes()});
    json.field("reads", uint64_t{counters.reads()});
    json.field("writes", uint64_t{counters.writes()});
    json.field("flushes", uint64_t{counters.flushes()});
    json.field("discards", uint64_t{counters.discards()});
    json.field("bytes_read", uint64_t{counters.bytes_read()});
    json.field("bytes_written", uint64_t{counters.bytes_written()});
    json.field("errors", uint64_t{counters.errors()});
    write_latency(json, "read_latency", counters.read_latency());
    write_latency(json, "write_latency", counters.write_latency());
}

void write_net(JsonWriter& json, const v1::Device& device) {
    const v1::Net& net = device.net();
    const v1::NetCounters& counters = device.net_counters();
    json.field("attachment", net.attachment());
    json.field("mac", net.mac());
    json.field("mtu", net.mtu());
    json.key("forwards");
    json.begin_array();
    for (const std::string& forward : net.forwards())
        json.value(forward);
    json.end_array();
    json.field("frames_from_guest", uint64_t{counters.frames_from_guest()});
    json.field("frames_to_guest", uint64_t{counters.frames_to_guest()});
    json.field("bytes_from_guest", uint64_t{counters.bytes_from_guest()});
    json.field("bytes_to_guest", uint64_t{counters.bytes_to_guest()});
    json.field("dropped_from_guest", uint64_t{counters.dropped_from_guest()});
    json.field("dropped_to_guest", uint64_t{counters.dropped_to_guest()});
}

}  // namespace

std::string device_name(const v1::Device& device) {
    return device.has_disk() ? device.disk().device() : device.net().device();
}

std::string describe_device(const v1::Device& device) {
    std::string text = device_name(device) + ": ";
    if (device.has_disk()) {
        text += device.disk().source() + " (" + device.disk().format() + ")";
        if (device.size_bytes() != 0) text += ", " + format_kib(device.size_bytes() >> 10);
        if (device.disk().read_only()) text += ", read only";
    } else {
        text += device.net().attachment() + ", " + device.net().mac();
        for (const std::string& forward : device.net().forwards())
            text += ", " + forward;
    }
    text += ", " + device.state();
    if (!device.problem().empty()) text += ": " + device.problem();
    return text;
}

std::string render_devices(const v1::DeviceReport& report) {
    std::vector<std::vector<std::string>> rows{{"DOMAIN", "DEVICE", "STATE", "READ/RECEIVED", "WRITTEN/SENT",
                                                "ERRORS", "READ 50/99%", "WRITE 50/99%", "SOURCE"}};
    std::string problems;
    for (const v1::DomainDevices& domain : report.domains()) {
        for (const v1::Device& device : domain.devices()) {
            rows.push_back(row_of(domain.name(), device));
            if (!device.problem().empty())
                problems += domain.name() + ", " + device_name(device) + ": " + device.problem() + "\n";
        }
    }
    return render_table(rows) + problems;
}

void write_device(JsonWriter& json, const v1::Device& device) {
    json.begin_object();
    json.field("device", device_name(device));
    json.field("kind", device.has_disk() ? "disk" : "net");
    json.field("state", device.state());
    json.field("problem", device.problem());
    if (device.has_disk()) {
        write_disk(json, device);
    } else {
        write_net(json, device);
    }
    json.end_object();
}

std::string render_devices_json(const v1::DeviceReport& report) {
    JsonWriter json;
    json.begin_array();
    for (const v1::DomainDevices& domain : report.domains()) {
        json.begin_object();
        json.field("name", domain.name());
        json.field("domid", domain.domid());
        json.key("devices");
        json.begin_array();
        for (const v1::Device& device : domain.devices())
            write_device(json, device);
        json.end_array();
        json.end_object();
    }
    json.end_array();
    return json.take();
}

}  // namespace torii::cli
