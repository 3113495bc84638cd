// SPDX-License-Identifier: GPL-2.0
/*
 * The MC146818 real-time clock and its CMOS memory.  It always shows the
 * host's time, in UTC: setting it does nothing, and it raises no interrupt.
 */
#include <time.h>
#include "devices.h"

#define INDEX_PORT 0x70
#define CMOS_SIZE  128
#define NMI_MASK   0x80 /* bit 7 of the index port */

enum {
	REG_SECONDS = 0,
	REG_MINUTES = 2,
	REG_HOURS = 4,
	REG_WEEKDAY = 6,
	REG_DAY = 7,
	REG_MONTH = 8,
	REG_YEAR = 9,
	REG_A = 10,
	REG_B = 11,
	REG_C = 12,
	REG_D = 13,
	REG_BASE_MEMORY = 0x15,	    /* KiB below 1 MiB */
	REG_EXTENDED_MEMORY = 0x17, /* KiB above 1 MiB, at most 63 MiB */
	REG_EXTENDED_MEMORY2 = 0x30,
	REG_MEMORY_16M = 0x34, /* 64 KiB above 16 MiB, below 4 GiB */
	REG_MEMORY_4G = 0x5b,  /* 64 KiB above 4 GiB, three bytes */
};

#define A_DIVIDER  0x26 /* 32,768 Hz, 1,024 Hz periodic */
#define A_UIP	   0x80
#define B_BINARY   0x04
#define B_24_HOURS 0x02
#define D_VALID	   0x80

/* The update flag rises at least 244 us before the time changes. */
#define UIP_NSECS 244000

struct rtc {
	struct device dev;
	uint8_t index;
	uint8_t cmos[CMOS_SIZE];
};

static uint8_t encode(const struct rtc *rtc, int value)
{
	return rtc->cmos[REG_B] & B_BINARY ? value : value / 10 << 4 | value % 10;
}

static uint8_t hours(const struct rtc *rtc, int hour)
{
	if (rtc->cmos[REG_B] & B_24_HOURS)
		return encode(rtc, hour);
	return encode(rtc, hour % 12 ? hour % 12 : 12) | (hour >= 12 ? 0x80 : 0);
}

static uint8_t read_register(const struct rtc *rtc)
{
	struct timespec now;
	struct tm tm;

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	switch (rtc->index) {
	case REG_SECONDS:
		return encode(rtc, tm.tm_sec);
	case REG_MINUTES:
		return encode(rtc, tm.tm_min);
	case REG_HOURS:
		return hours(rtc, tm.tm_hour);
	case REG_WEEKDAY:
		return encode(rtc, tm.tm_wday + 1);
	case REG_DAY:
		return encode(rtc, tm.tm_mday);
	case REG_MONTH:
		return encode(rtc, tm.tm_mon + 1);
	case REG_YEAR:
		return encode(rtc, tm.tm_year % 100);
	case RTC_CENTURY:
		return encode(rtc, 19 + tm.tm_year / 100);
	case REG_A:
		return rtc->cmos[REG_A] | (now.tv_nsec >= 1000000000 - UIP_NSECS ? A_UIP : 0);
	case REG_C:
		return 0;
	case REG_D:
		return D_VALID;
	default:
		return rtc->cmos[rtc->index];
	}
}

static uint64_t rtc_read(struct device *dev, uint64_t offset, unsigned int size)
{
	return offset ? read_register(container_of(dev, struct rtc, dev)) : 0xff;
}

static void rtc_write(struct device *dev, uint64_t offset, unsigned int size, uint64_t value)
{
	struct rtc *rtc = container_of(dev, struct rtc, dev);

	if (!offset)
		rtc->index = value & ~NMI_MASK;
	else if (rtc->index == REG_A)
		rtc->cmos[REG_A] = value & ~A_UIP;
	else
		rtc->cmos[rtc->index] = value;
}

static void set_bytes(struct rtc *rtc, unsigned int reg, uint64_t value, unsigned int bytes)
{
	for (unsigned int i = 0; i < bytes; i++)
		rtc->cmos[reg + i] = value >> 8 * i;
}

static void set_memory_size(struct rtc *rtc, const struct memory *mem)
{
	uint64_t low = memory_low(mem);
	uint64_t above_1m = low > SZ_1M ? low - SZ_1M : 0;
	uint64_t above_16m = low > 16 * SZ_1M ? low - 16 * SZ_1M : 0;

	set_bytes(rtc, REG_BASE_MEMORY, 640, 2);
	set_bytes(rtc, REG_EXTENDED_MEMORY, min(above_1m, 63 * SZ_1M) / 1024, 2);
	set_bytes(rtc, REG_EXTENDED_MEMORY2, min(above_1m, 63 * SZ_1M) / 1024, 2);
	set_bytes(rtc, REG_MEMORY_16M, above_16m >> 16, 2);
	set_bytes(rtc, REG_MEMORY_4G, (mem->size - low) >> 16, 3);
}

void rtc_add(struct vm *vm)
{
	struct rtc *rtc = xzalloc(sizeof(*rtc));

	rtc->cmos[REG_A] = A_DIVIDER;
	rtc->cmos[REG_B] = B_24_HOURS;
	set_memory_size(rtc, &vm->memory);
	rtc->dev = (struct device){
		.name = "rtc",
		.space = SPACE_PIO,
		.base = INDEX_PORT,
		.size = 2,
		.width = 1,
		.read = rtc_read,
		.write = rtc_write,
	};
	bus_add(&vm->bus, &rtc->dev);
}
