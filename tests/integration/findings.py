"""Collects what was not as it should be, and turns a machine's failure into such a finding."""

import argparse

from toolstack import BUILD, MachineFailure


def image_parser(description, guest):
    """A parser for tests that boot one small guest as the control domain: which hypervisor, and which guest."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hypervisor", default=str(BUILD / "torii.elf"), help="its image (default: %(default)s)")
    parser.add_argument("--guest", default=str(BUILD / f"guests/{guest}.elf"), help="the control domain's (default: %(default)s)")
    return parser


class Findings(list):
    """What was not as it should be."""

    def check(self, good, text):
        """Note `text` unless `good`; either way say so."""
        print(f"  {'ok  ' if good else 'FAIL'} {text}", flush=True)
        if not good:
            self.append(text)
        return good

    def exit_code(self):
        """For the test's process."""
        print(f"{len(self)} findings")
        return 1 if self else 0


def run_machine(machine, side, steps):
    """Boot, run `steps(findings, toolstack)`, power off; returns the exit code. A dictionary of steps runs each under its name."""
    findings = Findings()
    try:
        with machine:
            toolstack = side(machine)
            toolstack.begin()
            findings.check(True, f"dom0 reached after {machine.seconds():.1f} s")
            for name, part in steps.items() if isinstance(steps, dict) else [("", steps)]:
                began = machine.seconds()
                part(findings, toolstack)
                if name:
                    findings.check(True, f"{name}: {machine.seconds() - began:.0f} s")
            toolstack.power_off()
            findings.check(True, f"powered off after {machine.seconds():.1f} s")
    except MachineFailure as failure:
        findings.check(False, str(failure))
    return findings.exit_code()
