/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the subcommands of vgpu have in common. */
#ifndef VGPU_GUEST_COMMAND_H
#define VGPU_GUEST_COMMAND_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "cleanup.h"
#include "vgpu.h"

/* Exit codes, in the manual page too. */
enum {
    EXIT_OK = 0,
    EXIT_REFUSED = 1,   /* the device or the host answered with an error, or a check failed */
    EXIT_USAGE = 2,     /* options, operands, or input that cannot be used */
    EXIT_NO_DEVICE = 3, /* there is no device, or not the one that was asked for */
    EXIT_TIMEOUT = 4,   /* no answer in time, or the device is in use */
    EXIT_SYSTEM = 5,    /* anything else */
    EXIT_WARNED = 6,    /* doctor: nothing keeps programs from the GPU, but not all is well */
};

/* How requests reach the host. */
typedef enum host_path {
    PATH_AUTO, /* the ring if there is one */
    PATH_REGISTERS,
    PATH_RING,
} host_path;

typedef struct options {
    const char *device; /* NULL: the first */
    int timeout_ms;
    bool interrupt;
    bool json;
    bool wants_help;
    vgpu_type type;
    const char *output;
    uint32_t count;
    uint32_t depth; /* 0: not given */
    host_path path;
    double alpha;
    bool has_alpha;
    uint32_t inner; /* 0: not given */
    const char *kernel;
    uint32_t grid[3], block[3]; /* all 0: not given */
    uint32_t shared;            /* bytes */
    uint32_t repeat;            /* 0: not given */
} options;

/* The subcommands. @argv holds as many operands as the table in vgpu.c says, and NULL. Each prints
 * its message and returns an exit code. */
int command_info(const options *o, char **argv);
int command_bind(const options *o, char **argv);
int command_add(const options *o, char **argv);
int command_vecadd(const options *o, char **argv);
int command_mul(const options *o, char **argv);
int command_axpy(const options *o, char **argv);
int command_dot(const options *o, char **argv);
int command_sum(const options *o, char **argv);
int command_min(const options *o, char **argv);
int command_max(const options *o, char **argv);
int command_matmul(const options *o, char **argv);
int command_selftest(const options *o, char **argv);
int command_bench(const options *o, char **argv);
int command_run(const options *o, char **argv);
int command_smi(const options *o, char **argv);
int command_doctor(const options *o, char **argv);
int command_keep_rings(const options *o, char **argv);

/* Print "vgpu: MESSAGE" on the standard error output. */
void complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Print "vgpu: @what: reason" and return the exit code for a @result of the library. */
int complain_result(const char *what, int result);

/* Return the exit code for a @result of the library. */
int exit_code_for(int result);

/* Find the device @name, without opening it. Prints a message unless it returns 0. Returns an exit
 * code. */
int choose_device(const char *name, char ret_address[static VGPU_ADDRESS_MAX]);

/* Open the device @name, with interrupts if @o asks for them, within @o's time-out. Prints a
 * message unless it returns 0. Returns an exit code. Close @ret_dev with vgpu_close(). */
int open_device(const options *o, const char *name, vgpu_device **ret_dev);

/* Open the ring of @dev, unless the command is to use the registers: @ret_ring is NULL then. That
 * depends on @o->path, and on whether the command can work @by_registers. Prints a message unless
 * it returns 0. Returns an exit code. Close @ret_ring with vgpu_ring_close(). */
int open_ring(const options *o, vgpu_device *dev, bool by_registers, vgpu_ring **ret_ring);

/* Say why vgpu_ring_open() has failed. Returns an exit code. */
int complain_ring(vgpu_device *dev, int result);

/* Parse a number from 0 to 2^32 - 1, in decimal digits or, behind 0x, in hexadecimal ones. Returns
 * 0 or -EINVAL. */
int parse_number(const char *text, uint32_t *ret_value);

/* Print text that came from the host. Everything but printable ASCII is replaced, and so are quotes
 * and backslashes, for JSON. */
void print_foreign(const char *text);

/* The same to @to, of a text of several lines. */
void print_foreign_lines(FILE *to, const char *text);

/* Flush the standard output. Returns @code, or prints a message and returns EXIT_SYSTEM when that
 * fails. */
int finish_output(int code);

static inline void cleanup_vgpu(vgpu_device **dev)
{
    vgpu_close(*dev);
}

static inline void cleanup_vgpu_ring(vgpu_ring **ring)
{
    vgpu_ring_close(*ring);
}

#define CLEANUP_VGPU_RING CLEANUP(cleanup_vgpu_ring)
#define CLEANUP_VGPU CLEANUP(cleanup_vgpu)

#endif
