// SPDX-License-Identifier: GPL-2.0-only
/*
 * For module.sh: vmcycle [--dev PATH] N makes, runs and ends N VMs one after
 * another; with --hold SECONDS it keeps one, with the device closed.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "vm.h"

GUEST_ASM(say_hello, "16", "movw $0x1234, 0x9000\n out %al, $0x10\n hlt\n");

static struct vcpu *run_one(void)
{
	struct vm *vm = vm_create_empty();
	struct vcpu *vcpu;

	vm->mem = vm_add_memory(vm, 0, 0, 0x10000, 0);
	vcpu = vcpu_add_real(vm, say_hello, say_hello_end);
	RUN_TO(vcpu, KVM_EXIT_IO);
	return vcpu;
}

static void end(struct vcpu *vcpu)
{
	struct vm *vm = vcpu->vm;

	munmap(vcpu->run, vm->run_size);
	munmap(vm->mem, 0x10000);
	close(vcpu->fd);
	close(vm->fd);
	close(vm->dev);
	free(vm->cpuid);
	free(vm);
}

int main(int argc, char **argv)
{
	int i = 1;

	if (i + 1 < argc && !strcmp(argv[i], "--dev")) {
		dev_path = argv[i + 1];
		i += 2;
	}
	if (i + 1 < argc && !strcmp(argv[i], "--hold")) {
		struct vcpu *vcpu = run_one();

		close(vcpu->vm->dev);
		sleep(atoi(argv[i + 1]));
		return 0;
	}
	if (i >= argc) {
		fprintf(stderr, "usage: %s [--dev PATH] N | --hold SECONDS\n", argv[0]);
		return 2;
	}
	for (int n = atoi(argv[i]); n > 0; n--)
		end(run_one());
	return 0;
}
