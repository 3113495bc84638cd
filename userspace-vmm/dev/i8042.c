// SPDX-License-Identifier: GPL-2.0
/*
 * Of the keyboard controller only the line that resets the machine.
 */
#include "devices.h"

#define STATUS_PORT 0x64
#define CMD_RESET   0xfe

/*
 * The input buffer is empty (bit 1 clear), so a reset need not wait for it;
 * the output buffer stays full (bit 0 set) however often it is read, from
 * which drivers conclude at once that there is no controller.
 */
#define STATUS 0xfd

struct i8042 {
	struct device dev;
	struct vm *vm;
};

static uint64_t i8042_read(struct device *dev, uint64_t offset, unsigned int size)
{
	return STATUS;
}

static void i8042_write(struct device *dev, uint64_t offset, unsigned int size, uint64_t value)
{
	if (value == CMD_RESET)
		vm_stop(container_of(dev, struct i8042, dev)->vm, STATUS_REBOOT);
}

void i8042_add(struct vm *vm)
{
	struct i8042 *kbc = xzalloc(sizeof(*kbc));

	kbc->vm = vm;
	kbc->dev = (struct device){
		.name = "i8042",
		.space = SPACE_PIO,
		.base = STATUS_PORT,
		.size = 1,
		.width = 1,
		.read = i8042_read,
		.write = i8042_write,
	};
	bus_add(&vm->bus, &kbc->dev);
}
