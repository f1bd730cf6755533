/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The state of a machine in a file, or on a disk of the machine. */
#ifndef VGPU_TEST_MIGRATION_STREAM_H
#define VGPU_TEST_MIGRATION_STREAM_H

#include "testbed.h"

/* For mkstemp() */
#define STREAM_FILE "/tmp/vgpu-device-state.XXXXXX"

/* stream_save() - stops the machine and writes its state to the file */
void stream_save(Testbed *t, const char *path);

/* stream_save_new() - the same to a file that it makes; @path as for mkstemp() */
void stream_save_new(Testbed *t, char *path);

/*
 * stream_load() - makes a machine from the file, with a mediator of its own
 * @options: more properties of the device, as for testbed_open()
 */
void stream_load(Testbed *t, const char *path, const char *options);

/* stream_receive() - loads the file into a machine that was started with -incoming defer */
void stream_receive(Testbed *t, const char *path);

/* stream_migrate() - saves and loads, through a file that it removes */
void stream_migrate(Testbed *from, Testbed *to, const char *options);

/* stream_read() - all bytes of the file, to be freed; stream_write() writes them back */
char *stream_read(const char *path, size_t *ret_size);
void stream_write(const char *path, const char *bytes, size_t size);

/* stream_assert_refused() - QEMU must refuse the file for a device of these properties, and name
 * the device */
void stream_assert_refused(const char *path, const char *options);

/* A number to spoil a stream with, at so many bytes from a mark. */
typedef struct StreamPatch {
    int at;
    uint32_t value;
} StreamPatch;

/*
 * stream_assert_patch_refused() - QEMU must refuse these bytes with one number changed
 * @mark: in @bytes, which do not change
 */
void stream_assert_patch_refused(const char *path, char *bytes, size_t size, char *mark,
                                 const StreamPatch *patch);

/*
 * stream_run_job() - runs a QMP command that is a job, to its end
 * @arguments: as JSON, without the job's own name
 */
void stream_run_job(QTest *q, const char *command, const char *arguments);

/* stream_add_disk() - adds an empty disk "disk", for snapshots of the machine */
void stream_add_disk(QTest *q);

#endif
