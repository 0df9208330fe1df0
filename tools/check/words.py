#!/usr/bin/env python3
"""No tracked file names a machine's own paths or hosts, nor the way the work was organised; none has a private key.

    words.py ROOT
"""

import re
import sys
from pathlib import Path

from tree import finish, tracked_files

# Spelled so that this file does not match itself.
PATTERNS = {
    "a path of one machine": re.compile(r"(?<![\w.}/-])/(?:wor[k]|far[m]|hom[e]/\w+|Use[r]s|roo[t]/\w)/?"),
    "how the work was organised": re.compile(r"\b(?:suba[g]ent|coding age[n]t|language mod[e]l|cla[u]de|anthr[o]pic|ll[m])\b", re.IGNORECASE),
    "a private key": re.compile(r"-----BEGIN [A-Z ]*PRIVATE KE[Y]-----"),
    "conflict marks": re.compile(r"^(?:<{7}|>{7}) ", re.MULTILINE),
}


def check(root):
    """All findings of the tree, and the number of files read."""
    findings = []
    files = tracked_files(root)
    for path in files:
        data = (root / path).read_bytes()
        if b"\0" in data[:4096]:
            continue
        text = data.decode(errors="replace")
        for what, pattern in PATTERNS.items():
            for match in pattern.finditer(text):
                line = text.count("\n", 0, match.start()) + 1
                findings.append(f"{path}:{line}: {match.group(0)!r} names {what}")
    return findings, len(files)


if __name__ == "__main__":
    FINDINGS, COUNT = check(Path(sys.argv[1]))
    finish(FINDINGS, f"{COUNT} files")
