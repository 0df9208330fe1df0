"""Why a row of docs/benchmarks.md is above its limit: where the instructions go. By the row's name."""

SCRUBBING = ("an idle CPU scrubs free memory for ever, because a scrubbed piece merges with its dirty other half and counts as "
             "dirty again: it never sleeps, and each round of 16 frames keeps interrupts off for 9,024 instructions")
NOTES = {
    "timer_slack_100us": SCRUBBING,
    "instructions": SCRUBBING,
    "of which the hypervisor's": SCRUBBING,
}
