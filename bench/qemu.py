# SPDX-License-Identifier: GPL-2.0
"""Traces by QEMU's log and gdb stub of what `bench --marks` marks; see testbed/run --gdb."""

import os
import re
import socket
import subprocess
import sys
import time

BENCH = os.path.join(os.path.dirname(os.path.realpath(__file__)), "bench")
# QEMU cannot read a guest of the machine's; and what has more than eight bytes has a second line.
IN_ASM = re.compile(r"0x([0-9a-f]+): (?: (?:[0-9a-f]{2} )+ +(\S.*)|unable to read)")
EXEC = re.compile(r"Trace \d+: \S+ \[[0-9a-f]+/([0-9a-f]+)/")
# The last one comes again.
NOT_EXECUTED = ("Stopped execution of TB chain before", "cpu_io_recompile: rewound execution")
VMRUN = r"vmrun tlb_control=(\d+) clean=(\w+)"  # as vmrun() has it
MARK = re.compile(r"^ *([0-9a-f]+):.*\txchg *%bx,%bx$", re.M)
MARK_SIZE = VMRUN_SIZE = 3
RAX, RIP = 0, 16  # gdb's numbers
TLB_CONTROL, CLEAN = (0x5c, 1), (0xc0, 4)  # in the VMCB. APM vol. 2, appendix B


class Ended(Exception):
    """The machine has."""


class Gdb:
    """The other end of QEMU's gdb stub on a UNIX socket."""

    def __init__(self, path, machine):
        self.sock = socket.socket(socket.AF_UNIX)
        while self.sock.connect_ex(path):
            if machine.poll() is not None:
                raise Ended
            time.sleep(0.1)
        self.data = b""
        self.ask("QStartNoAckMode")
        self.sock.sendall(b"+")

    def reply(self):
        while not (m := re.match(rb"[^$]*\$([^#]*)#..", self.data)):
            data = self.sock.recv(4096)
            if not data:
                raise Ended
            self.data += data
        self.data = self.data[m.end():]
        return m.group(1).decode()

    def ask(self, command):
        self.sock.sendall(f"${command}#{sum(command.encode()) & 0xff:02x}".encode())
        return self.reply()

    def monitor(self, command):
        reply = self.ask("qRcmd," + command.encode().hex())
        while reply != "OK":
            reply = self.reply()

    def register(self, number):
        return int.from_bytes(bytes.fromhex(self.ask("g"))[8 * number:8 * number + 8], "little")

    def memory(self, address, size, physical=False):
        self.ask(f"Qqemu.PhyMemMode:{physical:d}")
        reply = self.ask(f"m{address:x},{size:x}")
        return b"" if reply.startswith("E") else bytes.fromhex(reply)

    def breakpoint(self, address, on):
        self.ask(f"{'Z' if on else 'z'}0,{address:x},1")

    def run(self):
        """To the next breakpoint: its address."""
        if not self.ask("c").startswith("T"):
            raise Ended
        return self.register(RIP)

    def step_over(self, address, size):
        """The instruction with the breakpoint; if it is a VMRUN, the guest, too."""
        self.breakpoint(address, False)
        self.breakpoint(address + size, True)
        if self.run() != address + size:
            sys.exit(f"qemu: no way from {address:#x} to the next instruction")
        self.breakpoint(address + size, False)
        self.breakpoint(address, True)


class Log:
    """QEMU's: the text of instructions when they are translated, the addresses when executed."""

    def __init__(self, gdb, path):
        self.gdb, self.path = gdb, path
        self.texts = {}
        gdb.monitor("log in_asm")
        gdb.monitor("logfile " + path)

    def read(self):
        """The instructions since the last time."""
        steps = []
        with open(self.path, encoding="ascii", errors="replace") as f:
            for line in f:
                if m := EXEC.match(line):
                    pc = int(m.group(1), 16)
                    steps.append((pc, self.texts[pc]))
                elif m := IN_ASM.match(line):
                    self.texts[int(m.group(1), 16)] = " ".join((m.group(2) or "").split())
                elif steps and line.startswith(NOT_EXECUTED):
                    steps.pop()
        # A file of its own each time, for they are long.
        os.unlink(self.path)
        self.gdb.monitor("logfile " + self.path)
        return steps

    def vmruns(self):
        return [pc for pc, text in self.texts.items() if text.startswith("vmrun")]


def vmrun(gdb):
    """VMRUN's text, before it, with what the VMCB asks for."""
    vmcb = gdb.register(RAX)
    tlb_control, clean = (int.from_bytes(gdb.memory(vmcb + offset, size, True), "little")
                          for offset, size in (TLB_CONTROL, CLEAN))
    return f"vmrun tlb_control={tlb_control} clean={clean:#x}"


def marks():
    """Their addresses in bench/bench."""
    dump = subprocess.run(["objdump", "-d", BENCH], check=True, stdout=subprocess.PIPE, text=True)
    return [int(address, 16) for address in MARK.findall(dump.stdout)]


def samples(path, machine, work):
    """
    The instructions of each sample, those of userspace and of the guest too, as pairs of address
    and text, of a machine that was started with --gdb path. VMRUN's text tells what the VMCB has.
    """
    try:
        gdb = Gdb(path, machine)
        log = Log(gdb, os.path.join(work, "log"))
        for address in marks():
            gdb.breakpoint(address, True)
        while True:
            gdb.step_over(gdb.run(), MARK_SIZE)
            log.read()
            yield list(sample(gdb, log))
    except Ended:
        return


def sample(gdb, log):
    """From its first mark to its second."""
    vmruns, texts = log.vmruns(), []
    for address in vmruns:
        gdb.breakpoint(address, True)
    gdb.monitor("singlestep on")
    gdb.monitor("log in_asm,exec,nochain")
    while (address := gdb.run()) in vmruns:
        texts.append(vmrun(gdb))
        gdb.step_over(address, VMRUN_SIZE)
    gdb.monitor("log in_asm")
    gdb.monitor("singlestep off")
    gdb.step_over(address, MARK_SIZE)
    for address in vmruns:
        gdb.breakpoint(address, False)
    texts = iter(texts)
    for pc, text in log.read():
        yield pc, next(texts) if text.startswith("vmrun") else text
