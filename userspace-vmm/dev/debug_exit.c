// SPDX-License-Identifier: GPL-2.0
/*
 * The debug-exit port: a guest says with which status the runner is to exit
 * when it powers off.
 */
#include "devices.h"

#define PORT 0xf4

struct debug_exit {
	struct device dev;
	uint8_t *status;
};

static uint64_t debug_exit_read(struct device *dev, uint64_t offset, unsigned int size)
{
	return *container_of(dev, struct debug_exit, dev)->status;
}

static void debug_exit_write(struct device *dev, uint64_t offset, unsigned int size,
			     uint64_t value)
{
	*container_of(dev, struct debug_exit, dev)->status = value;
}

void debug_exit_add(struct vm *vm, uint8_t *status)
{
	struct debug_exit *port = xzalloc(sizeof(*port));

	port->status = status;
	port->dev = (struct device){
		.name = "debug-exit",
		.space = SPACE_PIO,
		.base = PORT,
		.size = 1,
		.width = 1,
		.read = debug_exit_read,
		.write = debug_exit_write,
	};
	bus_add(&vm->bus, &port->dev);
}
