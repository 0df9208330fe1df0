#!/usr/bin/env python3
"""make_symbols.py IMAGE OUT.S: the table of the hypervisor's function names, out of an image that was linked without it.

The image is linked twice. The table lies behind all code that stays, so that no function moves by it; offsets are from the beginning
of the part of the image that a function is in (what stays, what only boot needs).

    128 times two bytes: what the tokens 128 to 255 stand for, each a character or an earlier token
    for each part: the number of functions, and for each, by address: distance from the one before, length of the name, the name
    numbers: seven bits a byte, the lowest first, the highest bit set on all but the last; lengths: one byte

Names are as a person reads them, without the namespaces that all have, and without parameters. What the build does not write itself
(the decompressors) has no names.
"""

import re
import subprocess
import sys
from collections import Counter

FIRST_TOKEN, TOKENS = 128, 128
LONGEST = 48
NAMESPACES = re.compile(r"(?<![A-Za-z0-9_])(?:torii|hw|pv|call|abi|boot|image)::")
BRACKETS = {"(": ")", "<": ">"}


def without_nested(text):
    """The text without what stands in brackets, however deep."""
    kept, waiting = [], []
    for character in text:
        if character in BRACKETS:
            waiting.append(BRACKETS[character])
        elif waiting and character == waiting[-1]:
            waiting.pop()
        elif not waiting:
            kept.append(character)
    return "".join(kept)


def short_name(demangled):
    """What a backtrace shows of a demangled name."""
    name = re.sub(r" \[clone [^]]*\]", "", demangled).replace("(anonymous namespace)::", "")
    name = name.replace("operator()", "call").replace("operator<", "less").replace("operator>", "more").replace("->", "")
    name = without_nested(name).replace("{lambda#", "{").removesuffix("::_FUN")
    name = NAMESPACES.sub("", name).removesuffix(" const")
    # The result type of a template's instance stands in front. Of the library's own, the last part says enough.
    name = name.split(" ")[-1]
    return re.sub(r"[^!-~]", "?", name.split("::")[-1] if name.startswith(("std::", "boost::")) else name)[:LONGEST]


def functions(image):
    """{symbol: address} of the linker's marks, and [(address, name)] of functions by address, one name each."""
    def listing(*options):
        text = subprocess.run(["nm", "--numeric-sort", "--defined-only", *options, image], check=True, stdout=subprocess.PIPE, text=True).stdout
        return [line.split(" ", 2) for line in text.splitlines()]
    marks, found = {}, {}
    for (address, kind, mangled), (_, _, demangled) in zip(listing(), listing("--demangle"), strict=True):
        at = int(address, 16)
        marks[mangled] = at
        if kind.lower() in "tw":
            # A mark for the linker's or somebody's arithmetic is a name only where nothing better is.
            is_mark = re.search(r"_(?:start|end)$", mangled) is not None
            if at not in found or (found[at][2] and not is_mark):
                found[at] = (mangled, demangled, is_mark)
    return marks, [(at, mangled, demangled) for at, (mangled, demangled, _) in sorted(found.items())]


def without_repeated(part):
    """The part without functions that are named as the one before: a template's instances, and what the compiler split."""
    return [here for before, here in zip([(0, None), *part], part) if here[1] != before[1]]


def parts(image):
    """For each part of the image, [(offset, name)]."""
    marks, found = functions(image)
    resident = [(at - marks["text_start"], short_name(name)) for at, _, name in found
                if marks["text_start"] <= at < marks["text_end"] and name not in ("text_start", "image_start")]
    # Of what only boot needs our own, which has C++ names, beside the entry.
    boot = [(at - marks["boot_start"], short_name(name)) for at, mangled, name in found
            if marks["boot_start"] <= at < marks["boot_text_end"] and (mangled.startswith("_ZN5torii") or mangled == "boot_main")]
    return without_repeated(resident), without_repeated(boot)


def compress(names):
    """(pairs, names as lists of bytes): the most frequent pair becomes a token, again and again."""
    texts = [list(name.encode()) for name in names]
    pairs = []
    for token in range(FIRST_TOKEN, FIRST_TOKEN + TOKENS):
        counts = Counter(pair for text in texts for pair in zip(text, text[1:]))
        if not counts:
            break
        pair = max(counts, key=lambda it: (counts[it], it))
        pairs.append(pair)
        for text in texts:
            at = 0
            while at + 1 < len(text):
                if (text[at], text[at + 1]) == pair:
                    text[at:at + 2] = [token]
                at += 1
    return pairs, texts


def number(value):
    """As the table writes numbers."""
    out = []
    while value >= 128:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def table(image):
    """The table's bytes."""
    all_parts = parts(image)
    pairs, texts = compress([name for part in all_parts for _, name in part])
    out = bytearray(byte for pair in pairs for byte in pair).ljust(2 * TOKENS, b"?")
    rest = iter(texts)
    for part in all_parts:
        out += number(len(part))
        before = 0
        for offset, _ in part:
            text = next(rest)
            out += number(offset - before) + bytes([len(text), *text])
            before = offset
    return bytes(out), sum(len(part) for part in all_parts)


def main():
    """Writes the assembly file."""
    content, count = table(sys.argv[1])
    lines = [", ".join(str(byte) for byte in content[at:at + 32]) for at in range(0, len(content), 32)]
    with open(sys.argv[2], "w", encoding="ascii") as out:
        out.write('    .section .symbol_table, "a", @progbits\n' + "".join(f"    .byte {line}\n" for line in lines))
        out.write('    .section .note.GNU-stack, "", @progbits\n')
    print(f"{count} function names in {len(content)} bytes")


if __name__ == "__main__":
    main()
