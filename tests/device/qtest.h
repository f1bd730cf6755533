/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A QEMU that a test runs and drives through its qtest and QMP channels.
 *
 * The machine runs, but its processor halts at once: it boots a firmware of two
 * instructions. So everything that the devices see comes from the test, and yet the
 * devices may do what they do only while a machine runs.
 *
 * The programs come from the environment: VGPU_TEST_QEMU is the QEMU to run,
 * VGPU_TEST_PLUGIN the device to load into it.
 *
 * A QEMU that dies, or does not answer in QTEST_TIMEOUT_MSEC, is the end of the
 * test program: it prints what QEMU said and exits.
 */
#ifndef VGPU_TEST_QTEST_H
#define VGPU_TEST_QTEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define QTEST_TIMEOUT_MSEC 20000
#define QTEST_IRQS 24 /* inputs of the I/O APIC */

typedef struct QTest QTest;

/*
 * qtest_start() - run QEMU with the device's plugin loaded
 * @args: more arguments, NULL at the end
 *
 * Paths in the arguments are relative to qtest_directory(), where QEMU runs.
 * Never returns NULL. Stop it with qtest_stop().
 */
QTest *qtest_start(const char *const *args);

/*
 * qtest_start_firmware() - the same with another accelerator, and a processor that does not halt
 * @accel: as for QEMU's option -accel
 * @firmware: the last bytes before 4 GiB, at most 64 KiB
 *
 * Interrupts go to the processor, and qtest_irq() does not see them.
 */
QTest *qtest_start_firmware(const char *accel, const void *firmware, size_t firmware_size,
                            const char *const *args);

/* qtest_stop() - ends QEMU, and fails the test if QEMU does not end properly */
void qtest_stop(QTest *q);

/*
 * qtest_run() - run a QEMU that is expected to end by itself
 * @plugin: what to load
 * @ret_log: what it wrote to standard error; to be freed
 *
 * Returns its exit status, or 128 + the signal that ended it.
 */
int qtest_run(const char *plugin, const char *const *args, char **ret_log);

/* qtest_directory() - a directory for this QEMU; qtest_stop() removes it */
const char *qtest_directory(const QTest *q);

/* qtest_log() - what QEMU wrote to standard error so far; to be freed */
char *qtest_log(const QTest *q);

/* qtest_log_count() - how often @text is in it */
unsigned qtest_log_count(const QTest *q, const char *text);

/* Guest-physical memory, @size is 1, 2, 4 or 8 */
uint64_t qtest_read(QTest *q, uint64_t address, unsigned size);
void qtest_write(QTest *q, uint64_t address, unsigned size, uint64_t value);

/* Guest-physical memory, as one transfer of any length from 1 to 4096 */
void qtest_read_buffer(QTest *q, uint64_t address, void *ret, size_t size);
void qtest_write_buffer(QTest *q, uint64_t address, const void *data, size_t size);

/* I/O ports */
uint32_t qtest_in32(QTest *q, uint16_t port);
void qtest_out32(QTest *q, uint16_t port, uint32_t value);

/* qtest_irq() - is any of the I/O APIC's inputs for PCI raised, as far as is known? */
bool qtest_irq(QTest *q);

/* qtest_wait_irq() - until any is raised, or until none is */
void qtest_wait_irq(QTest *q, bool raised);

/* qtest_qmp() - run a command given as JSON. Returns the reply's line, to be freed */
char *qtest_qmp(QTest *q, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* qtest_qmp_ok() - the same, and its reply must be no error */
void qtest_qmp_ok(QTest *q, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The machine stops, goes on, is reset; QEMU's main loop looks at all that was sent to QEMU */
void qtest_pause(QTest *q);
void qtest_resume(QTest *q);
void qtest_system_reset(QTest *q);
void qtest_synchronize(QTest *q);

/*
 * qtest_qmp_begin() - only sends the command, so that the test can go on meanwhile
 *
 * Call qtest_qmp_end() after it, which waits for the reply; it must be no error.
 */
void qtest_qmp_begin(QTest *q, const char *command);
void qtest_qmp_end(QTest *q);

/* qtest_pid() - QEMU's */
pid_t qtest_pid(const QTest *q);

/* qtest_n_transfers() - how many calls of read() and write(), and the like, QEMU has made so far */
uint64_t qtest_n_transfers(QTest *q);

/*
 * qtest_wait_event() - waits until QMP reports it; takes each report once
 * @detail: what the report's line must also have in it, or ""
 */
void qtest_wait_event(QTest *q, const char *name, const char *detail);

/* qtest_counter() - a number among a device's properties */
uint64_t qtest_counter(QTest *q, const char *path, const char *property);

#endif
