/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How much memory the fake devices have, and how much of it is taken: by this process, or, with
 * memory=FILE in the plan, by all processes that name this file. Each has a slot there, and a lock
 * on the slot's first byte that ends with the process: so what a process has is free again when
 * it dies, however it dies.
 */
#include "fake-memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define SLOTS 512u

typedef struct Slot {
    uint64_t taken[FAKE_DEVICES_MAX];
} Slot;

static struct {
    int fd; /* 0: not looked yet; -1: none */
    unsigned slot;
    Slot *slots; /* of all processes */
    Slot own;
} total;

/* The lock on a slot, or on all of them (the byte behind them). */
static int lock_byte(int command, short type, unsigned slot)
{
    struct flock l = {
        .l_type = type,
        .l_whence = SEEK_SET,
        .l_start = (off_t) (slot * sizeof(Slot)),
        .l_len = 1,
    };

    if (fcntl(total.fd, command, &l) != 0)
        return -1;
    return command == F_OFD_GETLK && l.l_type == F_UNLCK ? 0 : 1;
}

static void take_slot(void)
{
    for (total.slot = 0; total.slot < SLOTS; total.slot++) {
        if (lock_byte(F_OFD_SETLK, F_WRLCK, total.slot) > 0) {
            total.slots[total.slot] = (Slot){0};
            return;
        }
    }
    fake_misuse("memory=%s: more than %u processes", fake_plan()->memory, SLOTS);
}

static void open_file(void)
{
    const char *path = fake_plan()->memory;

    if (total.fd != 0)
        return;
    total.fd = -1;
    if (path[0] == '\0')
        return;

    /* Where another user made it, O_CREAT may be refused. */
    total.fd = open(path, O_RDWR | O_CLOEXEC);
    if (total.fd < 0 && errno == ENOENT)
        total.fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (total.fd < 0 || ftruncate(total.fd, (SLOTS + 1) * sizeof(Slot)) != 0)
        fake_misuse("memory=%s: can't be opened", path);
    total.slots = mmap(NULL, SLOTS * sizeof(Slot), PROT_READ | PROT_WRITE, MAP_SHARED, total.fd, 0);
    if (total.slots == MAP_FAILED)
        fake_misuse("memory=%s: can't be mapped", path);
    take_slot();
}

static uint64_t taken(CUdevice device)
{
    uint64_t sum = 0;

    if (total.fd < 0)
        return total.own.taken[device];
    for (unsigned i = 0; i < SLOTS; i++)
        if (total.slots[i].taken[device] > 0 &&
            (i == total.slot || lock_byte(F_OFD_GETLK, F_WRLCK, i) > 0))
            sum += total.slots[i].taken[device];
    return sum;
}

static void begin(void)
{
    open_file();
    if (total.fd >= 0 && lock_byte(F_OFD_SETLKW, F_WRLCK, SLOTS) < 0)
        abort();
}

static void end(void)
{
    if (total.fd >= 0 && lock_byte(F_OFD_SETLK, F_UNLCK, SLOTS) < 0)
        abort();
}

uint64_t fake_total(void)
{
    return fake_plan()->total;
}

uint64_t fake_total_free(CUdevice device)
{
    uint64_t n;

    begin();
    n = taken(device);
    end();
    return n < fake_total() ? fake_total() - n : 0;
}

uint64_t fake_total_own(CUdevice device)
{
    open_file();
    return (total.fd >= 0 ? &total.slots[total.slot] : &total.own)->taken[device];
}

bool fake_total_take(CUdevice device, uint64_t bytes)
{
    bool fits;

    begin();
    fits = bytes <= fake_total() && taken(device) <= fake_total() - bytes;
    if (fits)
        (total.fd >= 0 ? &total.slots[total.slot] : &total.own)->taken[device] += bytes;
    end();
    return fits;
}

void fake_total_give(CUdevice device, uint64_t bytes)
{
    begin();
    (total.fd >= 0 ? &total.slots[total.slot] : &total.own)->taken[device] -= bytes;
    end();
}

void fake_total_stop(void)
{
    if (total.fd <= 0)
        return;
    munmap(total.slots, SLOTS * sizeof(Slot));
    close(total.fd);
}
