// SPDX-License-Identifier: GPL-2.0-only
/* KVM_GET_STATS_FD: a file that describes itself, with a VM's or a vCPU's counters. */
#include <linux/anon_inodes.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "vm/ioctl.h"

#define NAME_SIZE 48
#define MAX_STATS 32
/* Where the name has a size in the kernel's header, it is this one. */
#define DESC_SIZE (offsetof(struct kvm_stats_desc, name) + NAME_SIZE)

struct stats_file {
	struct kvm_stats_header head;
	char id[NAME_SIZE];
	u8 desc[MAX_STATS][DESC_SIZE] __aligned(8);
	u64 data[MAX_STATS];
};

static_assert(sizeof(struct kvm_stats_desc) <= DESC_SIZE);
static_assert(sizeof(struct stats_file) == offsetof(struct stats_file, data) + 8 * MAX_STATS);

/* Under KVM's names, where KVM has the like. */
static const struct {
	const char *name;
	u8 stat;
} vcpu_stats[] = {
	{ "irq_exits", MV_EXIT_EXTERNAL_INTERRUPT },
	{ "pf_taken", MV_EXIT_PAGE_FAULT },
	{ "io_exits", MV_EXIT_IO },
	{ "halt_exits", MV_EXIT_HLT },
	{ "irq_window_exits", MV_EXIT_IRQ_WINDOW },
	{ "nmi_window_exits", MV_EXIT_NMI_WINDOW },
	{ "hypercalls", MV_EXIT_HYPERCALL },
	{ "cpuid_exits", MV_EXIT_CPUID },
	{ "rdmsr_exits", MV_EXIT_RDMSR },
	{ "wrmsr_exits", MV_EXIT_WRMSR },
	{ "cr_exits", MV_EXIT_CR },
	{ "exception_exits", MV_EXIT_EXCEPTION },
	{ "pause_exits", MV_EXIT_PAUSE },
	{ "mmio_exits", MV_STAT_MMIO },
	{ "signal_exits", MV_STAT_SIGNAL },
	{ "irq_injections", MV_STAT_IRQ },
	{ "nmi_injections", MV_STAT_NMI },
	{ "insn_emulation_fail", MV_STAT_EMULATION_FAIL },
	{ "async_pf", MV_STAT_ASYNC_PF },
};

static void add(struct stats_file *f, const char *name, u64 val)
{
	u32 i = f->head.num_desc++;
	struct kvm_stats_desc *desc = (void *)f->desc[i];

	desc->flags = KVM_STATS_TYPE_CUMULATIVE | KVM_STATS_UNIT_NONE | KVM_STATS_BASE_POW10;
	desc->size = 1;
	desc->offset = i * sizeof(u64);
	strscpy(desc->name, name, NAME_SIZE);
	f->data[i] = val;
}

static void add_vcpu_stats(struct stats_file *f, struct mv_vcpu *vcpu)
{
	u64 exits = 0;
	int i;

	/* An unfinished one is counted again as what it turned out to be. */
	for (i = 0; i < MV_NR_EXITS; i++)
		if (i != MV_EXIT_UNFINISHED)
			exits += READ_ONCE(vcpu->stats[i]);
	add(f, "exits", exits);
	for (i = 0; i < ARRAY_SIZE(vcpu_stats); i++)
		add(f, vcpu_stats[i].name, READ_ONCE(vcpu->stats[vcpu_stats[i].stat]));
}

static_assert(ARRAY_SIZE(vcpu_stats) < MAX_STATS);

static ssize_t read_stats(struct mv_vm *vm, struct mv_vcpu *vcpu, char __user *buf, size_t size,
			  loff_t *pos)
{
	struct stats_file *f = kzalloc(sizeof(*f), GFP_KERNEL_ACCOUNT);
	size_t data;
	ssize_t r;

	if (!f)
		return -ENOMEM;
	if (vcpu) {
		snprintf(f->id, NAME_SIZE, "kvm-%d/vcpu-%d", vm->creator, vcpu->id);
		add_vcpu_stats(f, vcpu);
	} else {
		snprintf(f->id, NAME_SIZE, "kvm-%d", vm->creator);
		add(f, "remote_tlb_flush", atomic64_read(&vm->tlb_flushes));
	}
	f->head.name_size = NAME_SIZE;
	f->head.id_offset = offsetof(struct stats_file, id);
	f->head.desc_offset = offsetof(struct stats_file, desc);
	data = offsetof(struct stats_file, desc[f->head.num_desc]);
	f->head.data_offset = data;
	memmove((u8 *)f + data, f->data, f->head.num_desc * sizeof(u64));
	r = simple_read_from_buffer(buf, size, pos, f, data + f->head.num_desc * sizeof(u64));
	kfree(f);
	return r;
}

static ssize_t vm_stats_read(struct file *file, char __user *buf, size_t size, loff_t *pos)
{
	return read_stats(file->private_data, NULL, buf, size, pos);
}

static ssize_t vcpu_stats_read(struct file *file, char __user *buf, size_t size, loff_t *pos)
{
	struct mv_vcpu *vcpu = file->private_data;

	return read_stats(vcpu->vm, vcpu, buf, size, pos);
}

static int vm_stats_release(struct inode *inode, struct file *file)
{
	mv_vm_put(file->private_data);
	return 0;
}

static int vcpu_stats_release(struct inode *inode, struct file *file)
{
	struct mv_vcpu *vcpu = file->private_data;

	mv_vm_put(vcpu->vm);
	return 0;
}

static const struct file_operations vm_stats_fops = {
	.owner = THIS_MODULE,
	.read = vm_stats_read,
	.release = vm_stats_release,
	.llseek = noop_llseek,
};

static const struct file_operations vcpu_stats_fops = {
	.owner = THIS_MODULE,
	.read = vcpu_stats_read,
	.release = vcpu_stats_release,
	.llseek = noop_llseek,
};

long mv_get_stats_fd(struct mv_vm *vm, struct mv_vcpu *vcpu)
{
	int fd = get_unused_fd_flags(O_CLOEXEC);
	struct file *file;

	if (fd < 0)
		return fd;
	mv_vm_get(vm);
	file = vcpu ? anon_inode_getfile("minivirt-vcpu-stats", &vcpu_stats_fops, vcpu, O_RDONLY) :
		      anon_inode_getfile("minivirt-vm-stats", &vm_stats_fops, vm, O_RDONLY);
	if (IS_ERR(file)) {
		mv_vm_put(vm);
		put_unused_fd(fd);
		return PTR_ERR(file);
	}
	file->f_mode |= FMODE_PREAD;
	fd_install(fd, file);
	return fd;
}
