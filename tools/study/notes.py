"""Why a row of docs/benchmarks.md is above its limit: where the instructions go. By the row's name."""

NOTES = {}

# What bends the curve of docs/benchmarks.md on several CPUs.
CURVE_NOTES = ()
