#!/usr/bin/env python3
"""Holds the checks against a small tree in which each rule is broken once, and one in which none is."""

import subprocess
import tempfile
import unittest
from pathlib import Path

import elf_segments
import format as format_check
import include_rules
import size_limits
import words


class Tree(unittest.TestCase):
    """A tree without git in a temporary folder."""

    def setUp(self):
        self._folder = tempfile.TemporaryDirectory()
        self.root = Path(self._folder.name)
        self.addCleanup(self._folder.cleanup)

    def write(self, path, text):
        """Write one file of the tree."""
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)


class IncludeRules(Tree):
    """Upward and sideways includes are found; allowed ones are not."""

    def test_upward_include(self):
        self.write("hypervisor/core/call/dispatch.h", "")
        self.write("hypervisor/core/event/event_channel.cpp", '#include "core/call/dispatch.h"\n')
        findings, _ = include_rules.check(self.root)
        self.assertEqual(len(findings), 1)
        self.assertIn("event_channel.cpp:1", findings[0])

    def test_allowed_includes(self):
        self.write("guest-abi/include/torii/abi/memory.h", "#include <cstdint>\n")
        self.write("hypervisor/core/memory/frame_table.h", "#include <torii/abi/memory.h>\n#include <span>\n")
        self.write("hypervisor/core/grant/grant_table.cpp", '#include "core/memory/frame_table.h"\n')
        self.assertEqual(include_rules.check(self.root)[0], [])

    def test_hosted_header_in_freestanding_code(self):
        self.write("hypervisor/base/text.h", "#include <string>\n")
        self.assertIn("<string>", include_rules.check(self.root)[0][0])

    def test_assembly_in_portable_code(self):
        self.write("hypervisor/arch/x86/pv/pte.cpp", 'void f() { asm volatile("hlt"); }\n')
        self.assertEqual(len(include_rules.check(self.root)[0]), 1)


class SizeLimits(Tree):
    """Long files and functions are found, unless they say why."""

    LONG_BODY = "    step();\n" * 70

    def test_long_function(self):
        self.write("a.cpp", f"namespace torii {{\nvoid Thing::act(int number) const {{\n{self.LONG_BODY}}}\n}}\n")
        self.assertIn("a.cpp:2: a function of 72 lines", size_limits.check(self.root)[0][0])

    def test_long_function_with_reason(self):
        self.write("a.cpp", f"// Size: one table of steps\nvoid act() {{\n{self.LONG_BODY}}}\n")
        self.assertEqual(size_limits.check(self.root)[0], [])

    def test_class_is_not_a_function(self):
        members = "    void step(int count) { go(); }\n" * 70
        self.write("a.h", f"class Thing : public Base<decltype(f())> {{\n{members}}};\n")
        self.assertEqual(size_limits.check(self.root)[0], [])

    def test_table_is_not_a_function(self):
        rows = '    {"a", f(1)},\n' * 70
        self.write("a.cpp", f"constexpr Row kRows[] = {{\n{rows}}};\nvoid f() {{}}\n")
        self.assertEqual(size_limits.check(self.root)[0], [])

    def test_long_file(self):
        self.write("a.h", "int x;\n" * 501)
        self.assertEqual(len(size_limits.check(self.root)[0]), 1)


class Words(Tree):
    """Paths of one machine are found, paths of the products are not."""

    def test_machine_path(self):
        self.write("README.md", "see /wo" + "rk/main\n")
        self.assertEqual(len(words.check(self.root)[0]), 1)

    def test_ordinary_text(self):
        self.write("README.md", "make it work: /usr/include/xen, build/work/x, the lock farm\n")
        self.assertEqual(words.check(self.root)[0], [])


class Format(Tree):
    """Unformatted code is found."""

    def test_unformatted(self):
        self.write(".clang-format", "BasedOnStyle: Google\n")
        self.write("a.cpp", "int   x ;\n")
        self.write("b.cpp", "int x;\n")
        findings, _ = format_check.check(self.root)
        self.assertEqual(len(findings), 1)
        self.assertIn("a.cpp", findings[0])


class ElfSegments(Tree):
    """Small programs that break one rule each."""

    def image(self, code, *flags):
        """Compile and link `code` as a freestanding image; returns the findings about it."""
        self.write("image.c", code)
        target = self.root / "image.elf"
        subprocess.run(["gcc", "-O1", "-ffreestanding", "-nostdlib", "-static", "-no-pie", *flags, "-o", target,
                        self.root / "image.c"], check=True)
        return elf_segments.check(elf_segments.read_image(target))[0]

    def test_clean(self):
        self.assertEqual(self.image("int state; void _start(void) { state++; }", "-mgeneral-regs-only"), [])

    def test_state_instructions_are_allowed(self):
        self.assertEqual(self.image('char area[512]; void _start(void) { asm("fninit; fxsave area; ldmxcsr area"); }'), [])

    def test_reference_to_boot_code(self):
        boot = '__attribute__((noinline, section(".boot_text"))) int once(int n) { asm(""); return n + 1; } '
        findings = self.image(boot + "int _start(int n) { return once(n) * 2; }", "-mgeneral-regs-only")
        self.assertEqual(len(findings), 1)
        self.assertIn("_start stays resident but refers to boot memory", findings[0])
        self.assertEqual(self.image(boot + "int boot_main(int n) { return once(n) * 2; } void _start(void) { }",
                                    "-mgeneral-regs-only"), [])

    def test_sse(self):
        findings = self.image("double state; void _start(void) { state *= 2; }")
        self.assertIn("floating point in _start", findings[0])

    def test_x87(self):
        self.assertEqual(len(self.image('void _start(void) { asm("fldpi"); }')), 1)

    def test_sse_in_boot_part(self):
        code = 'double state; __attribute__((section(".boot_text"))) void _start(void) { state *= 2; }'
        self.assertEqual(self.image(code), [])

    def test_writable_code(self):
        findings = self.image("int state; void _start(void) { state++; }", "-mgeneral-regs-only", "-Wl,--omagic")
        self.assertIn("writable and executable", findings[0])

    def test_constructor(self):
        findings = self.image("int state; __attribute__((constructor)) void first(void) { state = 1; } void _start(void) {}",
                              "-mgeneral-regs-only")
        self.assertIn("static constructors", findings[0])

    def test_size(self):
        findings = self.image("char state[400000]; void _start(void) { state[0]++; }", "-mgeneral-regs-only")
        self.assertIn("stay resident", findings[0])


if __name__ == "__main__":
    unittest.main()
