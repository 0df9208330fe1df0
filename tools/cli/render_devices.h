#pragma once
// Guests' devices as tables and JSON. Pure: text out.

#include <torii/v1/control.pb.h>

#include <string>

#include "json.h"

namespace torii::cli {

std::string device_name(const v1::Device& device);
std::string render_devices(const v1::DeviceReport& report);
std::string render_devices_json(const v1::DeviceReport& report);
void write_device(JsonWriter& json, const v1::Device& device);
// "xvda: /images/web.raw (raw), 4096 MiB, connected": for the table of one domain.
std::string describe_device(const v1::Device& device);

}  // namespace torii::cli
