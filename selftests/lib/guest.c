// SPDX-License-Identifier: GPL-2.0-only
/* The guest's side of the library: what runs inside 64-bit guests. */
#include "guest.h"

ex_handler_t guest_handlers[256];

/* Called by entry.S with every exception and interrupt of a 64-bit guest. */
void guest_exception(struct ex_frame *frame);
void guest_exception(struct ex_frame *frame)
{
	if ((u32)frame->r10 == TRY_MAGIC && frame->vector < 32 && frame->vector != NMI) {
		frame->r10 = frame->vector;
		frame->r9 = frame->error;
		frame->rip = frame->r11;
	} else if (guest_handlers[frame->vector]) {
		guest_handlers[frame->vector](frame);
	} else {
		ucall(UCALL_EXCEPTION, frame->vector, frame->error, frame->rip, read_cr2());
	}
}
