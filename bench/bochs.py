# SPDX-License-Identifier: GPL-2.0
"""Traces by Bochs' debugger of what `bench --marks` marks; see testbed/run --debugger."""

import re

STEP = re.compile(r"\(0\)\.\[\d+\] \[0x[0-9a-f]+\] [0-9a-f]+:([0-9a-f]+) \([^)]*\): ([^;]*)")
STOP = "(0) Magic breakpoint"
USER_END = 0x800000000000  # guests run at low addresses, too


def commands(number):
    """For the debugger: trace so many samples, each from its start to its end. After the last the machine runs on."""
    return "c\ntrace on\nc\ntrace off\n" * number + "c\n"


def samples(path):
    """The instructions of each sample, those of userspace and of the guest too, as pairs of address and text."""
    sample, stops = [], 0
    with open(path, encoding="ascii", errors="replace") as f:
        for line in f:
            if line.startswith(STOP):
                stops += 1
                if stops % 2 == 0:
                    yield sample
                    sample = []
            elif stops % 2 and (step := STEP.match(line)):
                sample.append((int(step.group(1), 16), step.group(2).rstrip()))
