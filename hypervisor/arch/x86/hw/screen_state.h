// Between the part of the screen's code that stays and the one that boot alone needs.
#pragma once

#include "core/console/screen.h"

namespace torii::hw {

struct ScreenState {
    Screen screen;
    bool ours = false;
};
extern ScreenState screen_state;

}  // namespace torii::hw
