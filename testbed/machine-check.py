# SPDX-License-Identifier: GPL-2.0
"""For gdb, on a machine that waits for it: makes one exit of a guest for CPUID one by a machine check.

No emulator has machine checks that end a guest. $module is the module with its symbols.
"""
import gdb

EXIT_CPUID = 0x72
EXIT_MACHINE_CHECK = 0x40 + 18


class Hardware(gdb.Breakpoint):
    def __init__(self, where):
        super().__init__(where, gdb.BP_HARDWARE_BREAKPOINT)


class ModuleLoaded(Hardware):
    base = None

    def stop(self):
        if gdb.parse_and_eval("mod->name").string() != "minivirt":
            return False
        self.base = int(gdb.parse_and_eval("(unsigned long)mod->core_layout.base"))
        return True


class Exit(Hardware):
    def stop(self):
        control = gdb.parse_and_eval("&svm->vmcb->control")
        if int(control["exit_code"]) == EXIT_CPUID:
            gdb.execute(f"set var svm->vmcb->control.exit_code = {EXIT_MACHINE_CHECK}")
            self.enabled = False
        return False


loaded = ModuleLoaded("do_init_module")
gdb.execute("continue")
loaded.enabled = False
# What lets Linux recover from an uncorrected error, which QEMU's CPUID does not tell of.
gdb.execute("set var mce_flags.succor = 1")
gdb.execute(f"add-symbol-file {gdb.convenience_variable('module').string()} {loaded.base:#x}")
Exit("svm_decode_exit")
gdb.execute("continue")
