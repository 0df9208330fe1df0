#!/usr/bin/env python3
"""Writes a manual page: a template, with what the programs' own --help says in the place of its marks.

    make_page.py TEMPLATE OUTPUT --version 0.1.0 [--torii PROGRAM] [--toriid PROGRAM]

Marks, each alone on its line: @TORII_OPTIONS@, @TORII_VERBS@, @TORII_STATUS@, @TORIID_OPTIONS@, @TORIID_STATUS@.
"""

import argparse
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

DESCRIPTION_COLUMN = 30  # where CLI11 writes what an option does


@dataclass
class Help:
    """What a program or a verb says of itself."""

    description: str = ""
    usage: str = ""
    sections: dict = field(default_factory=dict)  # heading to [(words, text)]
    footer: list = field(default_factory=list)  # paragraphs


def ask(program, words=()):
    """The text of --help."""
    done = subprocess.run([program, *words, "--help"], stdout=subprocess.PIPE, text=True, check=False, timeout=60)
    if done.returncode != 0 or "Usage:" not in done.stdout:
        raise SystemExit(f"{program} {' '.join(words)} --help ended with code {done.returncode} and said: {done.stdout}")
    return done.stdout


def parse(text):
    """Take --help apart."""
    read = Help()
    section = None
    rest = []
    for line in text.splitlines():
        if line.startswith("Usage: "):
            read.usage = line.removeprefix("Usage: ")
        elif not read.usage:
            read.description = f"{read.description} {line}".strip()
        elif line in ("Options:", "Positionals:", "Subcommands:"):
            section = read.sections.setdefault(line.rstrip(":"), [])
        elif section is not None and line.startswith(" " * DESCRIPTION_COLUMN):
            words, told = section[-1]
            section[-1] = (words, f"{told} {line.strip()}".strip())
        elif section is not None and line.startswith("  "):
            words, _, told = line.strip().partition("  ")
            section.append((words, told.strip()))
        elif line.strip() or rest:
            section = None
            rest.append(line)
        else:
            section = None
    read.footer = [part for part in re.split(r"\n\n+", "\n".join(rest).strip("\n")) if part.strip()]
    return read


def escaped(text):
    """Text as roff takes it literally."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return re.sub(r"^([.'])", r"\\&\1", text, flags=re.MULTILINE)


def entries(rows, skip=("-h,--help",)):
    """Options or positionals as tagged paragraphs."""
    lines = []
    for words, told in rows:
        if words in skip:
            continue
        words = re.sub(r"\s+", " ", words)
        lines += [".TP", f".B {escaped(words)}", escaped(told) or "No more is to be said."]
    return lines


def literal(text):
    """A block that is shown as it is."""
    return [".PP", ".nf", ".RS", escaped(text), ".RE", ".fi"]


def footer(read):
    """What follows the lists: examples as they are, all else as paragraphs."""
    lines = []
    for part in read.footer:
        head, _, block = part.partition("\n")
        if head == "Examples:":
            shown = [line for line in block.splitlines() if line.startswith("  ")]
            after = [line for line in block.splitlines() if not line.startswith("  ")]
            lines += [".PP", "Examples:", *literal("\n".join(line[2:] for line in shown))]
            lines += [".PP", escaped(" ".join(after))] if after else []
        elif head.startswith("    "):
            lines += literal("\n".join(line[4:] for line in part.splitlines()))
        else:
            lines += [".PP", escaped(" ".join(line.strip() for line in part.splitlines()))]
    return lines


def verb_lines(program, words):
    """One verb with all below it."""
    read = parse(ask(program, words))
    usage = read.usage if read.usage.startswith("torii ") else f"torii {read.usage}"
    lines = [f'.SS "{escaped(" ".join(words))}"', escaped(read.description) + ".", ".PP", f".B {escaped(usage)}"]
    for heading in ("Positionals", "Options"):
        lines += entries(read.sections.get(heading, []))
    lines += footer(read)
    for name, _ in read.sections.get("Subcommands", []):
        lines += verb_lines(program, (*words, name))
    return lines


def exit_status(read):
    """The numbers of "Exit status: 0 done; 1 ..." as tagged paragraphs."""
    text = next(" ".join(part.split()) for part in read.footer if "Exit status: " in " ".join(part.split()))
    text = text[text.index("Exit status: ") + len("Exit status: "):].rstrip(".")
    lines = []
    for part in re.split(r"[;,] (?=\d)", text):
        number, told = part.split(" ", 1)
        lines += [".TP", f".B {number}", escaped(told[0].upper() + told[1:]) + "."]
    return lines


def marks(options):
    """What stands in the place of each mark."""
    made = {}
    if options.torii:
        read = parse(ask(options.torii))
        made["@TORII_OPTIONS@"] = entries(read.sections["Options"])
        made["@TORII_VERBS@"] = [line for name, _ in read.sections["Subcommands"] for line in verb_lines(options.torii, (name,))]
        made["@TORII_STATUS@"] = exit_status(read)
    if options.toriid:
        read = parse(ask(options.toriid))
        made["@TORIID_OPTIONS@"] = entries(read.sections["Options"])
        made["@TORIID_STATUS@"] = exit_status(read)
    return made


def main():
    """Exit code 0: written."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("template", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--version", required=True)
    parser.add_argument("--torii", help="the command line")
    parser.add_argument("--toriid", help="the daemon")
    options = parser.parse_args()
    made = marks(options)
    lines = []
    for line in options.template.read_text().splitlines():
        if re.fullmatch(r"@[A-Z_]+@", line):
            if line not in made:
                raise SystemExit(f"{options.template}: nothing is given for {line}")
            lines += made[line]
        else:
            lines.append(line.replace("@VERSION@", options.version))
    options.output.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    sys.exit(main())
