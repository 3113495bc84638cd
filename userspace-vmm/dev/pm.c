// SPDX-License-Identifier: GPL-2.0
/*
 * ACPI's fixed registers: PM1 event and control, the PM timer, and the reset
 * register.  ACPI Specification 6.4, chapter 4.8.
 */
#include <time.h>
#include "devices.h"

#define PM1_SCI_EN     BIT(0)
#define PM1_SLP_TYP(v) ((v) >> 10 & 7)
#define PM1_SLP_EN     BIT(13)

#define PM_TIMER_HZ 3579545ULL

#define RESET_CPU BIT(2)

/* The machine has no event to report: the registers exist because they must. */
struct pm {
	struct device event;
	struct device control;
	struct device timer;
	struct device reset;
	struct vm *vm;
	uint16_t enable;
	uint16_t sleep_type;
};

static uint64_t event_read(struct device *dev, uint64_t offset, unsigned int size)
{
	return offset == PM1_EVENT_SIZE / 2 ? container_of(dev, struct pm, event)->enable : 0;
}

static void event_write(struct device *dev, uint64_t offset, unsigned int size, uint64_t value)
{
	if (offset == PM1_EVENT_SIZE / 2)
		container_of(dev, struct pm, event)->enable = value;
}

static uint64_t control_read(struct device *dev, uint64_t offset, unsigned int size)
{
	return container_of(dev, struct pm, control)->sleep_type << 10 | PM1_SCI_EN;
}

static void control_write(struct device *dev, uint64_t offset, unsigned int size, uint64_t value)
{
	struct pm *pm = container_of(dev, struct pm, control);

	pm->sleep_type = PM1_SLP_TYP(value);
	if (value & PM1_SLP_EN && pm->sleep_type == PM_S5_TYPE)
		vm_stop(pm->vm, STATUS_POWER_OFF);
}

static uint64_t timer_read(struct device *dev, uint64_t offset, unsigned int size)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * PM_TIMER_HZ + now.tv_nsec * PM_TIMER_HZ / 1000000000;
}

static void timer_write(struct device *dev, uint64_t offset, unsigned int size, uint64_t value)
{
}

static uint64_t reset_read(struct device *dev, uint64_t offset, unsigned int size)
{
	return 0;
}

static void reset_write(struct device *dev, uint64_t offset, unsigned int size, uint64_t value)
{
	if (value & RESET_CPU)
		vm_stop(container_of(dev, struct pm, reset)->vm, STATUS_REBOOT);
}

void pm_add(struct vm *vm)
{
	struct pm *pm = xzalloc(sizeof(*pm));

	pm->vm = vm;
	pm->event = (struct device){
		.name = "PM1 event",
		.space = SPACE_PIO,
		.base = PM1_EVENT_PORT,
		.size = PM1_EVENT_SIZE,
		.width = PM1_EVENT_SIZE / 2,
		.read = event_read,
		.write = event_write,
	};
	pm->control = (struct device){
		.name = "PM1 control",
		.space = SPACE_PIO,
		.base = PM1_CONTROL_PORT,
		.size = PM1_CONTROL_SIZE,
		.width = PM1_CONTROL_SIZE,
		.read = control_read,
		.write = control_write,
	};
	pm->timer = (struct device){
		.name = "PM timer",
		.space = SPACE_PIO,
		.base = PM_TIMER_PORT,
		.size = PM_TIMER_SIZE,
		.width = PM_TIMER_SIZE,
		.read = timer_read,
		.write = timer_write,
	};
	pm->reset = (struct device){
		.name = "reset",
		.space = SPACE_PIO,
		.base = RESET_PORT,
		.size = 1,
		.width = 1,
		.read = reset_read,
		.write = reset_write,
	};
	bus_add(&vm->bus, &pm->timer);
	bus_add(&vm->bus, &pm->event);
	bus_add(&vm->bus, &pm->control);
	bus_add(&vm->bus, &pm->reset);
}
