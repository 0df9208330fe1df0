#include "arch/x86/hw/screen.h"

#include "arch/x86/hw/options.h"
#include "arch/x86/hw/screen_state.h"

namespace torii::hw {

constinit ScreenState screen_state;

void screen_write(std::string_view text) {
    if (screen_state.ours) screen_state.screen.write(text);
}

void screen_hand_over() {
    if (!options.keep_screen) screen_state.ours = false;
}

void screen_take_back() {
    if (!screen_state.screen.exists()) return;
    screen_state.ours = true;
    screen_state.screen.clear();
    screen_state.screen.hold();
}

}  // namespace torii::hw
