/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Bytes out of the window into the program's memory: the way that suits the processor. */
#ifndef VGPU_GUEST_COPY_OUT_H
#define VGPU_GUEST_COPY_OUT_H

#include <stdbool.h>
#include <stddef.h>

typedef enum copy_out_way {
    COPY_OUT_PLAIN,  /* memcpy(), which leaves the bytes in the caches */
    COPY_OUT_PAST,   /* stores that go past the caches: the program may not read the bytes soon, and
                      * the caches then need not fetch what is overwritten */
    COPY_OUT_STREAM, /* the same, with loads that take whole lines of write-combining memory, of
                      * which an ordinary load takes a word */
} copy_out_way;

/* copy_out_best() - for so many bytes; @is_slow: as copy_out_is_slow() has said of the memory */
copy_out_way copy_out_best(size_t size, bool is_slow);

/*
 * copy_out_make_pages() - have the kernel make the pages of @to that are about to be written, all
 * at once, where the first of them is not there yet; faults one by one take twice as long. Returns
 * whether it has: then the bytes are best copied plainly, as the pages have just been cleared
 */
bool copy_out_make_pages(void *to, size_t size);

/* copy_out() - what the processor or @from's alignment does not allow is done plainly */
void copy_out(copy_out_way way, void *to, const void *from, size_t size);

/* copy_out_is_slow() - does the processor read this memory word by word, as it does where a guest
 * has it write-combining? Reads it a few times. */
bool copy_out_is_slow(const void *memory, size_t size);

#endif
