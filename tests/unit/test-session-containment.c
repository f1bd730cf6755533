/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * An attacker in the executor: a kernel of the fake driver, which is code in the executor's
 * process, tries what a session has no need of.
 */
#include "fake-attack.h"
#include "test-session-fixture.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MODULE 1u
#define ATTACK 1u

static const char *const names[FAKE_N_ATTACKS] = {
#define NAME_(name) [FAKE_ATTACK_##name] = #name,
    FAKE_ATTACKS(NAME_) NAME_(open_both)
#undef NAME_
#define NAME_(name) [FAKE_NEED_##name] = #name,
        FAKE_NEEDS(NAME_)
#undef NAME_
};

static char victim[] = "/var/tmp/vgpu-test-victim-XXXXXX";

/* Not below $TMPDIR. The executor's user could write it. */
static int make_victim(void **state)
{
    int fd = mkstemp(victim);

    (void) state;
    if (fd < 0)
        return -1;
    close(fd);
    return setenv("VGPU_TEST_VICTIM", victim, 1);
}

static int remove_victim(void **state)
{
    (void) state;
    return unlink(victim);
}

static bool has_landlock(void)
{
    return syscall(SYS_landlock_create_ruleset, NULL, 0, 1 /* LANDLOCK_CREATE_RULESET_VERSION */) >
           0;
}

static void attack(World *w, FakeAttack *ret)
{
    uint64_t memory = world_alloc(w, FAKE_N_ATTACKS * sizeof(*ret));

    session_guest_load(&w->g, 1, getenv("VGPU_FAKE_ATTACK"), MODULE);
    session_guest_function(&w->g, 1, MODULE, "attack", ATTACK);
    session_guest_launch(&w->g, 1, 0, ATTACK, &memory, sizeof(memory));
    world_settle(w, 0);
    world_read(w, memory, ret, FAKE_N_ATTACKS * sizeof(*ret));
}

static void expect_contained(const FakeAttack *results)
{
    for (unsigned i = 0; i <= FAKE_ATTACK_x32; i++)
        if (results[i].error != EPERM)
            fail_msg("%s: error %d", names[i], results[i].error);
    for (unsigned i = FAKE_ATTACK_x32 + 1; i < FAKE_ATTACK_open_both; i++)
        if (results[i].error != 0)
            fail_msg("%s, which the driver needs: error %d", names[i], results[i].error);
    if (has_landlock())
        assert_int_equal(results[FAKE_ATTACK_open_both].error, EACCES);
}

TEST(test_first_context)
{
    FakeAttack results[FAKE_N_ATTACKS];
    World w = {0};

    world_begin(&w, NULL);
    attack(&w, results);
    world_end(&w);
    expect_contained(results);
}

/* The same of an executor that has made its context before it has a guest. */
TEST(test_warm)
{
    FakeAttack results[FAKE_N_ATTACKS];
    World w = {0};

    session_guest_open(&w.g, &(SessionGuestOptions){.window_base = UINT64_C(0x300000000000)});
    session_guest_spawn(&w.g, NULL);
    session_guest_warm(&w.g, "");
    assert_int_equal(session_guest_start(&w.g), 0);
    session_guest_context(&w.g, 1, true);
    w.fence_at = session_guest_alloc(&w.g, sizeof(uint64_t));
    attack(&w, results);
    world_end(&w);
    expect_contained(results);
}

/* Nothing that the executor inherited, and no core dump with a guest's data */
TEST(test_process)
{
    char path[64], line[256];
    bool has_limit = false, has_mode = false;
    World w = {0};
    FILE *f;

    world_begin(&w, NULL);
    snprintf(path, sizeof(path), "/proc/%d/limits", (int) w.g.pid);
    f = fopen(path, "re");
    assert_non_null(f);
    while (fgets(line, sizeof(line), f))
        has_limit |= strncmp(line, "Max core file size        0                    0 ", 48) == 0;
    fclose(f);
    snprintf(path, sizeof(path), "/proc/%d/status", (int) w.g.pid);
    f = fopen(path, "re");
    assert_non_null(f);
    while (fgets(line, sizeof(line), f))
        has_mode |= strcmp(line, "NoNewPrivs:\t1\n") == 0;
    fclose(f);
    snprintf(path, sizeof(path), "/proc/%d/fd/100", (int) w.g.pid);
    assert_true(access(path, F_OK) < 0);
    world_end(&w);
    assert_true(has_limit);
    assert_true(has_mode);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_first_context),
        cmocka_unit_test(test_warm),
        cmocka_unit_test(test_process),
    };

    world_main(argc, argv);
    if (dup2(STDIN_FILENO, 100) < 0) /* to be inherited */
        return EXIT_FAILURE;
    return cmocka_run_group_tests_name("session-containment", tests, make_victim, remove_victim);
}
