/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vgpuctl: VMs that have no device, that were quarantined for their faults, that have a share of
 * the pool, as the mediator itself tells of them. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "ring-peer.h"
#include "test-ctl-run.h"
#include "test.h"
#include "world.h"

#define CONFIG(quarantine)                                   \
    "[Pool A]\nBackend=cpu\n[Unregistered]\nPolicy=allow\n"  \
    "[Limits]\nFaultLimit=1\nQuarantineSec=" quarantine "\n" \
    "[Timeouts]\nRequestTimeoutSec=1\n"

static int start(void **state)
{
    (void) state;
    setenv("TZ", "UTC", 1);
    return world_start(CONFIG("60"));
}

/* What vgpuctl writes has this text. Its exit status does not count. */
#define expect_in(text, ...) expect_in_at(__LINE__, CTL_ARGUMENTS(__VA_ARGS__), text)
static void expect_in_at(int line, const char *const *arguments, const char *text)
{
    Ctl c = ctl_run_arguments(0, arguments);

    if (!strstr(c.out, text))
        fail_msg("line %d: no '%s' in: %s%s", line, text, c.out, c.err);
    ctl_release(&c);
}

/* ---- No device ---------------------------------------------------------------------------- */

/* It is known why, also to the next mediator, until a device connects all the same. */
TEST(test_no_device)
{
    int fd;

    register_vm("nodev", 0x01, "A", "high");
    expect_in(" waiting ", "list", "--interval=0", "nodev");
    call_manager(NULL, "SetVMStarted", "sa{sv}", "nodev", 1, "DeviceProblem", "s",
                 "no plugin for QEMU 11.1");
    for (unsigned i = 0; i < 2; i++) {
        expect_in(" no device ", "list", "--interval=0", "nodev");
        expect_in(" no device A ", "list", "--all");
        expect_in("          State: no device\n         Device: none: no plugin for QEMU 11.1\n",
                  "status", "nodev");
        expect_in("\"state\":\"no device\"", "--json=short", "--interval=0");
        expect_in("\nvgpu_vm_without_device{vm=\"nodev\"} 1\n", "metrics");
        expect_in("problem domain   VM nodev runs without its device: no plugin for QEMU 11.1\n",
                  "check", "--connect=test:///default");
        if (i == 0)
            restart_mediator(SIGTERM);
    }

    fd = dial();
    hello(fd, 0x01, VGPU_PRIORITY_HIGH, NULL);
    expect_welcome(fd);
    expect_in(" connected ", "list", "--interval=0", "nodev");
    expect_in("\nvgpu_vm_without_device{vm=\"nodev\"} 0\n", "metrics");
    close(fd);
    unregister_vm("nodev");
}

/* ---- Quarantine --------------------------------------------------------------------------- */

/* The executor is stopped, so what comes next runs into the time limit. */
static void run_into_the_limit(int fd)
{
    expect_add(fd, 0, 1, 0, 1, 1);
    assert_true(test_process_stop((pid_t) get_u32(POOL_A, VGPU_INTERFACE_POOL, "ExecutorPID")));
    assert_true(wire_send_add(fd, 0, 2, 0, 1, 1));
    expect_response(fd, 2, VGPU_ERROR_TIMEOUT);
}

static void wait_for_quarantine(void)
{
    while (!vm_is("bad", "Quarantined"))
        usleep(10000);
}

TEST(test_quarantine)
{
    char text[160], when[64];
    uint64_t until;
    struct tm tm;
    time_t t;
    int fd;

    register_vm("bad", 0x02, "A", "low");
    fd = dial();
    hello(fd, 0x02, VGPU_PRIORITY_LOW, NULL);
    expect_welcome(fd);
    run_into_the_limit(fd);
    wait_for_quarantine();
    until = get_u64(VM("bad"), VGPU_INTERFACE_VM, "QuarantinedUntilUSec");
    assert_true(until > clock_usec(CLOCK_REALTIME));

    expect_in(" quarantined ", "list", "--interval=0", "bad");
    t = (time_t) (until / USEC_PER_SEC);
    assert_non_null(gmtime_r(&t, &tm));
    assert_true(strftime(when, sizeof(when), "%a %F %T UTC", &tm) > 0);
    snprintf(text, sizeof(text), "    Quarantined: for its faults, until %s\n", when);
    expect_in(text, "status", "bad");
    snprintf(text, sizeof(text), "\"quarantined_until_usec\":%llu,", (unsigned long long) until);
    expect_in(text, "status", "bad", "--json=short");
    expect_in("\"quarantine_reason\":\"fault-limit\"", "status", "bad", "--json=short");
    expect_in("note    domain   The requests of VM bad are refused: it is quarantined.\n"
              "                 Mend: vgpuctl status bad tells why; vgpuctl release bad\n",
              "check", "--connect=test:///default");

    ctl_expect("", "quarantine", "bad");
    expect_in("    Quarantined: by an administrator\n", "status", "bad");
    ctl_expect("", "release", "bad");

    write_config(CONFIG("infinity"));
    ctl_expect("", "reload");
    run_into_the_limit(fd);
    wait_for_quarantine();
    expect_in("    Quarantined: for its faults, until it is released\n", "status", "bad");
    ctl_expect("", "release", "bad");
    expect_in("          State: connected\n", "status", "bad");
    expect_add(fd, 0, 3, 0, 1, 1);
    close(fd);
    unregister_vm("bad");
}

/* ---- Shares ------------------------------------------------------------------------------- */

/* The number behind @key in the JSON that vgpuctl writes about one VM or pool. */
static double json_number(const char *verb, const char *name, const char *key)
{
    Ctl c = ctl_run(verb, "--json=short", "--interval=0", name);
    const char *found = strstr(c.out, key);
    double value = -1;

    if (!found || sscanf(found + strlen(key), "%lf", &value) != 1)
        fail_msg("no '%s' in: %s%s", key, c.out, c.err);
    ctl_release(&c);
    return value;
}

/* Products of matrices, one after another, for this long. */
static void compute(RingGuest *g, uint64_t usec)
{
    const uint64_t area = RING_WINDOW / 4, end = clock_usec(CLOCK_MONOTONIC) + usec;
    VGPUSubmission product = ring_guest_add(1, 256, area, 2 * area, 3 * area);

    product.opcode = VGPU_OP_RING_MATMUL;
    product.type = VGPU_TYPE_FLOAT32;
    product.n = product.k = product.a.stride = product.b.stride = product.c.stride = 256;
    while (clock_usec(CLOCK_MONOTONIC) < end) {
        ring_guest_submit(g, &product);
        expect_tag(g, 1);
    }
}

TEST(test_share)
{
    double share = 0, utilization;
    RingGuest g;
    int fd;

    register_vm("idle", 0x03, "A", "low");
    fd = ring_up(&g, 8, 0);
    for (unsigned i = 0; i < 40 && share < 0.05; i++) {
        compute(&g, USEC_PER_SEC / 2);
        share = json_number("list", "unregistered-5", "\"share\":");
    }
    utilization = json_number("pools", "A", "\"utilization\":");
    assert_true(share >= 0.05 && share <= 1);
    assert_true(utilization > share - 0.05 && utilization <= 1);
    assert_true(json_number("list", "idle", "\"share\":") == 0);
    expect_in("% of the last 10s\n", "status", "unregistered-5");
    expect_in("          Share: 0.0% of the last 10s\n", "status", "idle");
    ring_down(&g, fd);
    unregister_vm("idle");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_device),
        cmocka_unit_test(test_quarantine),
        cmocka_unit_test(test_share),
    };

    return cmocka_run_group_tests_name("ctl-states", tests, start, world_end);
}
