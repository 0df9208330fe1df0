#!/usr/bin/env python3
"""Files of at most 500 lines, functions of at most 60, unless a comment `// Size: reason` says why.

    size_limits.py ROOT

For a file the comment stands among its first 20 lines; for a function in the three lines above it or on its first line.
Files that hold a table as data say so in the same way. Python files of the tools have the same limits (`# Size: reason`).
"""

import ast
import re
import sys
from pathlib import Path

from tree import finish, source_files, tracked_files

FILE_LINES = 500
FUNCTION_LINES = 60
REASON = re.compile(r"(?://|#|/\*|\*) ?Size: \S")
# A line that opens a body and is no function: a type, a namespace, an initialised table.
_NOT_FUNCTION = re.compile(r"^\s*(?:namespace|class|struct|union|enum|extern \"C\"|typedef|template\b.*\b(?:class|struct)\b[^()]*$)|=\s*\{")


def strip(text):
    """The text with comments, strings and characters blanked, so that braces can be counted. Lines stay where they are."""
    pattern = re.compile(r'//[^\n]*|/\*.*?\*/|R"(\w*)\(.*?\)\1"|"(?:\\.|[^"\\\n])*"|(?<![0-9A-Fa-f])\'(?:\\.|[^\'\\\n])+\'', re.DOTALL)
    return pattern.sub(lambda match: re.sub(r"[^\n]", " ", match.group(0)), text)


def has_reason(lines, first, last):
    """Whether a reason stands in lines first..last (from 0)."""
    return any(REASON.search(line) for line in lines[max(first, 0):last])


def functions(stripped):
    """(first line, last line), from 1, of each outermost function body in C++ text."""
    depth_kinds = []
    statement_start = 0
    found = []
    for position, character in enumerate(stripped):
        if character == "{":
            head = stripped[statement_start:position]
            in_function = "function" in depth_kinds
            is_function = not in_function and ")" in head and not _NOT_FUNCTION.search(head.strip().split("\n")[-1]) \
                and not re.match(r"\s*(?:namespace|class|struct|union|enum)\b", head)
            first = stripped.count("\n", 0, statement_start + len(head) - len(head.lstrip())) + 1
            depth_kinds.append("function" if is_function else "other")
            if is_function:
                found.append([first, None, len(depth_kinds)])
            statement_start = position + 1
        elif character == "}":
            if found and found[-1][1] is None and found[-1][2] == len(depth_kinds):
                found[-1][1] = stripped.count("\n", 0, position) + 1
            if depth_kinds:
                depth_kinds.pop()
            statement_start = position + 1
        elif character == ";" and "function" not in depth_kinds:
            statement_start = position + 1
        elif character == "#" and "function" not in depth_kinds:
            end = stripped.find("\n", position)
            statement_start = max(statement_start, end)
    return [(first, last) for first, last, _ in found if last]


def check_cpp(path, text):
    """Findings about functions in one C++ file."""
    lines = text.splitlines()
    for first, last in functions(strip(text)):
        if last - first + 1 > FUNCTION_LINES and not has_reason(lines, first - 4, first + 1):
            yield f"{path}:{first}: a function of {last - first + 1} lines (limit {FUNCTION_LINES})"


def check_python(path, text):
    """Findings about functions in one Python file."""
    lines = text.splitlines()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            length = node.end_lineno - node.lineno + 1
            if length > FUNCTION_LINES and not has_reason(lines, node.lineno - 4, node.lineno + 1):
                yield f"{path}:{node.lineno}: {node.name} has {length} lines (limit {FUNCTION_LINES})"


def check(root):
    """All findings of the tree, and the number of files read."""
    files = source_files(root) + [path for path in tracked_files(root) if path.suffix == ".py"]
    findings = []
    for path in files:
        text = (root / path).read_text(errors="replace")
        lines = text.splitlines()
        if len(lines) > FILE_LINES and not has_reason(lines, 0, 20):
            findings.append(f"{path}: {len(lines)} lines (limit {FILE_LINES})")
        if path.suffix in (".cpp", ".h"):
            findings.extend(check_cpp(path, text))
        elif path.suffix == ".py":
            findings.extend(check_python(path, text))
    return findings, len(files)


if __name__ == "__main__":
    FINDINGS, COUNT = check(Path(sys.argv[1]))
    finish(FINDINGS, f"{COUNT} files")
