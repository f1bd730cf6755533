/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "test-executor-fake.h"
#include "test.h"

#include <unistd.h>

ClientOptions fake_options(const char *fake)
{
    return (ClientOptions){
        .executor = getenv("VGPU_EXECUTOR"),
        .backend = "cuda",
        .slots = SLOTS,
        .busy_poll_usec = busy_poll_usec(),
        .library_dir = getenv("VGPU_FAKE_CUDA_DIR"),
        .kernels = getenv("VGPU_KERNELS"),
        .fake = fake,
    };
}

Client *start(const char *fake)
{
    const ClientOptions o = fake_options(fake);

    return start_ready(&o);
}

void send_scalar(Client *c, uint64_t tag, uint32_t priority)
{
    unsigned char m[MESSAGE_MAX];

    assert_true(client_send(c, m, message_scalar(m, tag, priority, (uint32_t) tag, 1)));
}

void send_scalars(Client *c, unsigned n)
{
    unsigned char *m = malloc(n * MESSAGE_MAX);
    size_t size = 0;

    assert_non_null(m);
    for (unsigned i = 0; i < n; i++)
        size += message_scalar(m + size, i, i % VGPU_N_PRIORITIES, i, 1);
    assert_true(client_send(c, m, size));
    free(m);
}

void assert_sum(const ClientResponse *r)
{
    uint32_t sum;

    assert_int_equal(r->header.status, VGPU_ERROR_NONE);
    memcpy(&sum, r->bytes + sizeof(r->header), sizeof(sum));
    assert_int_equal(sum, r->tag + 1);
}

Trace trace_new(void)
{
    Trace t = {.path = "/tmp/vgpu-test-XXXXXX"};
    int fd = mkstemp(t.path);

    assert_true(fd >= 0);
    close(fd);
    snprintf(t.plan, sizeof(t.plan), "trace=%s", t.path);
    return t;
}

unsigned trace_count(const Trace *t, const char *begin)
{
    FILE *f = fopen(t->path, "re");
    char line[128];
    unsigned n = 0;

    assert_non_null(f);
    while (fgets(line, sizeof(line), f))
        n += strncmp(line, begin, strlen(begin)) == 0;
    fclose(f);
    return n;
}

void trace_remove(const Trace *t)
{
    unlink(t->path);
}
