#include "image/rendering.h"

#include "json.h"
#include "render.h"
#include "sizes.h"

namespace torii::cli::image {
namespace {

std::string amount(uint64_t bytes) {
    return bytes == 0 ? "-" : format_kib(bytes >> 10);
}

std::string joined(const std::vector<std::string>& words) {
    std::string text;
    for (const std::string& word : words)
        text += (text.empty() ? "" : " ") + word;
    return text;
}

// "2026-11-26T18:15:04Z" as "2026-11-26 18:15".
std::string for_people(const std::string& time) {
    std::string text = time.substr(0, 16);
    if (text.size() == 16) text[10] = ' ';
    return text;
}

void write_image(JsonWriter& json, const Image& image) {
    json.begin_object();
    json.field("name", image.name);
    json.field("folder", image.folder.string());
    json.field("size_bytes", image.size_bytes);
    json.field("allocated_bytes", image.allocated_bytes);
    json.field("problem", image.problem);
    if (image.facts) {
        const Facts& facts = *image.facts;
        json.field("suite", facts.suite);
        json.field("mirror", facts.mirror);
        json.field("kernel", facts.kernel);
        json.key("packages");
        json.begin_array();
        for (const std::string& package : facts.packages)
            json.value(package);
        json.end_array();
        json.field("user", facts.user);
        json.field("created", facts.created);
        json.field("ssh_port", static_cast<int>(facts.ssh_port));
        json.field("sha256_vmlinuz", facts.kernel_sha256);
        json.field("sha256_initrd", facts.ramdisk_sha256);
    }
    json.end_object();
}

}  // namespace

std::string render_images(const std::vector<Image>& images) {
    std::vector<std::vector<std::string>> rows{
        {"NAME", "SUITE", "SIZE", "USED", "KERNEL", "CREATED (UTC)", "PROBLEM"}};
    for (const Image& image : images) {
        const Facts facts = image.facts.value_or(Facts());
        const auto shown = [&](const std::string& text) { return image.facts ? text : "-"; };
        rows.push_back({image.name, shown(facts.suite), amount(image.size_bytes),
                        amount(image.allocated_bytes), shown(facts.kernel), shown(for_people(facts.created)),
                        image.problem});
    }
    return render_table(rows);
}

std::string render_images_json(const std::vector<Image>& images) {
    JsonWriter json;
    json.begin_array();
    for (const Image& image : images)
        write_image(json, image);
    json.end_array();
    return json.take();
}

std::string render_image(const Image& image) {
    std::vector<std::vector<std::string>> rows{{"name", image.name}, {"folder", image.folder.string()}};
    if (!image.problem.empty()) rows.push_back({"problem", image.problem});
    rows.push_back({"size", amount(image.size_bytes)});
    rows.push_back({"used", amount(image.allocated_bytes)});
    if (image.facts) {
        const Facts& facts = *image.facts;
        rows.push_back({"suite", facts.suite});
        rows.push_back({"mirror", facts.mirror});
        rows.push_back({"kernel", facts.kernel});
        rows.push_back({"packages", facts.packages.empty() ? "-" : joined(facts.packages)});
        rows.push_back({"user", facts.user});
        rows.push_back({"created (UTC)", for_people(facts.created)});
        rows.push_back({"ssh port", std::to_string(facts.ssh_port)});
        rows.push_back({"vmlinuz sha256", facts.kernel_sha256});
        rows.push_back({"initrd.img sha256", facts.ramdisk_sha256});
    }
    rows.push_back({"description", image.file(kDescription).string()});
    return render_table(rows);
}

std::string render_image_json(const Image& image) {
    JsonWriter json;
    write_image(json, image);
    return json.take();
}

}  // namespace torii::cli::image
