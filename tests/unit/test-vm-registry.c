/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* VMs that nobody registered: each gets a name of its own, at a price that does not grow. */
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "pools.h"
#include "test.h"
#include "vm-registry.h"

#define N 20000u

typedef struct Fixture {
    VMRegistry registry;
    Pools pools;
    Config config;
    Origins origins;
} Fixture;

static int setup(void **state)
{
    Fixture *f = calloc(1, sizeof(*f));

    assert_non_null(f);
    f->config.vm_queue_limit = 1;
    vm_registry_init(&f->registry, &f->pools, &f->config);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    Fixture *f = *state;

    vm_registry_clear(&f->registry);
    free(f);
    return 0;
}

static double cpu_seconds(void)
{
    return (double) clock() / CLOCKS_PER_SEC;
}

/* The processor time of @n VMs, whose numbers are all the same, or all different. */
static double add_vms(Fixture *f, unsigned n, bool same)
{
    double begin = cpu_seconds();

    for (unsigned i = 0; i < n; i++) {
        VM *vm;

        assert_int_equal(
            vm_registry_add_unregistered(&f->registry, same ? 0 : 1 + i, 'A', 0, NULL, &vm), 0);
    }
    return cpu_seconds() - begin;
}

static void test_names(void **state)
{
    Fixture *f = *state;
    VM *a, *b, *c;

    assert_int_equal(vm_registry_add_unregistered(&f->registry, 7, 'A', 0, NULL, &a), 0);
    assert_int_equal(vm_registry_add_unregistered(&f->registry, 7, 'A', 0, NULL, &b), 0);
    assert_int_equal(vm_registry_add_unregistered(&f->registry, 8, 'A', 0, NULL, &c), 0);
    assert_string_equal(a->name, "unregistered-7");
    assert_string_equal(b->name, "unregistered-7-2");
    assert_string_equal(c->name, "unregistered-8");
    assert_ptr_equal(vm_registry_find(&f->registry, b->name), b);
}

/* What its process did counts for a VM, where it is known which one that is. */
static void test_processes(void **state)
{
    const struct ucred shown = {.pid = getpid()}, hidden = {.pid = 0};
    Fixture *f = *state;
    Origin *a, *b;
    VM *vm, *other;

    origins_init(&f->origins);
    assert_int_equal(origin_get(&f->origins, &shown, &a), 0);
    assert_int_equal(origin_get(&f->origins, &hidden, &b), 0);
    assert_int_equal(vm_registry_add_unregistered(&f->registry, 7, 'A', 0, a, &vm), 0);
    assert_int_equal(vm_registry_add_unregistered(&f->registry, 8, 'A', 0, b, &other), 0);
    assert_ptr_equal(vm_faults(vm), &a->faults);
    assert_ptr_equal(vm_faults(other), &other->faults);
    vm_registry_clear(&f->registry);
    origin_unref(a);
    origin_unref(b);
    origins_clear(&f->origins);
}

/* A process is known by more than its number, or else its machine has to be asked for. */
static void test_may_be_gone(void **state)
{
    static const uint8_t uuid[16] = {1};
    const VMDevice device = {.require_machine = true};
    Fixture *f = *state;
    VMSettings settings;
    VM *vm;

    vm_settings_init(&settings);
    assert_int_equal(vm_registry_add(&f->registry, "vm", uuid, &settings, &device, 0, &vm), 0);
    assert_true(vm_registry_may_be_gone(vm));
    vm->leader = (Leader){.pid = getpid()};
    assert_true(vm_registry_may_be_gone(vm));
    vm->leader = (Leader){.pid = getpid(), .inode = 1};
    assert_false(vm_registry_may_be_gone(vm));
    vm->leader = (Leader){0};
    vm->device.require_machine = false;
    assert_false(vm_registry_may_be_gone(vm));
}

/* A peer chooses the number, and 20,000 times the same one takes seconds if every name with it is
 * tried. */
static void test_one_number_for_many(void **state)
{
    Fixture *f = *state;
    double different = add_vms(f, N, false), same = add_vms(f, N, true);

    assert_int_equal(f->registry.n, 2 * N);
    assert_true(same < 20 * different + 0.1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_names, setup, teardown),
        cmocka_unit_test_setup_teardown(test_processes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_may_be_gone, setup, teardown),
        cmocka_unit_test_setup_teardown(test_one_number_for_many, setup, teardown),
    };

    return cmocka_run_group_tests_name("vm-registry", tests, NULL, NULL);
}
