/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "migration-stream.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* QEMU is done before the program that writes the file. That reports its end through a FIFO. */
void stream_save(Testbed *t, const char *path)
{
    struct pollfd done = {.events = POLLIN};
    char fifo[64];

    snprintf(fifo, sizeof(fifo), "%s.done", path);
    assert_int_equal(mkfifo(fifo, 0600), 0);
    done.fd = open(fifo, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    assert_true(done.fd >= 0);
    qtest_qmp_ok(t->qtest,
                 "{\"execute\": \"migrate-set-capabilities\", \"arguments\": {\"capabilities\": "
                 "[{\"capability\": \"events\", \"state\": true}]}}");
    qtest_qmp_ok(t->qtest,
                 "{\"execute\": \"migrate\", \"arguments\": "
                 "{\"uri\": \"exec:cat >%s; echo >%s\"}}",
                 path, fifo);
    qtest_wait_event(t->qtest, "MIGRATION", "\"status\": \"completed\"");
    assert_int_equal(poll(&done, 1, QTEST_TIMEOUT_MSEC), 1);
    close(done.fd);
    unlink(fifo);
}

void stream_save_new(Testbed *t, char *path)
{
    int fd = mkstemp(path);

    assert_true(fd >= 0);
    close(fd);
    stream_save(t, path);
}

void stream_receive(Testbed *t, const char *path)
{
    qtest_qmp_ok(t->qtest,
                 "{\"execute\": \"migrate-incoming\", \"arguments\": {\"uri\": \"exec:cat %s\"}}",
                 path);
    qtest_wait_event(t->qtest, "RESUME", "");
    t->device = (Device){.qtest = t->qtest, .bus = 0, .slot = 3};
}

void stream_load(Testbed *t, const char *path, const char *options)
{
    char device[256];

    snprintf(device, sizeof(device), "vgpu-stub,id=gpu,addr=3,socket=mediator.sock%s", options);
    memset(t, 0, sizeof(*t));
    t->qtest = qtest_start(
        (const char *const[]){"-machine", "q35", "-device", device, "-incoming", "defer", NULL});
    fake_listen(&t->mediator, qtest_directory(t->qtest));
    stream_receive(t, path);
}

void stream_migrate(Testbed *from, Testbed *to, const char *options)
{
    char path[] = STREAM_FILE;

    stream_save_new(from, path);
    stream_load(to, path, options);
    unlink(path);
}

char *stream_read(const char *path, size_t *ret_size)
{
    FILE *f = fopen(path, "rb");
    char *bytes;
    long size;

    assert_non_null(f);
    assert_int_equal(fseek(f, 0, SEEK_END), 0);
    size = ftell(f);
    rewind(f);
    bytes = malloc((size_t) size);
    assert_non_null(bytes);
    assert_int_equal(fread(bytes, (size_t) size, 1, f), 1);
    fclose(f);
    *ret_size = (size_t) size;
    return bytes;
}

void stream_write(const char *path, const char *bytes, size_t size)
{
    FILE *f = fopen(path, "wb");

    assert_non_null(f);
    assert_int_equal(fwrite(bytes, size, 1, f), 1);
    assert_int_equal(fclose(f), 0);
}

void stream_assert_refused(const char *path, const char *options)
{
    char uri[64], device[256], *log;

    snprintf(uri, sizeof(uri), "exec:cat %s", path);
    snprintf(device, sizeof(device), "vgpu-stub,addr=3%s", options);
    assert_int_equal(qtest_run(getenv("VGPU_TEST_PLUGIN"),
                               (const char *const[]){"-machine", "q35", "-bios", "firmware",
                                                     "-device", device, "-incoming", uri, NULL},
                               &log),
                     1);
    if (!strstr(log, "vgpu-"))
        fail_msg("QEMU wrote: %s", log);
    free(log);
}

void stream_assert_patch_refused(const char *path, char *bytes, size_t size, char *mark,
                                 const StreamPatch *patch)
{
    uint32_t value = __builtin_bswap32(patch->value), good;

    memcpy(&good, mark + patch->at, sizeof(good));
    memcpy(mark + patch->at, &value, sizeof(value));
    stream_write(path, bytes, size);
    stream_assert_refused(path, "");
    memcpy(mark + patch->at, &good, sizeof(good));
}

void stream_run_job(QTest *q, const char *command, const char *arguments)
{
    qtest_qmp_ok(q, "{\"execute\": \"%s\", \"arguments\": {\"job-id\": \"job\", %s}}", command,
                 arguments);
    qtest_wait_event(q, "JOB_STATUS_CHANGE", "\"status\": \"concluded\"");
    qtest_qmp_ok(q, "{\"execute\": \"job-dismiss\", \"arguments\": {\"id\": \"job\"}}");
}

void stream_add_disk(QTest *q)
{
    stream_run_job(q, "blockdev-create",
                   "\"options\": {\"driver\": \"file\", \"filename\": \"disk\", \"size\": 0}");
    qtest_qmp_ok(q, "{\"execute\": \"blockdev-add\", \"arguments\": {\"driver\": \"file\", "
                    "\"node-name\": \"file\", \"filename\": \"disk\"}}");
    stream_run_job(q, "blockdev-create",
                   "\"options\": {\"driver\": \"qcow2\", \"file\": \"file\", \"size\": 1048576}");
    qtest_qmp_ok(q, "{\"execute\": \"blockdev-add\", \"arguments\": {\"driver\": \"qcow2\", "
                    "\"node-name\": \"disk\", \"file\": \"file\"}}");
}
