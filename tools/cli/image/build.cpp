#include "image/build.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <torii/failure.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <fstream>
#include <iostream>
#include <sstream>

#include "image/tree.h"
#include "process.h"
#include "sizes.h"

namespace torii::cli::image {
namespace {

namespace fs = std::filesystem;

constexpr const char* kKeyring = "/usr/share/keyrings/debian-archive-keyring.gpg";
constexpr const char* kScripts = "/usr/share/debootstrap/scripts/";
constexpr const char* kNoSyncPath = "etc/dpkg/dpkg.cfg.d/torii-build";
constexpr const char* kNetworkHint = "Does this machine reach the mirror, and has it room?";
// The tree and the disk lie side by side for a while.
constexpr uint64_t kNeededBytes = uint64_t{2} << 30;

struct Tool {
    const char* program;
    const char* package;
};
constexpr std::array<Tool, 8> kTools{{{"debootstrap", "debootstrap"},
                                      {"wget", "wget"},
                                      {"gpgv", "gpgv"},
                                      {"mke2fs", "e2fsprogs"},
                                      {"unshare", "util-linux"},
                                      {"setpriv", "util-linux"},
                                      {"ssh-keygen", "openssh-client"},
                                      {"sha256sum", "coreutils"}}};

void check_machine(const BuildOptions& options) {
    if (::geteuid() != 0) {
        throw Failure(ErrorCode::kAccessDenied,
                      "an image can be made by root only, since its files belong to many users: sudo torii "
                      "image build ...");
    }
    for (const Tool& tool : kTools) {
        if (!program_path(tool.program).empty()) continue;
        throw Failure(ErrorCode::kNotSupported, std::string("the program ") + tool.program +
                                                    " is needed and not installed: apt install " +
                                                    tool.package);
    }
    if (::access(kKeyring, R_OK) != 0) {
        throw Failure(ErrorCode::kNotSupported, std::string(kKeyring) +
                                                    ", which proves that packages are Debian's, is not "
                                                    "there: apt install debian-archive-keyring");
    }
    if (::access((kScripts + options.wishes.suite).c_str(), R_OK) != 0) {
        throw Failure(ErrorCode::kNotSupported,
                      "the debootstrap that is installed here does not know the suite " +
                          options.wishes.suite + " yet: install a newer one");
    }
}

void check_room(const fs::path& folder) {
    struct statvfs told {};
    if (::statvfs(folder.c_str(), &told) != 0) return;  // whoever needs room will say it
    const uint64_t free = static_cast<uint64_t>(told.f_bavail) * told.f_frsize;
    if (free >= kNeededBytes) return;
    throw Failure(ErrorCode::kOperationFailed, "making an image takes " + format_kib(kNeededBytes >> 10) +
                                                   " in " + folder.parent_path().string() + ", and " +
                                                   format_kib(free >> 10) +
                                                   " are free; name another folder with --directory");
}

std::string read_file(const char* option, const std::string& path) {
    std::ostringstream text;
    if (path == "-") {
        if (::isatty(STDIN_FILENO) == 1) {
            throw Failure(ErrorCode::kInvalidArgument,
                          std::string(option) +
                              " -: standard input is a terminal, which would show it: use a pipe or a file");
        }
        text << std::cin.rdbuf();
        return text.str();
    }
    std::ifstream stream(path, std::ios::binary);
    if (!stream || fs::is_directory(path)) {
        throw Failure(ErrorCode::kInvalidArgument, std::string(option) + " " + path +
                                                       ": the file cannot be read: " + std::strerror(errno));
    }
    text << stream.rdbuf();
    return text.str();
}

std::string now_rfc3339() {
    const std::time_t now = std::time(nullptr);
    std::tm parts{};
    gmtime_r(&now, &parts);
    char text[32];
    std::strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &parts);
    return text;
}

class Builder {
public:
    Builder(const BuildOptions& options, const OnStep& on_step)
        : options_(options),
          on_step_(on_step),
          recipe_(check_wishes(options.wishes)),
          store_(options.folder) {}

    Image build() {
        check_machine(options_);
        store_.check_free(recipe_.name);
        complete_recipe();
        Draft draft(options_.folder, recipe_.name);
        check_room(draft.folder());
        const Tree tree(draft.folder() / "tree");
        if (recipe_.authorized_keys.empty()) make_key(draft.folder());
        install_base(tree);
        install_packages(tree);
        settle(tree);
        take_out(tree, draft.folder());
        write_disk(tree, draft.folder());
        describe(draft.folder());
        begin(98, "Writing all of it to the disk");
        draft.keep();
        return store_.find(recipe_.name);
    }

private:
    // The steps' shares are those of the time that they take.
    void begin(uint32_t percent, const std::string& what) {
        check_interrupted();
        step_ = {percent, what, ""};
        on_step_(step_);
    }

    // Lets the step's percentage grow up to `end` while a program writes about so many lines.
    OnLine follow(uint32_t end, uint32_t usual_lines) {
        return [this, start = step_.percent, end, usual_lines, count = 0u](const std::string& line) mutable {
            count = std::min(count + 1, usual_lines);
            step_.percent = start + (end - start) * count / usual_lines;
            step_.detail = line;
            on_step_(step_);
        };
    }

    std::string run(std::vector<std::string> words, const std::string& hint = "") {
        return cli::run({.words = std::move(words),
                         .input = "",
                         .environment = plain_environment(),
                         .hint = hint,
                         .told_as = ""});
    }

    void complete_recipe() {
        begin(0, "Looking for packages' sources");
        if (!options_.ssh_key.empty()) {
            recipe_.authorized_keys =
                check_public_keys(read_file("--ssh-key", options_.ssh_key), options_.ssh_key);
        }
        if (!options_.password_file.empty()) {
            recipe_.password =
                check_password(read_file("--password-file", options_.password_file), options_.password_file);
        }
        recipe_.sources =
            choose_sources(recipe_.suite, options_.mirror, options_.security_mirror, host_sources());
        recipe_.file_system_uuid = read_file("", "/proc/sys/kernel/random/uuid");
        recipe_.file_system_uuid.resize(std::strlen("00000000-0000-0000-0000-000000000000"));
        if (recipe_.ssh_port == 0) recipe_.ssh_port = store_.free_ssh_port();
    }

    // None where there is no apt: then Debian's own.
    std::vector<Source> host_sources() {
        try {
            return parse_index_targets(run({"apt-get", "indextargets", "--format",
                                            "$(REPO_URI) $(RELEASE) $(COMPONENT)", "Created-By: Packages"}));
        } catch (const Failure& failure) {
            if (failure.code() == ErrorCode::kAborted) throw;
            return {};
        }
    }

    void make_key(const fs::path& folder) {
        const std::string key = (folder / kKey).string();
        run({"ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", recipe_.name + "@torii", "-f", key});
        recipe_.authorized_keys = read_file("", key + ".pub");
    }

    void install_base(const Tree& tree) {
        begin(1, "Installing the smallest Debian " + recipe_.suite);
        // dpkg waits for the disk after each file; what is lost in a crash is thrown away here.
        tree.write({kNoSyncPath, "force-unsafe-io\n"});
        for (const TreeFile& file : files_for_installation(recipe_)) {
            if (file.path.starts_with("etc/dpkg/")) tree.write(file);
        }
        cli::run(
            {.words = contained({"debootstrap", "--force-check-gpg", "--arch=amd64", "--variant=minbase",
                                 "--include=ca-certificates", recipe_.suite, tree.folder().string(),
                                 recipe_.sources.mirror}),
             .input = "",
             .environment = plain_environment(),
             .hint = kNetworkHint,
             .told_as = "debootstrap " + recipe_.suite + " " + without_credentials(recipe_.sources.mirror)},
            follow(40, 420));
    }

    void install_packages(const Tree& tree) {
        for (const TreeFile& file : files_for_installation(recipe_))
            tree.write(file);
        begin(40, "Reading the lists of packages");
        tree.run({"apt-get", "-q", "update"}, follow(44, 20), "", kNetworkHint);
        begin(44, "Bringing it up to date");
        tree.run({"apt-get", "-q", "-y", "--no-install-recommends", "dist-upgrade"}, follow(50, 40), "",
                 kNetworkHint);
        begin(50, "Installing the kernel and packages");
        std::vector<std::string> words{"apt-get", "-q", "-y", "--no-install-recommends", "install", "--"};
        const std::vector<std::string> packages = all_packages(recipe_);
        words.insert(words.end(), packages.begin(), packages.end());
        tree.run(words, follow(88, 320), "",
                 "Is each name in --packages that of a package of " + recipe_.suite + "?");
        tree.run({"apt-get", "clean"});
    }

    void settle(const Tree& tree) {
        begin(88, "Making the user, and settings");
        const std::string home = "home/" + recipe_.user;
        tree.run({"useradd", "--create-home", "--shell", "/bin/bash", "--groups", "sudo,adm,systemd-journal",
                  "--", recipe_.user});
        for (const TreeFile& file : files_of_guest(recipe_))
            tree.write(file);
        for (const std::string& folder : {home, std::string("root")}) {
            tree.write({folder + "/.ssh/authorized_keys", recipe_.authorized_keys, 0600});
            if (::chmod(tree.file(folder + "/.ssh").c_str(), 0700) != 0) {
                throw Failure(ErrorCode::kSystem, folder + "/.ssh: " + std::strerror(errno));
            }
        }
        tree.run({"chown", "-R", recipe_.user + ":", "/" + home + "/.ssh"});
        if (!recipe_.password.empty())
            tree.run({"chpasswd"}, nullptr, recipe_.user + ":" + recipe_.password + "\n");
        tree.run({"systemctl", "enable", "systemd-networkd.service", "systemd-resolved.service",
                  "ssh.service", "fstrim.timer"});
        for (const std::string& path : files_to_remove())
            tree.remove(path);
        tree.remove(kNoSyncPath);
        tree.link("etc/resolv.conf", "../run/systemd/resolve/stub-resolv.conf");
        tree.link("var/lib/dbus/machine-id", "/etc/machine-id");
        // What the installation leaves behind. Logs of it could name the mirror with a password.
        for (const char* folder : {"var/lib/apt/lists", "var/cache/apt", "var/log/apt", "var/log"})
            tree.remove_files_in(folder);
    }

    void take_out(const Tree& tree, const fs::path& folder) {
        kernel_ = tree.newest_kernel();
        std::error_code error;
        fs::copy_file(tree.file("boot/vmlinuz-" + kernel_), folder / kKernel, error);
        if (!error) fs::copy_file(tree.file("boot/initrd.img-" + kernel_), folder / kRamdisk, error);
        if (error) throw Failure(ErrorCode::kSystem, "the kernel cannot be copied: " + error.message());
        write_new_file(folder / kKnownHosts, tree.known_hosts(recipe_.name), 0644);
    }

    void write_disk(const Tree& tree, const fs::path& folder) {
        begin(91, "Writing the disk");
        const uint64_t content = tree.size();
        if (content > recipe_.size_bytes) {
            throw Failure(ErrorCode::kInvalidArgument,
                          "the files of the image take " + format_kib(content >> 10) +
                              ", and its disk is to have " + format_kib(recipe_.size_bytes >> 10) +
                              ": give a larger --size");
        }
        const fs::path disk = folder / kDisk;
        write_new_file(disk, "", 0600);  // there are keys and passwords in it
        // Features that the kernels of all suites know; nothing is left for the guest to zero, since that
        // would fill the sparse file.
        run({"mke2fs", "-q", "-F", "-t", "ext4", "-O", "^orphan_file,^metadata_csum_seed", "-E",
             "lazy_itable_init=0,lazy_journal_init=0", "-U", recipe_.file_system_uuid, "-d",
             tree.folder().string(), disk.string(), std::to_string(recipe_.size_bytes >> 10) + "k"},
            "If the disk is too small, give a larger --size.");
        std::error_code error;
        fs::remove_all(tree.folder(), error);
        if (error)
            throw Failure(ErrorCode::kSystem, "the folder of files cannot be removed: " + error.message());
    }

    void describe(const fs::path& folder) {
        begin(97, "Describing it");
        Facts facts;
        facts.name = recipe_.name;
        facts.suite = recipe_.suite;
        facts.mirror = without_credentials(recipe_.sources.mirror);
        facts.kernel = kernel_;
        facts.packages = recipe_.packages;
        facts.user = recipe_.user;
        facts.created = now_rfc3339();
        facts.size_bytes = recipe_.size_bytes;
        facts.ssh_port = recipe_.ssh_port;
        facts.kernel_sha256 = sha256(folder / kKernel);
        facts.ramdisk_sha256 = sha256(folder / kRamdisk);
        write_new_file(folder / kFacts, facts_text(facts), 0644);
        write_new_file(folder / kDescription, guest_description(recipe_), 0644);
    }

    std::string sha256(const fs::path& path) {
        const std::string told = run({"sha256sum", "--", path.string()});
        return told.substr(0, told.find(' '));
    }

    const BuildOptions& options_;
    const OnStep& on_step_;
    Recipe recipe_;
    Store store_;
    Step step_;
    std::string kernel_;
};

}  // namespace

Image build_image(const BuildOptions& options, const OnStep& on_step) {
    Builder builder(options, on_step);
    const mode_t before = ::umask(022);
    try {
        Image image = builder.build();
        ::umask(before);
        return image;
    } catch (...) {
        ::umask(before);
        throw;
    }
}

}  // namespace torii::cli::image
