/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The devices of the machine.
 */
#ifndef DEVICES_H
#define DEVICES_H

#include "console.h"
#include "device.h"
#include "vm.h"

/* Ports that the ACPI tables name. */
#define PM1_EVENT_PORT	 0x600
#define PM1_EVENT_SIZE	 4
#define PM1_CONTROL_PORT 0x604
#define PM1_CONTROL_SIZE 2
#define PM_TIMER_PORT	 0x608
#define PM_TIMER_SIZE	 4
#define PM_S5_TYPE	 5
#define RESET_PORT	 0xcf9
#define RESET_VALUE	 0x06
#define RTC_CENTURY	 0x32

/* Each adds its devices to @vm->bus. */

/** serial_add - a 16550A on COM1, its line connected to @con */
struct serial *serial_add(struct vm *vm, struct console *con);

/**
 * serial_input - bytes arrive on the line
 *
 * Takes as much as the receiver has room for, and returns that.  If that is
 * not all, vm_wake() is called once there is room.
 */
size_t serial_input(struct serial *serial, const uint8_t *data, size_t len);

/** rtc_add - the real-time clock with its CMOS memory */
void rtc_add(struct vm *vm);

/** i8042_add - of the keyboard controller, the reset line */
void i8042_add(struct vm *vm);

/** pm_add - ACPI's PM1 registers and timer, and the reset register */
void pm_add(struct vm *vm);

/**
 * debug_exit_add - the debug-exit port
 *
 * The byte written last becomes *@status.
 */
void debug_exit_add(struct vm *vm, uint8_t *status);

#endif /* DEVICES_H */
