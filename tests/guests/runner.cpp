#include <torii/guest/report.h>
#include <torii/guest/start.h>

void torii::guest::guest_main() {
    run_tests();
}
