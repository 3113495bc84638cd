// SPDX-License-Identifier: GPL-2.0
/*
 * A 16550A UART on COM1.
 *
 * It transmits in no time, so the transmitter is always empty.  It receives
 * only while the receive interrupt can reach the processor: until a driver has
 * opened the port, what was typed waits, and a driver that probes does not
 * lose it.
 */
#include <linux/serial_reg.h>
#include <string.h>
#include "devices.h"

#define PORT	  0x3f8
#define IRQ	  4
#define FIFO_SIZE 16

#define MODEM_READY (UART_MSR_DCD | UART_MSR_DSR | UART_MSR_CTS)
#define IIR_FIFO    0xc0 /* both bits: the FIFOs are on, and work */
#define MCR_BITS    0x1f

struct serial {
	struct device dev;
	struct vm *vm;
	struct console *con;
	uint8_t ier;
	uint8_t lcr;
	uint8_t mcr;
	uint8_t scratch;
	uint8_t divisor[2];
	bool fifo_on;
	bool thr_pending; /* "transmitter empty" is to be reported */
	bool irq_level;
	bool wake; /* input waits for room */
	unsigned int rx_len;
	uint8_t rx[FIFO_SIZE];
};

static bool divisor_latched(const struct serial *s)
{
	return s->lcr & UART_LCR_DLAB;
}

/* The pending interrupt of highest priority. */
static uint8_t interrupt(const struct serial *s)
{
	if (s->ier & UART_IER_RDI && s->rx_len)
		return UART_IIR_RDI;
	if (s->ier & UART_IER_THRI && s->thr_pending)
		return UART_IIR_THRI;
	return UART_IIR_NO_INT;
}

/* On a PC, OUT2 connects the interrupt; loopback disconnects all outputs. */
static bool irq_connected(const struct serial *s)
{
	return (s->mcr & (UART_MCR_OUT2 | UART_MCR_LOOP)) == UART_MCR_OUT2;
}

static void update_irq(struct serial *s)
{
	bool level = irq_connected(s) && interrupt(s) != UART_IIR_NO_INT;

	if (level != s->irq_level) {
		s->irq_level = level;
		vm_irq_line(s->vm, IRQ, level);
	}
}

static unsigned int rx_room(const struct serial *s)
{
	unsigned int size = s->fifo_on ? FIFO_SIZE : 1;

	if (!(s->ier & UART_IER_RDI) || !irq_connected(s) || s->rx_len >= size)
		return 0;
	return size - s->rx_len;
}

/* To be called where rx_room() may have grown. */
static void wake_input(struct serial *s)
{
	if (s->wake && rx_room(s)) {
		s->wake = false;
		vm_wake(s->vm);
	}
}

static void rx_put(struct serial *s, uint8_t c)
{
	if (s->rx_len < FIFO_SIZE)
		s->rx[s->rx_len++] = c;
}

static uint8_t rx_get(struct serial *s)
{
	uint8_t c = s->rx[0];

	if (!s->rx_len)
		return 0;
	s->rx_len--;
	memmove(s->rx, s->rx + 1, s->rx_len);
	if (!s->rx_len)
		wake_input(s);
	return c;
}

static void transmit(struct serial *s, uint8_t c)
{
	if (s->mcr & UART_MCR_LOOP) {
		rx_put(s, c);
	} else {
		/* Without the lock, lest the event loop wait for a reader that is stuck. */
		pthread_mutex_unlock(&s->dev.lock);
		console_write(s->con, &c, 1);
		pthread_mutex_lock(&s->dev.lock);
	}
	/*
	 * If it is pending already, the line stays up without a new edge: a
	 * driver finds the cause of the interrupt that it has not yet
	 * acknowledged by reading IIR.
	 */
	s->thr_pending = true;
}

static uint8_t read_iir(struct serial *s)
{
	uint8_t iir = interrupt(s);

	/* Reading acknowledges this one; the others go by their cause. */
	if (iir == UART_IIR_THRI)
		s->thr_pending = false;
	return iir | (s->fifo_on ? IIR_FIFO : 0);
}

/* In loopback the modem's inputs are its outputs, in another order of bits. */
static uint8_t read_msr(const struct serial *s)
{
	uint8_t msr = 0;

	if (!(s->mcr & UART_MCR_LOOP))
		return MODEM_READY;
	if (s->mcr & UART_MCR_RTS)
		msr |= UART_MSR_CTS;
	if (s->mcr & UART_MCR_DTR)
		msr |= UART_MSR_DSR;
	if (s->mcr & UART_MCR_OUT1)
		msr |= UART_MSR_RI;
	if (s->mcr & UART_MCR_OUT2)
		msr |= UART_MSR_DCD;
	return msr;
}

static uint8_t read_register(struct serial *s, unsigned int reg)
{
	switch (reg) {
	case UART_RX:
		return divisor_latched(s) ? s->divisor[0] : rx_get(s);
	case UART_IER:
		return divisor_latched(s) ? s->divisor[1] : s->ier;
	case UART_IIR:
		return read_iir(s);
	case UART_LCR:
		return s->lcr;
	case UART_MCR:
		return s->mcr;
	case UART_LSR:
		return UART_LSR_TEMT | UART_LSR_THRE | (s->rx_len ? UART_LSR_DR : 0);
	case UART_MSR:
		return read_msr(s);
	default:
		return s->scratch;
	}
}

static void write_ier(struct serial *s, uint8_t value)
{
	uint8_t enabled = value & ~s->ier;

	s->ier = value & (UART_IER_RDI | UART_IER_THRI | UART_IER_RLSI | UART_IER_MSI);
	/* Enabling it with an empty transmitter interrupts at once. */
	if (enabled & UART_IER_THRI)
		s->thr_pending = true;
	wake_input(s);
}

static void write_fcr(struct serial *s, uint8_t value)
{
	/*
	 * Turning the FIFOs on or off empties a real UART's too, and Linux
	 * does that when input may already have come; so not here.
	 */
	if (value & UART_FCR_CLEAR_RCVR)
		s->rx_len = 0;
	s->fifo_on = value & UART_FCR_ENABLE_FIFO;
	wake_input(s);
}

static void write_register(struct serial *s, unsigned int reg, uint8_t value)
{
	switch (reg) {
	case UART_TX:
		if (divisor_latched(s))
			s->divisor[0] = value;
		else
			transmit(s, value);
		break;
	case UART_IER:
		if (divisor_latched(s))
			s->divisor[1] = value;
		else
			write_ier(s, value);
		break;
	case UART_FCR:
		write_fcr(s, value);
		break;
	case UART_LCR:
		s->lcr = value;
		break;
	case UART_MCR:
		s->mcr = value & MCR_BITS;
		wake_input(s);
		break;
	case UART_SCR:
		s->scratch = value;
		break;
	}
}

static uint64_t serial_read(struct device *dev, uint64_t offset, unsigned int size)
{
	struct serial *s = container_of(dev, struct serial, dev);
	uint8_t value = read_register(s, offset);

	update_irq(s);
	return value;
}

static void serial_write(struct device *dev, uint64_t offset, unsigned int size, uint64_t value)
{
	struct serial *s = container_of(dev, struct serial, dev);

	write_register(s, offset, value);
	update_irq(s);
}

size_t serial_input(struct serial *s, const uint8_t *data, size_t len)
{
	size_t taken;

	pthread_mutex_lock(&s->dev.lock);
	taken = min(len, rx_room(s));
	for (size_t i = 0; i < taken; i++)
		rx_put(s, data[i]);
	s->wake = taken < len;
	update_irq(s);
	pthread_mutex_unlock(&s->dev.lock);
	return taken;
}

struct serial *serial_add(struct vm *vm, struct console *con)
{
	struct serial *s = xzalloc(sizeof(*s));

	s->vm = vm;
	s->con = con;
	s->dev = (struct device){
		.name = "serial",
		.space = SPACE_PIO,
		.base = PORT,
		.size = 8,
		.width = 1,
		.read = serial_read,
		.write = serial_write,
	};
	bus_add(&vm->bus, &s->dev);
	return s;
}
