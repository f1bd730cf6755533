/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "test-executor-start.h"
#include "test.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

static void require_gpu(const ClientOptions *options)
{
    Client *c = client_start(options);
    char *text;
    int status;

    client_hang_up(c);
    status = client_end(c, &text);
    if (status != EXECUTOR_EXIT_OK) {
        printf("1..0 # SKIP no GPU: %s", text);
        exit(EXIT_SUCCESS);
    }
    free(text);
}

unsigned busy_poll_usec(void)
{
    const char *usec = getenv("VGPU_TEST_BUSY_POLL");

    return usec ? (unsigned) atoi(usec) : 0;
}

ClientOptions options_for_backend(const char *which, unsigned slots)
{
    ClientOptions options = {
        .executor = getenv("VGPU_EXECUTOR"),
        .backend = strncmp(which, "cpu", 3) == 0 ? "cpu" : "cuda",
        .slots = slots,
        .busy_poll_usec = busy_poll_usec(),
    };

    if (!options.executor) {
        fprintf(stderr, "VGPU_EXECUTOR is not set\n");
        exit(EXIT_FAILURE);
    }
    if (strcmp(which, "fake") == 0) {
        options.library_dir = getenv("VGPU_FAKE_CUDA_DIR");
        options.kernels = getenv("VGPU_KERNELS");
        options.fake = getenv("VGPU_FAKE_PLAN");
    }
    if (strcmp(which, "gpu") == 0)
        require_gpu(&options);
    return options;
}

Client *start_ready(const ClientOptions *options)
{
    Client *c = client_start(options);

    client_hello(c);
    return c;
}

static void check_end(Client *c, int status, const char *says, bool may_say_more)
{
    char *text;

    assert_int_equal(client_end(c, &text), status);
    if (!strstr(text, says) || (!may_say_more && *says == '\0' && *text != '\0'))
        fail_msg("said \"%s\" instead of \"%s\"", text, says);
    free(text);
}

void assert_end(Client *c, int status, const char *says)
{
    check_end(c, status, says, true);
}

void assert_hang_up(Client *c, int status, const char *says)
{
    client_hang_up(c);
    check_end(c, status, says, false);
}

void assert_good_end(Client *c)
{
    assert_hang_up(c, EXECUTOR_EXIT_OK, "");
}

void assert_lost(Client *c)
{
    ClientResponse r;

    assert_false(client_receive(c, &r));
    assert_end(c, EXECUTOR_EXIT_STICKY, "made this process unusable");
}

ClientResponse receive(Client *c)
{
    ClientResponse r;

    assert_true(client_receive(c, &r));
    return r;
}

uint64_t random_bits(uint64_t *seed)
{
    uint64_t x = *seed += UINT64_C(0x9e3779b97f4a7c15);

    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}
