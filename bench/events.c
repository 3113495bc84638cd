// SPDX-License-Identifier: GPL-2.0-only
/* Events from outside: eventfds, interrupts to halted vCPUs, IPIs between vCPUs. */
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "guests.h"

#define BATCH 40
#define REPEAT 31
#define KICK_PORT 0x20
#define GSI 5
#define WAKE_PORT 0xe1

GUEST64(kick_loop, LOOP("out %al, %dx"));
GUEST64(kick_mmio_loop, LOOP("mov %eax, (%rsi)"));

/* Its one interrupt handler acknowledges; then the code after HLT tells userspace. */
GUEST64(wake_forever, "1: sti\n hlt\n cli\n out %al, $" GUEST_STRING(WAKE_PORT) "\n jmp 1b\n");

/* Tells userspace that it is ready; then spins until the interrupt has been taken. */
GUEST64(spin_forever,
	"1: mov %rsp, %rbx\n"
	"   out %al, $" GUEST_STRING(DONE_PORT) "\n"
	"   sti\n"
	"   nop\n"
	"   cli\n"
	"   out %al, $" GUEST_STRING(WAKE_PORT) "\n"
	"   jmp 1b\n");

/*
 * Ping-pong: the first sends an IPI to the second and halts until one comes
 * back, RBP times.
 */
#define SEND_ICR                                                                         \
	"mov $0x830, %ecx\n"                                                             \
	"mov $" GUEST_STRING(VECTOR) ", %eax\n"                                          \
	"mov %esi, %edx\n"                                                               \
	"wrmsr\n"
GUEST64(ping, "cli\n" LOOP(SEND_ICR "sti\n hlt\n cli\n"));
GUEST64(pong, "cli\n" FOREVER("sti\n hlt\n cli\n" SEND_ICR));

static double kick(struct kvm_ioeventfd kick, const struct guest *guest)
{
	struct vm *vm = vm_new(0, 1);
	struct kvm_regs regs = { .rdx = KICK_PORT, .rsi = MMIO_GPA };
	u64 samples[2][REPEAT], start;

	kick.fd = eventfd(0, 0);
	IOCTL(vm->fd, KVM_IOEVENTFD, &kick);
	vcpu_load(vm, 0, guest);
	for (int i = 0; i < 2 * REPEAT; i++) {
		vcpu_start(vm, 0, &regs, BATCH << (i & 1));
		start = ticks();
		vcpu_run_done(&vm->vcpus[0]);
		samples[i & 1][i / 2] = ticks() - start;
	}
	close(kick.fd);
	vm_free(vm);
	return (double)(median(samples[1], REPEAT) - median(samples[0], REPEAT)) / BATCH;
}

static double ioeventfd(const struct row *row)
{
	struct kvm_ioeventfd by_pio = {
		.addr = KICK_PORT, .len = 1, .flags = KVM_IOEVENTFD_FLAG_PIO,
	};

	return kick(by_pio, &kick_loop);
}

static double ioeventfd_mmio(const struct row *row)
{
	struct kvm_ioeventfd by_mmio = { .addr = MMIO_GPA };

	return kick(by_mmio, &kick_mmio_loop);
}

/* GSI to an MSI for vCPU 0, as a virtio device has it. */
static void route_gsi(struct vm *vm)
{
	struct {
		struct kvm_irq_routing head;
		struct kvm_irq_routing_entry entry;
	} routing = {
		.head.nr = 1,
		.entry = {
			.gsi = GSI,
			.type = KVM_IRQ_ROUTING_MSI,
			.u.msi = { .address_lo = 0xfee00000, .data = VECTOR },
		},
	};

	IOCTL(vm->fd, KVM_SET_GSI_ROUTING, &routing);
}

struct wake {
	struct vm *vm;
	sem_t woken;
	u64 at;
	bool stop;
};

static void *wake_thread(void *arg)
{
	struct wake *w = arg;

	while (!__atomic_load_n(&w->stop, __ATOMIC_ACQUIRE)) {
		vcpu_run_to(&w->vm->vcpus[0], KVM_EXIT_IO);
		w->at = ticks();
		sem_post(&w->woken);
	}
	return NULL;
}

static int irqfd_of(struct vm *vm)
{
	struct kvm_irqfd irqfd = { .fd = eventfd(0, 0), .gsi = GSI };

	IOCTL(vm->fd, KVM_IRQFD, &irqfd);
	return irqfd.fd;
}

/* From the event to userspace's knowing that the halted guest has run on. */
static double wake_by(void (*send)(struct vm *vm, int fd), bool with_irqfd)
{
	struct wake w = { .vm = vm_new(VM_IRQCHIP | VM_X2APIC, 1) };
	struct kvm_regs regs = {};
	u64 samples[REPEAT], start;
	pthread_t thread;
	int fd = -1;

	route_gsi(w.vm);
	if (with_irqfd)
		fd = irqfd_of(w.vm);
	sem_init(&w.woken, 0, 0);
	vcpu_load(w.vm, 0, &wake_forever);
	vcpu_start(w.vm, 0, &regs, 0);
	pthread_create(&thread, NULL, wake_thread, &w);
	for (int i = 0; i < REPEAT; i++) {
		/* Until the vCPU is halted, and past any polling for its wake-up */
		usleep(2000);
		if (i == REPEAT - 1)
			__atomic_store_n(&w.stop, true, __ATOMIC_RELEASE);
		start = ticks();
		send(w.vm, fd);
		sem_wait(&w.woken);
		samples[i] = w.at - start;
	}
	pthread_join(thread, NULL);
	if (fd >= 0)
		close(fd);
	vm_free(w.vm);
	return median(samples, REPEAT);
}

static void send_msi(struct vm *vm, int fd)
{
	struct kvm_msi msi = { .address_lo = 0xfee00000, .data = VECTOR };

	IOCTL(vm->fd, KVM_SIGNAL_MSI, &msi);
}

static void send_eventfd(struct vm *vm, int fd)
{
	u64 one = 1;

	if (write(fd, &one, sizeof(one)) != sizeof(one))
		die("write to an eventfd");
}

static double halted_msi(const struct row *row)
{
	return wake_by(send_msi, false);
}

static double halted_irqfd(const struct row *row)
{
	return wake_by(send_eventfd, true);
}

/* The thread that runs the vCPU sends the event itself, between two KVM_RUNs. */
static double awake_by(void (*send)(struct vm *vm, int fd), bool with_irqfd)
{
	struct vm *vm = vm_new(VM_IRQCHIP | VM_X2APIC, 1);
	struct vcpu *vcpu = &vm->vcpus[0];
	struct kvm_regs regs = {};
	u64 samples[REPEAT], start;
	int fd = -1;

	route_gsi(vm);
	if (with_irqfd)
		fd = irqfd_of(vm);
	vcpu_load(vm, 0, &spin_forever);
	vcpu_start(vm, 0, &regs, 0);
	for (int i = 0; i < REPEAT; i++) {
		vcpu_run_done(vcpu);
		start = ticks();
		send(vm, fd);
		vcpu_run_to(vcpu, KVM_EXIT_IO);
		samples[i] = ticks() - start;
	}
	if (fd >= 0)
		close(fd);
	vm_free(vm);
	return median(samples, REPEAT);
}

static double awake_msi(const struct row *row)
{
	return awake_by(send_msi, false);
}

static double awake_irqfd(const struct row *row)
{
	return awake_by(send_eventfd, true);
}

static void *pong_thread(void *arg)
{
	struct vcpu *vcpu = arg;

	/* Ended by immediate_exit and a signal, or by the process' own end. */
	ioctl(vcpu->fd, KVM_RUN, 0);
	return NULL;
}

static double ipi(const struct row *row)
{
	struct vm *vm = vm_new(VM_IRQCHIP | VM_X2APIC, 2);
	struct kvm_regs to_second = { .rsi = 1 }, to_first = { .rsi = 0 };
	u64 samples[2][REPEAT], start;
	pthread_t thread;

	vcpu_load(vm, 0, &ping);
	vcpu_load(vm, 1, &pong);
	vcpu_start(vm, 1, &to_first, 0);
	pthread_create(&thread, NULL, pong_thread, &vm->vcpus[1]);
	usleep(20000);
	for (int i = 0; i < 2 * REPEAT; i++) {
		vcpu_start(vm, 0, &to_second, BATCH << (i & 1));
		start = ticks();
		vcpu_run_done(&vm->vcpus[0]);
		samples[i & 1][i / 2] = ticks() - start;
	}
	vm->vcpus[1].run->immediate_exit = 1;
	pthread_kill(thread, SIGUSR1);
	pthread_join(thread, NULL);
	vm_free(vm);
	return (double)(median(samples[1], REPEAT) - median(samples[0], REPEAT)) / BATCH / 2;
}

#define EVENT(n, t, f, ...)                                                              \
	{ .name = n, .title = t, .group = "events", .measure = f, __VA_ARGS__ }

const struct row event_rows[] = {
	EVENT("ioeventfd", "ioeventfd by PIO", ioeventfd, .cap = KVM_CAP_IOEVENTFD),
	EVENT("ioeventfd-mmio", "ioeventfd by MMIO, any length", ioeventfd_mmio,
	      .cap = KVM_CAP_IOEVENTFD_ANY_LENGTH),
	EVENT("msi-running", "KVM_SIGNAL_MSI, delivery, EOI, PIO to userspace", awake_msi,
	      .flags = VM_IRQCHIP | VM_X2APIC, .cap = KVM_CAP_SIGNAL_MSI),
	EVENT("irqfd-running", "the same by irqfd", awake_irqfd, .flags = VM_IRQCHIP | VM_X2APIC,
	      .cap = KVM_CAP_IRQFD),
	EVENT("msi-halted", "HLT wake-up by KVM_SIGNAL_MSI of another thread", halted_msi,
	      .flags = VM_IRQCHIP | VM_X2APIC, .cap = KVM_CAP_SIGNAL_MSI),
	EVENT("irqfd-halted", "HLT wake-up by irqfd", halted_irqfd,
	      .flags = VM_IRQCHIP | VM_X2APIC, .cap = KVM_CAP_IRQFD),
	EVENT("ipi", "IPI to a halted vCPU, two threads on one host CPU", ipi,
	      .flags = VM_IRQCHIP | VM_X2APIC),
	{}
};
