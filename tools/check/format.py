#!/usr/bin/env python3
"""Every tracked C++ file is as clang-format (version 14, the tree's .clang-format) writes it.

    format.py ROOT
"""

import subprocess
import sys
from pathlib import Path

from tree import finish, source_files


def check(root):
    """All findings of the tree, and the number of files read."""
    files = [str(path) for path in source_files(root) if path.suffix in (".cpp", ".h", ".c")]
    if not files:
        return [], 0
    result = subprocess.run(["clang-format", "--dry-run", "-Werror", *files], cwd=root, stderr=subprocess.PIPE, text=True,
                            check=False)
    unformatted = sorted({line.split(":")[0] for line in result.stderr.splitlines() if ": error:" in line})
    if result.returncode and not unformatted:
        return [result.stderr.strip()], len(files)
    return [f"{path}: not as clang-format writes it (clang-format -i {path})" for path in unformatted], len(files)


if __name__ == "__main__":
    FINDINGS, COUNT = check(Path(sys.argv[1]))
    finish(FINDINGS, f"{COUNT} files")
