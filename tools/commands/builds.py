"""The builds that the tests run on: one folder for each of CMake's presets."""

from commands.steps import BUILD, ROOT, run, say

# What a test in QEMU needs of the release build.
MACHINE_TARGETS = ("torii_elf", "toriid", "torii", "torii-nat", "deb", "guests", "conformance")


def configure_and_build(preset, targets=()):
    """Configure and build one preset."""
    say(f"Building ({preset})")
    run(["cmake", "--preset", preset, "-S", ROOT], quiet=True, cwd=ROOT, time_limit=600)
    chosen = ["--target", *targets] if targets else []
    folder = BUILD if preset == "release" else BUILD / preset
    run(["cmake", "--build", folder, *chosen], quiet=True, time_limit=3600)
    return folder
