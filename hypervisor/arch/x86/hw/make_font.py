#!/usr/bin/env python3
"""make_font.py FONT.pf2 OUT.S: the characters from space to tilde of a GRUB font, for the hypervisor's screen.

The format is GRUB's (its developers' manual, section "PFF2 file format"): sections of a name, a length and content; CHIX lists code
points with the place of their bitmaps, which have no padding between lines. A character becomes 16 lines of 8 pixels, one byte each.
"""

import struct
import sys

FIRST, LAST, HEIGHT, WIDTH = 0x20, 0x7E, 16, 8


def sections(data):
    """{name: content}; DATA reaches to the end of the file."""
    found, at = {}, 0
    while at + 8 <= len(data):
        name, length = struct.unpack_from(">4sI", data, at)
        if name == b"DATA":
            break
        found[name] = data[at + 8:at + 8 + length]
        at += 8 + length
    return found


def glyph(data, place, ascent):
    """The lines of the character whose bitmap is at `place`."""
    width, height, x_offset, y_offset, _ = struct.unpack_from(">HHhhh", data, place)
    lines = [0] * HEIGHT
    top = ascent - (y_offset + height)
    for index in range(width * height):
        row, column = divmod(index, width)
        if not data[place + 10 + index // 8] >> (7 - index % 8) & 1:
            continue
        x, y = column + x_offset, row + top
        if not (0 <= x < WIDTH and 0 <= y < HEIGHT):
            raise SystemExit(f"a character of {width} x {height} pixels does not fit {WIDTH} x {HEIGHT}: take another font")
        lines[y] |= 0x80 >> x
    return lines


def main():
    """Writes the assembly file."""
    with open(sys.argv[1], "rb") as file:
        data = file.read()
    found = sections(data)
    if found.get(b"FILE") != b"PFF2":
        raise SystemExit(f"{sys.argv[1]} is no GRUB font")
    ascent = struct.unpack(">H", found[b"ASCE"])[0]
    places = {point: place for point, _, place in struct.iter_unpack(">IBI", found[b"CHIX"])}
    with open(sys.argv[2], "w", encoding="ascii") as out:
        out.write('    .section .rodata.screen_font, "a", @progbits\n    .globl screen_font\nscreen_font:\n')
        for point in range(FIRST, LAST + 1):
            out.write("    .byte " + ", ".join(map(str, glyph(data, places[point], ascent))) + "\n")
        out.write('    .section .note.GNU-stack, "", @progbits\n')


if __name__ == "__main__":
    main()
