// xenstore, as an ordinary domain uses it.

#include <torii/guest/report.h>
#include <torii/guest/start.h>
#include <torii/guest/xenstore.h>

using namespace torii::guest;
namespace abi = torii::abi;

GUEST_TEST(store_own_entries, "A domain reads its own name and id") {
    if (!xenstore_available()) return skip("no xenstore here");
    CHECK(store_read("domid").ok());
    CHECK(store_read("name").ok());
}

GUEST_TEST(store_write_read, "What is written under the domain's data can be read, listed and removed") {
    if (!xenstore_available()) return skip("no xenstore here");
    CHECK(store_write("data/torii-test/a", "first").ok());
    CHECK(store_write("data/torii-test/b", "").ok());
    CHECK(store_read("data/torii-test/a").payload == "first");
    CHECK(store_directory("data/torii-test").payload == std::string_view("a\0b\0", 4));
    CHECK(store_remove("data/torii-test").ok());
    CHECK(store_read("data/torii-test/a").error_is("ENOENT"));
}

GUEST_TEST(store_permissions, "What belongs to others is neither read nor written") {
    if (!xenstore_available()) return skip("no xenstore here");
    CHECK(store_write("/local/domain/0/torii-test", "x").error_is("EACCES"));
    CHECK(store_write("/torii-test", "x").error_is("EACCES"));
    CHECK(store_write("name", "another").error_is("EACCES"));
}

GUEST_TEST(store_watches, "A watch fires at once, and at each change below its path") {
    if (!xenstore_available()) return skip("no xenstore here");
    constexpr uint64_t kSecond = 1'000'000'000;
    CHECK(store_watch("data/torii-watch", "token").ok());
    CHECK(store_next_event(5 * kSecond).payload == std::string_view("data/torii-watch\0token\0", 23));
    CHECK(store_write("data/torii-watch/x", "1").ok());
    CHECK(store_next_event(5 * kSecond).payload == std::string_view("data/torii-watch/x\0token\0", 25));
    CHECK(store_remove("data/torii-watch").ok());
}

GUEST_TEST(store_refused, "Bad paths, unknown requests and unknown transactions are refused") {
    if (!xenstore_available()) return skip("no xenstore here");
    CHECK(store_read("data//x").error_is("EINVAL"));
    CHECK(store_read("data/\x01").error_is("EINVAL"));
    CHECK(!store_read("domid", 0x7777'7777).ok());
    const std::string_view none[] = {"x"};
    CHECK(!store_request(static_cast<abi::XenstoreMessage>(1000), none).ok());
}
