// Images: disks with an installed system, for guests.

#include <torii/failure.h>
#include <unistd.h>

#include <chrono>
#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>

#include "commands.h"
#include "image/build.h"
#include "image/rendering.h"
#include "image/store.h"
#include "image/use.h"
#include "process.h"
#include "progress_line.h"
#include "sizes.h"

namespace torii::cli {
namespace {

using image::BuildOptions;
using image::Image;
using image::Step;
using image::Store;

constexpr const char* kBuildFooter =
    "Installs Debian with systemd, a kernel, ssh and the time zone UTC into a new folder below the "
    "--directory; a "
    "few\n"
    "minutes. Takes root, and the packages debootstrap, e2fsprogs, openssh-client and "
    "debian-archive-keyring. What "
    "goes\n"
    "wrong, or is interrupted, leaves nothing behind.\n"
    "\n"
    "Nobody has a password, unless --password-file gives the user one for the console: ssh takes keys only. "
    "The user "
    "may\n"
    "do everything through sudo. Without --ssh-key a key pair is made, for `torii ssh NAME`. The disk has "
    "one file "
    "system\n"
    "and no partitions; make the file larger (truncate -s 8G disk.raw) while the guest is off, and it grows "
    "when it "
    "boots.\n"
    "The guest's kernel is the one beside its disk: kernels that are installed in the guest later are not "
    "booted.\n"
    "\n"
    "In the folder:\n"
    "\n"
    "    disk.raw                   the disk; sparse\n"
    "    vmlinuz, initrd.img        its kernel and RAM disk, which dom0 needs to start it\n"
    "    guest.toml                 a description for `torii create`\n"
    "    id_ed25519, known_hosts    to log in by ssh\n"
    "    image.toml                 what it is\n"
    "\n"
    "Examples:\n"
    "  torii image build debian web1\n"
    "  torii image build debian web1 --size 20G --packages nginx,postgresql\n"
    "  torii image build debian web2 --suite trixie --kernel cloud --ssh-key ~/.ssh/id_ed25519.pub\n"
    "  torii create /var/lib/torii/images/web1/guest.toml\n";

struct ImageOptions {
    std::string folder = image::kImagesFolder;
    std::string name;
    bool force = false;
};

// Each step is a line where there is no terminal, such as in a log.
class Steps {
public:
    explicit Steps(bool wanted) : wanted_(wanted), line_(wanted) {}

    void show(const Step& step) {
        const bool begins = step.detail.empty();
        if (line_.is_on_terminal()) {
            line_.show(step.percent, begins ? step.what : step.what + ": " + step.detail);
        } else if (wanted_ && begins) {
            std::fprintf(stderr, "%3u %% %s\n", step.percent, step.what.c_str());
        }
    }

private:
    bool wanted_;
    ProgressLine line_;
};

ExitCode build(const Context& context, const BuildOptions& options) {
    const InterruptGuard guard;
    const auto start = std::chrono::steady_clock::now();
    Image made;
    try {
        Steps steps(!context.quiet && !context.json);
        made = image::build_image(options, [&](const Step& step) { steps.show(step); });
    } catch (const Failure& failure) {
        if (failure.code() != ErrorCode::kAborted) throw;
        std::fprintf(stderr, "torii: interrupted; nothing is left of the image\n");
        return ExitCode::kInterrupted;
    }
    if (context.json) {
        print(image::render_image_json(made));
    } else if (!context.quiet) {
        const auto took =
            std::chrono::duration_cast<std::chrono::seconds>(std::chrono::steady_clock::now() - start);
        print(made.name + ": Debian " + made.facts->suite + " with kernel " + made.facts->kernel + ", " +
              format_kib(made.allocated_bytes >> 10) + " on disk, after " +
              format_duration(static_cast<uint64_t>(took.count())) + "\nStart it: torii create " +
              made.file(image::kDescription).string() + "\n");
    }
    return ExitCode::kSuccess;
}

ExitCode list(const Context& context, const std::string& folder) {
    const std::vector<Image> images = Store(folder).list();
    print(context.json ? image::render_images_json(images) : image::render_images(images));
    return ExitCode::kSuccess;
}

ExitCode info(const Context& context, const ImageOptions& options) {
    const Image found = Store(options.folder).find(options.name);
    print(context.json ? image::render_image_json(found) : image::render_image(found));
    return ExitCode::kSuccess;
}

ExitCode remove(const Context& context, const ImageOptions& options) {
    const Store store(options.folder);
    const Image found = store.find(options.name);
    if (!options.force) image::check_unused(found.folder, context.socket);
    store.remove(found);
    if (!context.quiet) print("the image " + found.name + " is removed\n");
    return ExitCode::kSuccess;
}

// The words of an ssh that trusts the guest's own key and no other.
std::vector<std::string> ssh_words(const Image& image, const std::string& user,
                                   const std::vector<std::string>& command) {
    const std::string key = image.file(image::kKey).string();
    std::vector<std::string> words{"ssh",
                                   "-p",
                                   std::to_string(image.facts->ssh_port),
                                   "-o",
                                   "UserKnownHostsFile=" + image.file(image::kKnownHosts).string(),
                                   "-o",
                                   "HostKeyAlias=" + image.name,
                                   "-o",
                                   "StrictHostKeyChecking=yes"};
    if (::access(key.c_str(), F_OK) == 0) words.insert(words.end(), {"-o", "IdentitiesOnly=yes", "-i", key});
    words.insert(words.end(), {"-l", user.empty() ? image.facts->user : user, "127.0.0.1"});
    if (!command.empty()) words.push_back("--");
    words.insert(words.end(), command.begin(), command.end());
    return words;
}

ExitCode ssh(const ImageOptions& options, const std::string& user, const std::vector<std::string>& command) {
    const Image found = Store(options.folder).find(options.name);
    if (!found.facts) throw Failure(ErrorCode::kOperationFailed, found.problem);
    const std::string program = program_path("ssh");
    if (program.empty()) {
        throw Failure(ErrorCode::kNotSupported,
                      "the program ssh is needed and not installed: apt install openssh-client");
    }
    const std::vector<std::string> words = ssh_words(found, user, command);
    std::vector<char*> pointers;
    for (const std::string& word : words)
        pointers.push_back(const_cast<char*>(word.c_str()));  // the call changes nothing
    pointers.push_back(nullptr);
    ::execv(program.c_str(), pointers.data());
    throw Failure(ErrorCode::kSystem, program + " cannot be started");
}

void add_folder_option(CLI::App& command, std::string& folder) {
    command.add_option("--directory", folder, "Where images lie")->capture_default_str();
}

void add_build_options(CLI::App& command, BuildOptions& options) {
    image::Wishes& wishes = options.wishes;
    command.add_option("NAME", wishes.name, "Its name, and its guest's: letters, digits, - _ . +")
        ->required();
    command.add_option("--size", wishes.size, "The disk: 4G, 512G; what is not used takes no room")
        ->capture_default_str();
    command.add_option("--suite", wishes.suite, "Debian's release: bookworm, trixie, forky or sid")
        ->capture_default_str();
    command
        .add_option("--packages", wishes.packages,
                    "More packages, with commas; may be repeated. What they only recommend is left out")
        ->expected(1)
        ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
        ->allow_extra_args(false);
    command
        .add_option("--kernel", wishes.kernel, "standard, or cloud, which has no drivers of real hardware")
        ->capture_default_str();
    command.add_option("--user", wishes.user, "The user who may log in")->capture_default_str();
    command.add_option("--ssh-key", options.ssh_key,
                       "A file with public keys that may log in, in place of a new one");
    command.add_option("--password-file", options.password_file,
                       "A file whose first line is the user's password for the console; - is standard input");
    command.add_option("--memory", wishes.memory, "What guest.toml gives the guest")->capture_default_str();
    command.add_option(
        "--ssh-port", wishes.ssh_port,
        "The port of dom0 that leads to the guest's ssh (default: the first from 2222 that no image "
        "has)");
    command.add_option("--mirror", options.mirror, "Debian's archive (default: that of this machine's apt)");
    command.add_option("--security-mirror", options.security_mirror,
                       "That of security updates (default: likewise); none: without them");
    add_folder_option(command, options.folder);
}

void add_build_command(CLI::App& images, Context& context) {
    CLI::App* build_command = images.add_subcommand("build", "Install a system on a new disk");
    build_command->footer("Examples:\n  torii image build debian web1\n  torii image build debian --help\n");
    build_command->require_subcommand(1);
    auto options = std::make_shared<BuildOptions>();
    CLI::App* debian =
        build_command->add_subcommand("debian", "Install Debian on a new disk that a guest boots from");
    debian->footer(kBuildFooter);
    add_build_options(*debian, *options);
    debian->callback(
        [options, &context] { context.action = [options, &context] { return build(context, *options); }; });
}

CLI::App* add_verb(CLI::App& parent, const char* name, const char* description, const char* examples,
                   const std::shared_ptr<ImageOptions>& options, bool named) {
    CLI::App* command = parent.add_subcommand(name, description);
    command->footer(std::string("Examples:\n") + examples);
    if (named) command->add_option("NAME", options->name, "The image's name")->required();
    add_folder_option(*command, options->folder);
    return command;
}

}  // namespace

void add_image_commands(CLI::App& app, Context& context) {
    CLI::App* images = app.add_subcommand("image", "Make, list and remove disks with an installed system");
    images->footer("Examples:\n  torii image build debian web1 --size 8G\n  torii image list\n");
    images->require_subcommand(1);
    add_build_command(*images, context);
    const auto listing = std::make_shared<ImageOptions>();
    add_verb(*images, "list", "All images", "  torii image list\n  torii --json image list\n", listing, false)
        ->callback([listing, &context] {
            context.action = [listing, &context] { return list(context, listing->folder); };
        });
    const auto asking = std::make_shared<ImageOptions>();
    add_verb(*images, "info", "All about one image", "  torii image info web1\n", asking, true)
        ->callback(
            [asking, &context] { context.action = [asking, &context] { return info(context, *asking); }; });
    const auto removing = std::make_shared<ImageOptions>();
    CLI::App* rm = add_verb(*images, "rm", "Remove an image with its disk; not while a domain uses it",
                            "  torii image rm web1\n", removing, true);
    rm->add_flag("--force", removing->force, "Even if a domain uses it, or nobody knows");
    rm->callback([removing, &context] {
        context.action = [removing, &context] { return remove(context, *removing); };
    });
}

void add_ssh_command(CLI::App& app, Context& context) {
    const auto options = std::make_shared<ImageOptions>();
    const auto user = std::make_shared<std::string>();
    const auto words = std::make_shared<std::vector<std::string>>();
    CLI::App* command =
        add_verb(app, "ssh", "Log in to the guest of an image, through its NAT",
                 "  torii ssh web1\n  torii ssh web1 --user root -- systemctl status\n"
                 "It goes to the port of this machine that the image's guest.toml forwards to the "
                 "guest's ssh, trusts the host\nkeys that were made with the image and no others, and "
                 "ends as ssh does.\n",
                 options, true);
    command->add_option("COMMAND", *words, "What is run there, after --; without it a shell");
    command->add_option("--user", *user, "Log in as this user (default: the image's)");
    command->callback([options, user, words, &context] {
        context.action = [options, user, words] { return ssh(*options, *user, *words); };
    });
}

}  // namespace torii::cli
