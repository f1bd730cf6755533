/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* mediator.conf: which settings are taken, and what is logged about the others */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config.h"
#include "test.h"

typedef struct Fixture {
    char directory[64];
    char path[96];
    char drop_in_directory[128];
    char log[128];
} Fixture;

static void write_text(const char *path, const char *text)
{
    FILE *f = fopen(path, "we");

    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void write_drop_in(const Fixture *f, const char *name, const char *text)
{
    char path[256];

    snprintf(path, sizeof(path), "%s/%s", f->drop_in_directory, name);
    write_text(path, text);
}

static int setup(void **state)
{
    Fixture *f = calloc(1, sizeof(*f));

    assert_non_null(f);
    strcpy(f->directory, "/tmp/vgpu-config-XXXXXX");
    assert_non_null(mkdtemp(f->directory));
    snprintf(f->path, sizeof(f->path), "%s/mediator.conf", f->directory);
    snprintf(f->drop_in_directory, sizeof(f->drop_in_directory), "%s.d", f->path);
    snprintf(f->log, sizeof(f->log), "%s/log", f->directory);
    assert_int_equal(mkdir(f->drop_in_directory, 0700), 0);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    Fixture *f = *state;
    char command[128];

    snprintf(command, sizeof(command), "rm -r %s", f->directory);
    assert_int_equal(system(command), 0);
    free(f);
    return 0;
}

/* Loads the file with standard error going to another one, and returns what was written there. */
static const char *load(const Fixture *f, Config *ret)
{
    static char text[4096];
    int saved = dup(STDERR_FILENO);
    FILE *log = fopen(f->log, "w+e");
    size_t n;
    int r;

    assert_non_null(log);
    assert_true(dup2(fileno(log), STDERR_FILENO) >= 0);
    r = config_load(f->path, ret, NULL);
    assert_true(dup2(saved, STDERR_FILENO) >= 0);
    close(saved);

    rewind(log);
    n = fread(text, 1, sizeof(text) - 1, log);
    text[n] = '\0';
    fclose(log);
    assert_int_equal(r, 0);
    return text;
}

static void test_absent(void **state)
{
    Config c;

    assert_string_equal(load(*state, &c), "");
    assert_true(c.pools[0].configured);
    assert_false(c.pools[1].configured);
    assert_int_equal(c.pools[0].backend, POOL_BACKEND_AUTO);
    assert_int_equal(c.pools[0].policy, SCHED_FIFO);
    assert_true(c.pools[0].starvation_limit_usec == UINT64_MAX);
    assert_int_equal(c.pools[0].busy_poll_usec, BUSY_POLL_DEFAULT_USEC);
    assert_int_equal(c.unregistered, UNREGISTERED_DEFAULT);
    assert_true(c.queue_timeout_usec == UINT64_MAX);
    assert_int_equal(c.request_timeout_usec, 30000000);
    assert_true(c.pools[0].kernel_timeout_usec == UINT64_MAX);
    assert_int_equal(c.pools[0].warm_spares, 0);
    assert_int_equal(c.pools[0].sharing, POOL_SHARING_FREE);
    assert_int_equal(c.pools[0].turn_usec, 5000);
    assert_int_equal(c.pools[0].ahead_usec, 1000);
    assert_int_equal(c.pools[0].patience_usec, 5000);
    assert_int_equal(c.sessions_max, 64);
    assert_string_equal(c.executor_socket, "/run/vgpu/executor.sock");
}

static void assert_devices(const PoolConfig *pool, const char *names)
{
    char text[POOL_DEVICES_MAX * DEVICE_NAME_SIZE] = "";

    for (unsigned i = 0; i < pool->devices.n; i++) {
        strcat(text, i > 0 ? " " : "");
        strcat(text, pool->devices.name[i]);
    }
    assert_string_equal(text, names);
}

static void test_everything(void **state)
{
    const Fixture *f = *state;
    Config c;

    write_text(
        f->path,
        "# comment\n"
        "[Pool B]\nBackend=cpu\nDevice=3\nInFlight=64\nBusyPollUSec=0\nQueueLimit=9\nPolicy=fair\n"
        "StarvationLimitSec=3\nRequestCostMax=7\nKernelTimeoutSec=8\nWarmSpares=16\n"
        "Sharing=turns\nTurnUSec=100\nAheadUSec=1000000\nPatienceUSec=0\n"
        "[Pool Y]\nRequestCostMax=1\nRequestCostMax=auto\n"
        "[Pool Z]\nRequestCostMax=infinity\n"
        "[Pool Z]\nPolicy=fair\nPolicy=fifo\nStarvationLimitSec=3\n"
        "StarvationLimitSec=infinity\n"
        "[Unregistered]\nPolicy=refuse\n"
        "[Limits]\nMaxConnections=17\nVMQueueLimit=5\nConnectionsPerProcess=3\n"
        "ConnectionsPerUser=65536\nWindowSizeMax=1T\n"
        "FaultLimit=0\nFaultIntervalSec=9\nQuarantineSec=infinity\n"
        "[Timeouts]\nHelloTimeoutSec=1\nQueueTimeoutSec=2\nRequestTimeoutSec=infinity\n"
        "DrainTimeoutSec=0\n"
        "[Sessions]\nMaxSessions=1024\nExecutorSocket=\n");
    assert_string_equal(load(f, &c), "");
    assert_false(c.pools[0].configured);
    assert_true(c.pools[1].configured);
    assert_int_equal(c.pools[1].backend, POOL_BACKEND_CPU);
    assert_devices(&c.pools[1], "3");
    assert_int_equal(c.pools[1].in_flight, 64);
    assert_int_equal(c.pools[1].busy_poll_usec, 0);
    assert_int_equal(c.pools[1].queue_limit, 9);
    assert_int_equal(c.pools[1].policy, SCHED_FAIR);
    assert_int_equal(c.pools[1].starvation_limit_usec, 3000000);
    assert_int_equal(c.pools[1].request_cost_max, 7000000);
    assert_int_equal(c.pools[1].sharing, POOL_SHARING_TURNS);
    assert_int_equal(c.pools[1].turn_usec, 100);
    assert_int_equal(c.pools[1].ahead_usec, 1000000);
    assert_int_equal(c.pools[1].patience_usec, 0);
    assert_int_equal(c.pools[24].request_cost_max, 0);
    assert_true(c.pools[25].request_cost_max == UINT64_MAX);
    assert_true(c.pools[25].configured);
    assert_int_equal(c.pools[25].policy, SCHED_FIFO);
    assert_true(c.pools[25].starvation_limit_usec == UINT64_MAX);
    assert_int_equal(c.unregistered, UNREGISTERED_REFUSE);
    assert_int_equal(c.max_connections, 17);
    assert_int_equal(c.max_connections_per_process, 3);
    assert_int_equal(c.max_connections_per_user, 65536);
    assert_true(c.window_size_max == UINT64_C(1) << 40);
    assert_int_equal(c.hello_timeout_usec, 1000000);
    assert_int_equal(c.vm_queue_limit, 5);
    assert_int_equal(c.fault_limit.max, 0);
    assert_int_equal(c.fault_limit.interval_usec, 9000000);
    assert_true(c.fault_limit.wait_usec == UINT64_MAX);
    assert_int_equal(c.queue_timeout_usec, 2000000);
    assert_true(c.request_timeout_usec == UINT64_MAX);
    assert_int_equal(c.drain_timeout_usec, 0);
    assert_int_equal(c.pools[1].kernel_timeout_usec, 8000000);
    assert_int_equal(c.pools[1].warm_spares, 16);
    assert_int_equal(c.sessions_max, 1024);
    assert_string_equal(c.executor_socket, "");
}

static void test_sizes(void **state)
{
    static const struct {
        const char *text;
        uint64_t size;
    } cases[] = {{"65536", 65536},          {"64K", 65536},
                 {"1048577", 1048577},      {"3M", 3 << 20},
                 {"2G", UINT64_C(2) << 30}, {"1024G", UINT64_C(1) << 40}};
    const Fixture *f = *state;
    char text[80];
    Config c;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        snprintf(text, sizeof(text), "[Limits]\nWindowSizeMax=%s\n", cases[i].text);
        write_text(f->path, text);
        assert_string_equal(load(f, &c), "");
        assert_true(c.window_size_max == cases[i].size);
    }
}

#define UUID "01234567-89ab-cdef-0123-456789ABCDEF"

/* One line has them all; another one has others. */
static void test_devices(void **state)
{
    const Fixture *f = *state;
    Config c;

    write_text(f->path, "[Pool A]\nDevice=2  007\tMIG-" UUID " GPU-" UUID "\n"
                        "[Pool B]\nDevice=0 1\n[Pool B]\nDevice=5\n"
                        "[Pool C]\nDevice=0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 255\n[Pool D]\n");
    assert_string_equal(load(f, &c), "");
    assert_devices(&c.pools[0], "2 7 MIG-" UUID " GPU-" UUID);
    assert_devices(&c.pools[1], "5");
    assert_int_equal(c.pools[2].devices.n, POOL_DEVICES_MAX);
    assert_devices(&c.pools[3], "0");
}

static void test_drop_ins(void **state)
{
    const Fixture *f = *state;
    Config c;

    write_text(f->path, "[Pool A]\nInFlight=1\nDevice=1\n");
    write_drop_in(f, "20-b.conf", "[Pool A]\nInFlight=3\n");
    write_drop_in(f, "10-a.conf", "[Pool A]\nInFlight=2\n");
    write_drop_in(f, "30-c.conf.bak", "[Pool A]\nInFlight=4\n");
    write_drop_in(f, ".40-d.conf", "[Pool A]\nInFlight=5\n");
    assert_string_equal(load(f, &c), "");
    assert_int_equal(c.pools[0].in_flight, 3);
    assert_devices(&c.pools[0], "1");
}

/* Each bad line is logged with its file, number and value, and changes nothing. */
static void test_bad_lines(void **state)
{
    static const struct {
        const char *text;
        const char *warning;
    } cases[] = {
        {"[Pool A]\nInFlight=0\n", ":2: InFlight=0 is not"},
        {"[Pool A]\nInFlight=65\n", ":2: InFlight=65 is not"},
        {"[Pool A]\n\nInFlight=-1\n", ":3: InFlight=-1 is not"},
        {"[Pool A]\nBusyPollUSec=1001\n", ":2: BusyPollUSec=1001 is not"},
        {"[Pool A]\nInFlight=\n", ":2: InFlight= is not"},
        {"[Pool A]\nInFlight=16 apples\n", ":2: InFlight=16 apples is not"},
        {"[Pool A]\nInFlight=99999999999999999999999\n", ":2: InFlight=99999"},
        {"[Pool A]\nBackend=rocm\n", ":2: Backend=rocm is not"},
        {"[Pool A]\nPolicy=lottery\n", ":2: Policy=lottery is not"},
        {"[Pool A]\nPolicy=Fair\n", ":2: Policy=Fair is not"},
        {"[Pool A]\nPolicy=\n", ":2: Policy= is not"},
        {"[Pool A]\nStarvationLimitSec=0\n", ":2: StarvationLimitSec=0 is not"},
        {"[Pool A]\nStarvationLimitSec=1.5\n", ":2: StarvationLimitSec=1.5 is not"},
        {"[Pool A]\nStarvationLimitSec=4294967296\n", ":2: StarvationLimitSec=4294967296 is not"},
        {"[Pool A]\nRequestCostMax=0\n", ":2: RequestCostMax=0 is not"},
        {"[Pool A]\nRequestCostMax=much\n", ":2: RequestCostMax=much is not"},
        {"[Timeouts]\nStarvationLimitSec=5\n", ":2: unknown setting StarvationLimitSec=5"},
        {"[Pool A]\nColour=red\n", ":2: unknown setting Colour=red in [Pool A]"},
        {"[Pool a]\nBackend=cpu\n", ":2: unknown section [Pool a]"},
        {"[Pool A]\n[Pool a]\n", ":2: unknown section [Pool a], ignoring it"},
        {"[Pool A]\n\n[Pools]\n", ":3: unknown section [Pools], ignoring it"},
        {"[Pool A]\n  Device=0\n  [Pool DD]\n", ":3: unknown section [Pool DD]"},
        {"[Pool A]\n    Device=0\n    InFlight=65\n", ":3: InFlight=65 is not"},
        {"[Pool A]\nInFlight=1 \\\n1\n", ":2: InFlight=1  1 is not"},
        {"[Pool A]\nDevice=\n", ":2: Device= is not"},
        {"[Pool A]\nDevice=256\n", ":2: Device=256 is not"},
        {"[Pool A]\nDevice=0 1 0\n", ":2: Device=0 1 0 is not"},
        {"[Pool A]\nDevice=1 01\n", ":2: Device=1 01 is not"},
        {"[Pool A]\nDevice=0,1\n", ":2: Device=0,1 is not"},
        {"[Pool A]\nDevice=GPU-1\n", ":2: Device=GPU-1 is not"},
        {"[Pool A]\nDevice=0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n", ":2: Device=0 1 2"},
        {"[Pool A]\n[Unregistered\nPolicy=allow\n", ":2: no proper [section]"},
        {"[Pool A]\n[Unregistered\nPolicy=fair\n", ":3: Policy=fair is in no section"},
        {"[Pool A]\n=cpu\n", ":2: neither a [section] nor"},
        {"[Pool AB]\nBackend=cpu\n", ":2: unknown section [Pool AB]"},
        {"[Pool]\nBackend=cpu\n", ":2: unknown section [Pool]"},
        {"[Nonsense]\nX=1\n", ":2: unknown section [Nonsense]"},
        {"Backend=cpu\n", ":1: Backend=cpu is in no section"},
        {"[Unregistered]\nPolicy=maybe\n", ":2: Policy=maybe is not"},
        {"[Timeouts]\nRequestTimeoutSec=0\n", ":2: RequestTimeoutSec=0 is not"},
        {"[Limits]\nWindowSizeMax=65535\n", ":2: WindowSizeMax=65535 is not"},
        {"[Limits]\nWindowSizeMax=2T\n", ":2: WindowSizeMax=2T is not"},
        {"[Limits]\nWindowSizeMax=M\n", ":2: WindowSizeMax=M is not"},
        {"[Limits]\nWindowSizeMax=16MB\n", ":2: WindowSizeMax=16MB is not"},
        {"[Limits]\nWindowSizeMax=18446744073709551615T\n", ":2: WindowSizeMax=18446744073709"},
        {"[Limits]\nnonsense\n", ":2: neither a [section] nor"},
        {"[Pool A]\nTurnUSec=99\n", ":2: TurnUSec=99 is not a value"},
        {"[Pool A]\nAheadUSec=0\n", ":2: AheadUSec=0 is not a value"},
        {"[Pool A]\nPatienceUSec=1000001\n", ":2: PatienceUSec=1000001 is not a value"},
        {"[Pool A]\nSharing=mps\n", ":2: Sharing=mps is not a value"},
        {"[Pool A]\nWarmSpares=17\n", ":2: WarmSpares=17 is not"},
        {"[Pool A]\nKernelTimeoutSec=0\n", ":2: KernelTimeoutSec=0 is not"},
        {"[Sessions]\nMaxSessions=0\n", ":2: MaxSessions=0 is not"},
        {"[Sessions]\nMaxSessions=1025\n", ":2: MaxSessions=1025 is not"},
        {"[Sessions]\nExecutorSocket=run/vgpu\n", ":2: ExecutorSocket=run/vgpu is not"},
        {"[Sessions]\nSharing=free\n", ":2: unknown setting Sharing=free"},
    };
    const Fixture *f = *state;
    Config defaults;

    load(f, &defaults);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        Config c;
        const char *log;

        write_text(f->path, cases[i].text);
        log = load(f, &c);
        if (!strstr(log, cases[i].warning) || !strstr(log, f->path))
            fail_msg("%s gave: %s", cases[i].text, log);
        assert_memory_equal(&c, &defaults, sizeof(c));
    }
}

/* A comment of any length is one, and the numbers of the lines behind it are right. */
static void test_long_lines(void **state)
{
    const Fixture *f = *state;
    char text[20000], comment[199];
    const char *log;
    Config c;

    memset(comment, 'x', sizeof(comment) - 1);
    comment[sizeof(comment) - 1] = '\0';
    snprintf(text, sizeof(text),
             "[Unregistered]\n#%sPolicy=allow\n;%0*dPolicy=allow\n[Limits]\nMaxConections=5\n"
             "MaxConnections=%0*d\nVMQueueLimit=7\n",
             comment, 9000, 0, 900, 17);
    write_text(f->path, text);
    log = load(f, &c);
    assert_non_null(strstr(log, ":5: unknown setting MaxConections=5"));
    assert_ptr_equal(strchr(log, '\n'), log + strlen(log) - 1); /* the one warning */
    assert_int_equal(c.unregistered, UNREGISTERED_DEFAULT);
    assert_int_equal(c.max_connections, 17);
    assert_int_equal(c.vm_queue_limit, 7);
}

static void test_indented_lines(void **state)
{
    const Fixture *f = *state;
    Config c;

    write_text(f->path, "\t[Pool B]\n    Backend = cpu\n    InFlight=4\n  # Device=1\n\n");
    assert_string_equal(load(f, &c), "");
    assert_true(c.pools[1].configured);
    assert_int_equal(c.pools[1].backend, POOL_BACKEND_CPU);
    assert_int_equal(c.pools[1].in_flight, 4);
    assert_devices(&c.pools[1], "0");
}

/* The reason names the file, which need not be mediator.conf itself. */
static void expect_unreadable(const Fixture *f, const char *file, const char *reason)
{
    char wanted[300], *error = NULL;
    Config c;

    snprintf(wanted, sizeof(wanted), "Cannot read %s: %s.", file, reason);
    assert_true(config_load(f->path, &c, &error) < 0);
    assert_string_equal(error, wanted);
    free(error);
}

static void test_unreadable(void **state)
{
    const Fixture *f = *state;
    char file[256];

    snprintf(file, sizeof(file), "%s/50-a.conf", f->drop_in_directory);
    assert_int_equal(mkdir(file, 0700), 0);
    expect_unreadable(f, file, "Is a directory");
    assert_int_equal(rmdir(file), 0);
    assert_int_equal(mkfifo(file, 0600), 0);
    expect_unreadable(f, file, "It is no regular file");
    assert_int_equal(unlink(file), 0);
    write_text(file, "");
    assert_int_equal(truncate(file, 1024 * 1024 + 1), 0);
    expect_unreadable(f, file, "File too large");
    assert_int_equal(unlink(file), 0);

    assert_int_equal(mkdir(f->path, 0700), 0);
    expect_unreadable(f, f->path, "Is a directory");
}

/* As systemd has it, a link to /dev/null takes a drop-in away. */
static void test_links(void **state)
{
    const Fixture *f = *state;
    char file[256], other[256];
    Config c;

    snprintf(other, sizeof(other), "%s/other", f->directory);
    write_text(other, "[Limits]\nVMQueueLimit=3\n");
    snprintf(file, sizeof(file), "%s/50-a.conf", f->drop_in_directory);
    assert_int_equal(symlink("/dev/null", file), 0);
    assert_int_equal(symlink(other, f->path), 0);
    assert_string_equal(load(f, &c), "");
    assert_int_equal(c.vm_queue_limit, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_absent, setup, teardown),
        cmocka_unit_test_setup_teardown(test_everything, setup, teardown),
        cmocka_unit_test_setup_teardown(test_sizes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_devices, setup, teardown),
        cmocka_unit_test_setup_teardown(test_drop_ins, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bad_lines, setup, teardown),
        cmocka_unit_test_setup_teardown(test_long_lines, setup, teardown),
        cmocka_unit_test_setup_teardown(test_indented_lines, setup, teardown),
        cmocka_unit_test_setup_teardown(test_unreadable, setup, teardown),
        cmocka_unit_test_setup_teardown(test_links, setup, teardown),
    };

    return cmocka_run_group_tests_name("config", tests, NULL, NULL);
}
