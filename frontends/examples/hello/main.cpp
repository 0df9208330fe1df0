// The smallest guest: says hello, tells what it was given, and powers off.

#include <torii/guest/console.h>
#include <torii/guest/start.h>

using namespace torii::guest;

void torii::guest::guest_main() {
    print("Hello from a guest of {} pages; {}.\n", start_info().nr_pages,
          is_control_domain() ? "it is the control domain" : "it is an ordinary domain");
    print("Arguments: {}\n", std::string_view(start_info().cmd_line));
    print("The hypervisor has been up for {} ms.\n", system_time() / 1'000'000);
}
