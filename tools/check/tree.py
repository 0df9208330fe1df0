"""What the checks share: which files are tracked, and how findings are told."""

import subprocess
import sys
from pathlib import Path

SOURCE_SUFFIXES = {".cpp", ".h", ".S", ".c"}


def tracked_files(root):
    """Paths of the files that git tracks, relative to `root`; without git, all files outside build folders."""
    listed = subprocess.run(["git", "-C", str(root), "-c", "safe.directory=*", "ls-files", "-z"], stdout=subprocess.PIPE,
                            stderr=subprocess.DEVNULL, check=False)
    if listed.returncode == 0 and listed.stdout:
        names = listed.stdout.decode().split("\0")
    else:
        names = [str(path.relative_to(root)) for path in Path(root).rglob("*") if path.is_file()]
        names = [name for name in names if not name.startswith((".git/", "build"))]
    return sorted(Path(name) for name in names if name and (Path(root) / name).is_file())


def source_files(root):
    """Tracked C++, C and assembly files."""
    return [path for path in tracked_files(root) if path.suffix in SOURCE_SUFFIXES]


def finish(findings, checked):
    """Print findings, one a line, and end the program with the fitting code."""
    for finding in findings:
        print(finding)
    print(f"{len(findings)} findings in {checked}")
    sys.exit(1 if findings else 0)
