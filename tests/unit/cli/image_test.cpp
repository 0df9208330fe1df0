// What of images needs neither root nor a network: wishes, sources, generated files, the folder of images.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <torii/failure.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "config_file.h"
#include "image/recipe.h"
#include "image/rendering.h"
#include "image/sources.h"
#include "image/store.h"
#include "image/tree.h"
#include "image/use.h"

namespace torii::cli::image {
namespace {

namespace fs = std::filesystem;

template <typename Call>
std::string refusal(Call call, ErrorCode code = ErrorCode::kInvalidArgument) {
    try {
        call();
    } catch (const Failure& failure) {
        EXPECT_EQ(failure.code(), code) << failure.what();
        return failure.what();
    }
    ADD_FAILURE() << "was not refused";
    return "";
}

void expect_says(const std::string& text, std::initializer_list<const char*> words) {
    for (const char* word : words)
        EXPECT_NE(text.find(word), std::string::npos) << "\"" << word << "\" is missing in: " << text;
}

Wishes named(const std::string& name) {
    Wishes wishes;
    wishes.name = name;
    return wishes;
}

TEST(ImageWishes, Defaults) {
    const Recipe recipe = check_wishes(named("web1"));
    EXPECT_EQ(recipe.host_name, "web1");
    EXPECT_EQ(recipe.suite, "bookworm");
    EXPECT_EQ(recipe.size_bytes, uint64_t{4} << 30);
    EXPECT_EQ(recipe.kernel, "linux-image-amd64");
    EXPECT_EQ(recipe.user, "torii");
    EXPECT_EQ(recipe.memory_kib, 512u << 10);
    EXPECT_TRUE(recipe.packages.empty());
}

TEST(ImageWishes, NamesThatWouldLeaveTheFolder) {
    for (const char* bad : {"", ".", "..", "../x", "a/b", "/etc", ".hidden", "-rf", "a b", "a\nb", "12",
                            "Domain-0", "n\xC3\xA4me", "a\\b"}) {
        refusal([&] { check_image_name(bad); });
    }
    refusal([] { check_image_name(std::string(64, 'a')); });
    for (const char* good : {"web1", "a", "_x", "web.example+1", "1a", "A-b"})
        EXPECT_NO_THROW(check_image_name(good)) << good;
    EXPECT_NO_THROW(check_image_name(std::string(63, 'a')));
}

TEST(ImageWishes, HostNamesAreNarrower) {
    EXPECT_EQ(host_name_for("Web_1.example+x"), "web-1-example-x");
    EXPECT_EQ(host_name_for("_x_"), "x");
    EXPECT_EQ(host_name_for("_+"), "debian");
}

TEST(ImageWishes, Packages) {
    Wishes wishes = named("a");
    wishes.packages = {"nginx,postgresql", "g++", "nginx", "libstdc++6,"};
    EXPECT_EQ(check_wishes(wishes).packages,
              (std::vector<std::string>{"nginx", "postgresql", "g++", "libstdc++6"}));
    // apt would take these for options, removals, versions, or files.
    for (const char* bad : {"-o", "--allow-unauthenticated", "nginx-", "nginx+", "Nginx", "a", "x=1", "x/sid",
                            "../x.deb", "x y", "*", "x;y", "+x"}) {
        wishes.packages = {bad};
        expect_says(refusal([&] { check_wishes(wishes); }), {"--packages", bad});
    }
}

TEST(ImageWishes, Sizes) {
    Wishes wishes = named("a");
    wishes.size = "1G";
    EXPECT_EQ(check_wishes(wishes).size_bytes, kSmallestDisk);
    for (const char* bad : {"1023M", "0", "100T", "1048577K", "x", "-4G", "99999999999999999999"}) {
        wishes.size = bad;
        expect_says(refusal([&] { check_wishes(wishes); }), {bad});
    }
}

TEST(ImageWishes, OthersThatAreRefused) {
    const auto refused = [](auto change, std::initializer_list<const char*> words) {
        Wishes wishes = named("a");
        change(wishes);
        expect_says(refusal([&] { check_wishes(wishes); }), words);
    };
    refused([](Wishes& w) { w.suite = "../sid"; }, {"../sid", "bookworm, trixie, forky, sid"});
    refused([](Wishes& w) { w.kernel = "mine"; }, {"--kernel", "mine", "cloud"});
    refused([](Wishes& w) { w.user = "root"; }, {"root"});
    refused([](Wishes& w) { w.user = "-x"; }, {"--user", "-x"});
    refused([](Wishes& w) { w.user = "A b"; }, {"--user"});
    refused([](Wishes& w) { w.user = ""; }, {"--user"});
    refused([](Wishes& w) { w.user = std::string(33, 'a'); }, {"--user"});
    refused([](Wishes& w) { w.ssh_port = 65536; }, {"--ssh-port", "65536"});
    refused([](Wishes& w) { w.ssh_port = -1; }, {"--ssh-port"});
    refused([](Wishes& w) { w.memory = "16M"; }, {"--memory", "16M"});
}

TEST(ImageKeys, PublicOnes) {
    EXPECT_EQ(check_public_keys("# mine\n\nssh-ed25519 AAAA me\nsk-ssh-ed25519@openssh.com BBBB\n", "k"),
              "ssh-ed25519 AAAA me\nsk-ssh-ed25519@openssh.com BBBB\n");
    // Spelled so that nobody takes this file for a key.
    const std::string secret = std::string("-----BEGIN OPENSSH PRIVATE ") + "KEY-----\nx\n";
    expect_says(refusal([&] { check_public_keys(secret, "id"); }), {"private key", "id.pub"});
    expect_says(refusal([] { check_public_keys("", "k"); }), {"no key"});
    expect_says(refusal([] { check_public_keys("hello world\n", "k"); }), {"hello world", "k"});
}

TEST(ImageKeys, PasswordsAreTheFirstLine) {
    EXPECT_EQ(check_password("se cret:\r\nmore\n", "p"), "se cret:");
    EXPECT_EQ(check_password("x", "p"), "x");
    expect_says(refusal([] { check_password("\nx", "p"); }), {"--password-file p", "empty"});
}

TEST(ImageSources, TheHostsAnswerIsRead) {
    const std::vector<Source> sources = parse_index_targets(
        "http://a/debian/ bookworm main\nhttp://a/debian/ bookworm main\nhttp://a/debian/ bookworm contrib\n"
        "W: a warning of apt's\n\nhttp://b/security bookworm-security main\n");
    EXPECT_EQ(sources, (std::vector<Source>{{"http://a/debian/", "bookworm"},
                                            {"http://b/security", "bookworm-security"}}));
}

TEST(ImageSources, ChosenByWhatIsGivenThenTheHostsThenDebians) {
    const std::vector<Source> host{{"http://a/debian/", "bookworm"},
                                   {"http://b/security", "bookworm-security"}};
    EXPECT_EQ(sources_list(choose_sources("bookworm", "", "", host), true),
              "deb http://a/debian bookworm main\ndeb http://a/debian bookworm-updates main\n"
              "deb http://b/security bookworm-security main\n");
    EXPECT_EQ(
        sources_list(choose_sources("trixie", "", "", host), true),
        "deb http://deb.debian.org/debian trixie main\ndeb http://deb.debian.org/debian trixie-updates main\n"
        "deb http://deb.debian.org/debian-security trixie-security main\n");
    EXPECT_EQ(sources_list(choose_sources("bookworm", "https://m/d", "none", host), true),
              "deb https://m/d bookworm main\ndeb https://m/d bookworm-updates main\n");
    EXPECT_EQ(sources_list(choose_sources("sid", "", "", host), true),
              "deb http://deb.debian.org/debian sid main\n");
    // What only the host can reach is passed over.
    EXPECT_EQ(choose_sources("bookworm", "", "", {{"file:/srv/debian", "bookworm"}}).mirror, kUsualMirror);
    for (const char* bad : {"file:/srv", "ftp://x/y", "http://", "http://a b/c",
                            "http://x/\ndeb [trusted=yes] http://y", "x"}) {
        expect_says(refusal([&] { choose_sources("bookworm", bad, "", host); }), {"--mirror"});
        expect_says(refusal([&] { choose_sources("bookworm", "", bad, host); }), {"--security-mirror"});
    }
}

TEST(ImageSources, PasswordsOfMirrorsStayOut) {
    EXPECT_EQ(without_credentials("https://me:se@cret@host/debian"), "https://host/debian");
    EXPECT_EQ(without_credentials("https://host/debian/@x"), "https://host/debian/@x");
    EXPECT_EQ(without_credentials("https://me@host"), "https://host");
    Recipe recipe = check_wishes(named("a"));
    recipe.sources = choose_sources("bookworm", "https://me:secret@host/debian", "", {});
    const auto shows = [](const std::vector<TreeFile>& files) {
        return std::any_of(files.begin(), files.end(), [](const TreeFile& file) {
            return file.text.find("secret") != std::string::npos;
        });
    };
    EXPECT_TRUE(shows(files_for_installation(recipe)));
    EXPECT_FALSE(shows(files_of_guest(recipe)));
    // The one without takes the place of the one with.
    const auto paths = files_of_guest(recipe);
    EXPECT_TRUE(std::any_of(paths.begin(), paths.end(),
                            [](const TreeFile& f) { return f.path == "etc/apt/sources.list"; }));
}

TEST(ImageFiles, TheGuestDescriptionIsOnePieceOfToml) {
    Wishes wishes = named("web1");
    wishes.ssh_port = 2300;
    const std::string text = guest_description(check_wishes(wishes));
    expect_says(text, {"name = \"web1\"", "[[disk]]\nsource = \"disk.raw\"", "forwards = [\"tcp:2300:22\"]",
                       "memory = \"512M\"", "root=/dev/xvda"});
    const Description described = parse_description(text, "/images/web1/guest.toml");
    EXPECT_EQ(described.config.kernel(), "/images/web1/vmlinuz");
    EXPECT_EQ(described.config.ramdisk(), "/images/web1/initrd.img");
    ASSERT_EQ(described.config.disks_size(), 1);
    EXPECT_EQ(described.config.disks(0).source(), "/images/web1/disk.raw");
    ASSERT_EQ(described.config.nets_size(), 1);
    EXPECT_EQ(described.config.nets(0).forwards(0), "tcp:2300:22");
}

TEST(ImageFiles, NoneIsWrittenTwiceNorOutside) {
    Recipe recipe = check_wishes(named("a"));
    for (const auto& files : {files_for_installation(recipe), files_of_guest(recipe)}) {
        std::vector<std::string> paths;
        for (const TreeFile& file : files) {
            EXPECT_FALSE(file.path.starts_with("/")) << file.path;
            EXPECT_EQ(std::count(paths.begin(), paths.end(), file.path), 0) << file.path;
            paths.push_back(file.path);
        }
    }
}

Facts some_facts() {
    Facts facts;
    facts.name = "web1";
    facts.suite = "bookworm";
    facts.mirror = "http://deb.debian.org/debian";
    facts.kernel = "6.1.0-41-amd64";
    facts.packages = {"nginx", "a \"quoted\" \\ one"};
    facts.user = "torii";
    facts.created = "2026-11-26T18:15:04Z";
    facts.size_bytes = uint64_t{4} << 30;
    facts.ssh_port = 2222;
    facts.kernel_sha256 = "00ff";
    facts.ramdisk_sha256 = "11ee";
    return facts;
}

TEST(ImageFacts, AreReadAsTheyWereWritten) {
    EXPECT_EQ(parse_facts(facts_text(some_facts()), "image.toml"), some_facts());
}

TEST(ImageFacts, WhatIsWrongIsNamed) {
    const auto broken = [](const std::string& from, const std::string& to) {
        std::string text = facts_text(some_facts());
        const size_t at = text.find(from);
        EXPECT_NE(at, std::string::npos) << from;
        text.replace(at, from.size(), to);
        return refusal([&] { parse_facts(text, "/i/image.toml"); }, ErrorCode::kConfigurationSyntax);
    };
    expect_says(broken("format = 1", "format = 2"), {"/i/image.toml", "newer"});
    expect_says(broken("ssh-port = 2222", "ssh-port = 65536"), {"ssh-port"});
    expect_says(broken("suite = ", "sweet = "), {"\"suite\" is missing"});
    expect_says(broken("size = 4", "size = -4"), {"\"size\""});
    expect_says(broken("name = ", "name == "), {"/i/image.toml:"});
}

class ImageStore : public ::testing::Test {
protected:
    void SetUp() override {
        std::string pattern = (fs::temp_directory_path() / "torii-images-XXXXXX").string();
        ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
        folder_ = pattern;
    }
    void TearDown() override { fs::remove_all(folder_); }

    static void put(const fs::path& file, const std::string& text) { std::ofstream(file) << text; }
    fs::path make(const std::string& name, uint16_t port = 2222) {
        Draft draft(folder_, name);
        Facts facts = some_facts();
        facts.name = name;
        facts.ssh_port = port;
        put(draft.folder() / kFacts, facts_text(facts));
        put(draft.folder() / kDisk, "");
        fs::resize_file(draft.folder() / kDisk, 1 << 20);
        return draft.keep();
    }
    size_t entries() const {
        return static_cast<size_t>(std::distance(fs::directory_iterator(folder_), fs::directory_iterator()));
    }
    Store store() const { return Store(folder_); }

    fs::path folder_;
};

TEST_F(ImageStore, AnImageAppearsWholeOrNotAtAll) {
    {
        const Draft draft(folder_, "web1");
        put(draft.folder() / "half", "x");
        EXPECT_EQ(entries(), 1u);
        EXPECT_TRUE(store().list().empty());
        struct stat told {};
        ASSERT_EQ(::stat(draft.folder().c_str(), &told), 0);
        EXPECT_EQ(told.st_mode & 0777, 0700u);  // there are private keys in it
    }
    EXPECT_EQ(entries(), 0u);
    EXPECT_EQ(make("web1"), folder_ / "web1");
    EXPECT_EQ(entries(), 1u);
    const Image found = store().find("web1");
    EXPECT_EQ(found.size_bytes, 1u << 20);
    EXPECT_LT(found.allocated_bytes, 1u << 16);
    EXPECT_EQ(found.facts->suite, "bookworm");
}

TEST_F(ImageStore, ATakenNameIsLeftAlone) {
    make("web1", 2300);
    expect_says(refusal([&] { store().check_free("web1"); }, ErrorCode::kDomainExists),
                {"web1", "torii image rm web1"});
    // Two that were begun at the same time.
    expect_says(refusal([&] { make("web1", 2400); }, ErrorCode::kDomainExists), {"there already"});
    EXPECT_EQ(store().find("web1").facts->ssh_port, 2300);
    EXPECT_EQ(entries(), 1u);
    // A link to nowhere is something as well.
    fs::create_symlink("nowhere", folder_ / "web2");
    refusal([&] { store().check_free("web2"); }, ErrorCode::kDomainExists);
}

TEST_F(ImageStore, WhatKilledOnesLeftIsRemovedByTheNext) {
    fs::create_directories(folder_ / ".unfinished-old.AAAAAA/tree/etc");
    fs::create_directories(folder_ / ".mine");
    const Draft running(folder_, "running");
    make("web1");
    EXPECT_FALSE(fs::exists(folder_ / ".unfinished-old.AAAAAA"));
    EXPECT_TRUE(fs::exists(running.folder()));
    EXPECT_TRUE(fs::exists(folder_ / ".mine"));
}

TEST_F(ImageStore, RemovingTakesOnlyImages) {
    make("web1");
    make("web2");
    store().remove(store().find("web1"));
    EXPECT_EQ(entries(), 1u);
    fs::create_directories(folder_ / "photos");
    put(folder_ / "photos/one", "x");
    fs::create_directory_symlink(folder_ / "web2", folder_ / "link");
    for (const char* none : {"photos", "link", "web1"}) {
        expect_says(refusal([&] { store().find(none); }, ErrorCode::kOperationFailed), {"no image", none});
    }
    refusal([&] { store().find("../" + folder_.filename().string() + "/web2"); });
    EXPECT_EQ(store().list().size(), 1u);
}

TEST_F(ImageStore, ABrokenOneIsShownWithItsProblem) {
    make("good");
    make("bad");
    put(folder_ / "bad" / kFacts, "format = 7\n");
    const std::vector<Image> images = store().list();
    ASSERT_EQ(images.size(), 2u);
    EXPECT_FALSE(images[0].facts);
    expect_says(render_images(images), {"PROBLEM", "newer torii", "6.1.0-41-amd64", "2026-11-26 18:15"});
    expect_says(render_images_json(images), {"\"name\":\"bad\"", "\"ssh_port\":2222"});
    expect_says(render_image(images[0]), {"problem", "guest.toml"});
    EXPECT_NO_THROW(store().remove(store().find("bad")));
}

TEST_F(ImageStore, NoTwoGuestsGetTheSamePort) {
    EXPECT_EQ(store().free_ssh_port(), 2222);
    make("a", 2222);
    make("b", 2224);
    EXPECT_EQ(store().free_ssh_port(), 2223);
    EXPECT_EQ(Store(folder_ / "nothing").free_ssh_port(), 2222);
    EXPECT_TRUE(Store(folder_ / "nothing").list().empty());
}

TEST_F(ImageStore, DomainsThatUseIt) {
    make("web1");
    fs::create_directory_symlink(folder_, folder_ / "other-way");
    v1::DomainList list;
    const auto add = [&](const char* name, const fs::path& kernel, bool active, bool building = false) {
        v1::Domain* domain = list.add_domains();
        domain->set_name(name);
        domain->set_active(active);
        domain->set_building(building);
        domain->mutable_config()->set_kernel(kernel.string());
    };
    add("runs", folder_ / "web1/vmlinuz", true);
    add("by-a-link", folder_ / "other-way/web1/vmlinuz", true);
    add("is-built", folder_ / "web1/vmlinuz", false, true);
    add("ended", folder_ / "web1/vmlinuz", false);
    add("neighbour", folder_ / "web11/vmlinuz", true);
    add("elsewhere", "/boot/vmlinuz", true);
    add("by-its-disk", "/boot/vmlinuz", true);
    list.mutable_domains(list.domains_size() - 1)
        ->mutable_config()
        ->add_disks()
        ->set_source(folder_ / "web1/disk.raw");
    v1::Domain* own = list.add_domains();
    own->set_name("Domain-0");
    own->set_active(true);
    EXPECT_EQ(users_of(folder_ / "web1", list),
              (std::vector<std::string>{"runs", "by-a-link", "is-built", "by-its-disk"}));
}

class ImageTree : public ImageStore {};

TEST_F(ImageTree, LinksThatLeadOutAreReplaced) {
    const Tree tree(folder_ / "tree");
    put(folder_ / "outside", "of the host");
    fs::create_directories(tree.file("etc"));
    fs::create_symlink(folder_ / "outside", tree.file("etc/resolv.conf"));
    tree.write({"etc/resolv.conf", "mine", 0640});
    tree.write({"etc/deep/er/file", "x"});
    std::string text;
    std::ifstream(folder_ / "outside") >> text;
    EXPECT_EQ(text, "of");
    EXPECT_FALSE(fs::is_symlink(tree.file("etc/resolv.conf")));
    struct stat told {};
    ASSERT_EQ(::stat(tree.file("etc/resolv.conf").c_str(), &told), 0);
    EXPECT_EQ(told.st_mode & 0777, 0640u);
    tree.link("etc/resolv.conf", "../run/x");
    EXPECT_EQ(fs::read_symlink(tree.file("etc/resolv.conf")), "../run/x");
    tree.remove("etc/resolv.conf");
    tree.remove_files_in("etc/deep");
    EXPECT_TRUE(fs::exists(tree.file("etc/deep/er/file")));
    tree.remove_files_in("etc/deep/er");
    EXPECT_FALSE(fs::exists(tree.file("etc/deep/er/file")));
    EXPECT_NO_THROW(tree.remove_files_in("no/such"));
}

TEST_F(ImageTree, TheNewestKernelThatHasItsRamDisk) {
    const Tree tree(folder_ / "tree");
    expect_says(refusal([&] { tree.newest_kernel(); }, ErrorCode::kOperationFailed), {"no kernel"});
    for (const char* file : {"vmlinuz-6.1.0-9-amd64", "initrd.img-6.1.0-9-amd64", "vmlinuz-6.1.0-41-amd64",
                             "initrd.img-6.1.0-41-amd64", "vmlinuz-6.12.0-1-amd64"}) {
        tree.write({std::string("boot/") + file, "x"});
    }
    EXPECT_EQ(tree.newest_kernel(), "6.1.0-41-amd64");
}

TEST_F(ImageTree, HostKeysAsKnownHosts) {
    const Tree tree(folder_ / "tree");
    refusal([&] { tree.known_hosts("web1"); }, ErrorCode::kOperationFailed);
    tree.write({"etc/ssh/ssh_host_ed25519_key.pub", "ssh-ed25519 AAAA root@build\n"});
    tree.write({"etc/ssh/ssh_host_ed25519_key", "secret"});
    EXPECT_EQ(tree.known_hosts("web1"), "web1 ssh-ed25519 AAAA\n");
}

}  // namespace
}  // namespace torii::cli::image
