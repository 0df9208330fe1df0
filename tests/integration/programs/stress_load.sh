#!/bin/sh
# stress_load SECONDS MIB: once this domain's data/go is in the xenstore, so that all domains begin together, stress-ng for so long.
# What it says is in /tmp/stress; the code with which it ended is then data/ended.
until xenstore-exists data/go 2>/dev/null; do sleep 1; done
stress-ng --cpu "$(nproc)" --vm 1 --vm-bytes "$2M" --fork 1 --futex 1 --mmap 1 --mmap-bytes "$(($2 / 4))M" --verify \
    --temp-path /tmp --timeout "$1" --metrics-brief >/tmp/stress 2>&1
code=$?
until xenstore-write data/ended "$code" 2>/dev/null; do sleep 1; done
