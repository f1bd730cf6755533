/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Answers about all VMs, and what is announced of them: right, and no burden to requests. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "test.h"
#include "world.h"

#define MANY 1000

static int start(void **state)
{
    (void) state;
    return world_start("[Pool A]\nBackend=cpu\n[Pool C]\nBackend=cpu\n"
                       "[Unregistered]\nPolicy=allow\n");
}

/* Returns the call's cookie. */
static uint64_t send_call(const char *path, const char *interface, const char *member)
{
    sd_bus_message *m = NULL;
    uint64_t cookie;

    assert_true(sd_bus_message_new_method_call(bus, &m, VGPU_BUS_NAME, path, interface, member) >=
                0);
    assert_true(sd_bus_send(bus, m, &cookie) >= 0);
    sd_bus_message_unref(m);
    return cookie;
}

static uint64_t send_get_objects(void)
{
    return send_call(VGPU_OBJECT_MANAGER, "org.freedesktop.DBus.ObjectManager",
                     "GetManagedObjects");
}

/* Returns the next message, or NULL where none has come in @usec; to be unreferenced. */
static sd_bus_message *next_message(uint64_t usec)
{
    sd_bus_message *m = NULL;

    for (uint64_t end = now_usec() + usec;;) {
        uint64_t now;

        assert_true(sd_bus_process(bus, &m) >= 0);
        now = now_usec();
        if (m || now >= end)
            return m;
        assert_true(sd_bus_wait(bus, end - now) >= 0);
    }
}

static sd_bus_message *reply_to(uint64_t cookie)
{
    for (;;) {
        sd_bus_message *m = next_message(20 * USEC_PER_SEC);
        uint64_t of;

        assert_non_null(m);
        if (sd_bus_message_get_reply_cookie(m, &of) >= 0 && of == cookie)
            return m;
        sd_bus_message_unref(m);
    }
}

/* ---- The answer ----------------------------------------------------------------------- */

static int compare_text(const void *a, const void *b)
{
    return strcmp(*(char *const *) a, *(char *const *) b);
}

/* Reads a{sv}. Returns the names in order, with the values that are text, as one string, which is
 * to be freed. */
static char *read_properties(sd_bus_message *m)
{
    char *lines[128], *text = NULL;
    const char *name, *contents;
    size_t n = 0, size;
    FILE *f;

    assert_true(sd_bus_message_enter_container(m, 'a', "{sv}") >= 0);
    while (sd_bus_message_enter_container(m, 'e', "sv") > 0) {
        const char *value = "";

        assert_true(n < 128);
        assert_true(sd_bus_message_read(m, "s", &name) > 0);
        assert_true(sd_bus_message_peek_type(m, NULL, &contents) > 0);
        if (strcmp(contents, "s") == 0)
            assert_true(sd_bus_message_read(m, "v", "s", &value) > 0);
        else
            assert_true(sd_bus_message_skip(m, "v") >= 0);
        assert_true(asprintf(&lines[n++], "%s %s %s", name, contents, value) > 0);
        assert_true(sd_bus_message_exit_container(m) >= 0);
    }
    assert_true(sd_bus_message_exit_container(m) >= 0);

    qsort(lines, n, sizeof(lines[0]), compare_text);
    f = open_memstream(&text, &size);
    for (size_t i = 0; i < n; i++) {
        fprintf(f, "%s\n", lines[i]);
        free(lines[i]);
    }
    fclose(f);
    return text;
}

static char *get_all(const char *path, const char *interface)
{
    sd_bus_message *reply = NULL;
    char *text;

    assert_true(sd_bus_call_method(bus, VGPU_BUS_NAME, path, "org.freedesktop.DBus.Properties",
                                   "GetAll", NULL, &reply, "s", interface) >= 0);
    text = read_properties(reply);
    sd_bus_message_unref(reply);
    return text;
}

/* An object in the answer has what the object itself tells. Returns whether it was a VM. */
static bool check_object(sd_bus_message *m)
{
    const char *path, *interface;
    bool found = false, is_vm;

    assert_true(sd_bus_message_read(m, "o", &path) > 0);
    is_vm = strncmp(path, VGPU_OBJECT_VM, strlen(VGPU_OBJECT_VM)) == 0;
    assert_true(sd_bus_message_enter_container(m, 'a', "{sa{sv}}") > 0);
    while (sd_bus_message_enter_container(m, 'e', "sa{sv}") > 0) {
        char *told, *own;

        assert_true(sd_bus_message_read(m, "s", &interface) > 0);
        told = read_properties(m);
        own = get_all(path, interface);
        assert_string_equal(told, own);
        found |= strcmp(interface, is_vm ? VGPU_INTERFACE_VM : VGPU_INTERFACE_POOL) == 0 &&
                 strstr(told, "\nName s ");
        free(told);
        free(own);
        assert_true(sd_bus_message_exit_container(m) >= 0);
    }
    assert_true(sd_bus_message_exit_container(m) >= 0);
    assert_true(found);
    return is_vm;
}

TEST(test_answer_is_what_objects_tell)
{
    unsigned n = 0, n_vms = 0;
    sd_bus_message *m;

    assert_int_equal(test_mediator_wait_log(&mediator, "pool A: computing"), 0);
    assert_int_equal(test_mediator_wait_log(&mediator, "pool C: computing"), 0);
    register_vm("a", 1, "A", "low");
    register_vm("b c", 2, "C", "high");
    m = reply_to(send_get_objects());
    assert_true(sd_bus_message_has_signature(m, "a{oa{sa{sv}}}") > 0);
    assert_true(sd_bus_message_enter_container(m, 'a', "{oa{sa{sv}}}") > 0);
    while (sd_bus_message_enter_container(m, 'e', "oa{sa{sv}}") > 0) {
        n++;
        n_vms += check_object(m);
        assert_true(sd_bus_message_exit_container(m) >= 0);
    }
    sd_bus_message_unref(m);
    assert_int_equal(n, 4);
    assert_int_equal(n_vms, 2);
    call_manager(NULL, "UnregisterVM", "s", "a");
    call_manager(NULL, "UnregisterVM", "s", "b c");
}

/* ---- In pieces ------------------------------------------------------------------------- */

static void register_many(void)
{
    for (unsigned i = 0; i < MANY; i++) {
        char name[16], uuid[40];

        snprintf(name, sizeof(name), "vm%u", i);
        snprintf(uuid, sizeof(uuid), "00000000-0000-0000-0001-%012u", i + 1);
        call_manager(NULL, "RegisterVM", "ssssa{sv}", name, uuid, "A", "medium", 0);
    }
}

/* Returns the longest time that a request took while an answer was made, as a part of the time that
 * the answer took. */
static double longest_wait(int fd)
{
    uint64_t begin = now_usec(), last = begin, longest = 0, cookie = send_get_objects(), of = 0;

    assert_true(sd_bus_flush(bus) >= 0);
    while (of != cookie) {
        sd_bus_message *m;
        uint64_t now;

        expect_add(fd, 77, 5, VGPU_PRIORITY_LOW, 1, 2);
        now = now_usec();
        longest = now - last > longest ? now - last : longest;
        m = next_message(0);
        if (m && sd_bus_message_get_reply_cookie(m, &of) < 0)
            of = 0;
        sd_bus_message_unref(m);
        last = now_usec();
    }
    return (double) longest / (double) (last - begin);
}

/* Made in one go, the answer holds a request for most of its time. A busy machine can hold one,
 * too, but not each time. */
TEST(test_requests_do_not_wait_for_the_answer)
{
    double least = 1;
    int fd = dial();

    register_many();
    for (unsigned i = 0; i < 10; i++) {
        double part = longest_wait(fd);

        least = part < least ? part : least;
    }
    if (least > 0.15)
        fail_msg("a request waited for %.2f of the time of an answer", least);
    close(fd);
}

/* One connection can have four such calls in hand, and another one is served beside it. */
TEST(test_calls_of_one_connection)
{
    unsigned answered = 0, refused = 0;
    sd_bus *other = NULL;

    assert_true(sd_bus_open_system(&other) >= 0);
    for (unsigned i = 0; i < 6; i++)
        (void) send_get_objects();
    assert_true(sd_bus_flush(bus) >= 0);
    assert_true(sd_bus_call_method(other, VGPU_BUS_NAME, VGPU_OBJECT_MANAGER,
                                   VGPU_INTERFACE_MANAGER, "ListVMs", NULL, NULL, NULL) >= 0);
    while (answered + refused < 6) {
        sd_bus_message *m = next_message(20 * USEC_PER_SEC);

        assert_non_null(m);
        answered += sd_bus_message_has_signature(m, "a{oa{sa{sv}}}") > 0;
        refused += sd_bus_message_is_method_error(m, SD_BUS_ERROR_LIMITS_EXCEEDED) > 0;
        sd_bus_message_unref(m);
    }
    assert_int_equal(answered, 4);
    assert_int_equal(refused, 2);
    sd_bus_flush_close_unref(other);
}

/* So is the list of the objects' names. */
TEST(test_introspection)
{
    unsigned answered = 0, refused = 0;

    for (unsigned i = 0; i < 6; i++)
        (void) send_call(VGPU_OBJECT_VM, "org.freedesktop.DBus.Introspectable", "Introspect");
    while (answered + refused < 6) {
        sd_bus_message *m = next_message(20 * USEC_PER_SEC);
        const char *text;

        assert_non_null(m);
        refused += sd_bus_message_is_method_error(m, SD_BUS_ERROR_LIMITS_EXCEEDED) > 0;
        if (sd_bus_message_has_signature(m, "s") > 0 &&
            sd_bus_message_is_method_error(m, NULL) == 0 &&
            sd_bus_message_read(m, "s", &text) > 0) {
            answered++;
            assert_non_null(strstr(text, "<node name=\"vm0\"/>"));
            assert_non_null(strstr(text, "<node name=\"vm999\"/>"));
        }
        sd_bus_message_unref(m);
    }
    assert_int_equal(answered, 4);
    assert_int_equal(refused, 2);
    assert_int_equal(system("busctl tree --list " VGPU_BUS_NAME " | grep -qx " VM("vm500")), 0);
}

/* ---- What a reader knows who follows the signals ---------------------------------------- */

typedef struct Known {
    char weight[16]; /* of vm0 */
    bool vm1;
    int connected; /* whether "busy" is */
} Known;

/* Reads a{sv}. */
static void learn_properties(sd_bus_message *m, const char *path, Known *known)
{
    const char *name;
    uint32_t value;

    assert_true(sd_bus_message_enter_container(m, 'a', "{sv}") >= 0);
    while (sd_bus_message_enter_container(m, 'e', "sv") > 0) {
        assert_true(sd_bus_message_read(m, "s", &name) > 0);
        if (strcmp(path, VM("busy")) == 0 && strcmp(name, "Connected") == 0) {
            assert_true(sd_bus_message_read(m, "v", "b", &known->connected) > 0);
        } else if (strcmp(path, VM("vm0")) == 0 && strcmp(name, "Weight") == 0) {
            assert_true(sd_bus_message_read(m, "v", "u", &value) > 0);
            snprintf(known->weight, sizeof(known->weight), "%u", value);
        } else {
            assert_true(sd_bus_message_skip(m, "v") >= 0);
        }
        assert_true(sd_bus_message_exit_container(m) >= 0);
    }
    assert_true(sd_bus_message_exit_container(m) >= 0);
}

static void learn_objects(sd_bus_message *m, Known *known)
{
    const char *path;

    assert_true(sd_bus_message_enter_container(m, 'a', "{oa{sa{sv}}}") > 0);
    while (sd_bus_message_enter_container(m, 'e', "oa{sa{sv}}") > 0) {
        assert_true(sd_bus_message_read(m, "o", &path) > 0);
        known->vm1 |= strcmp(path, VM("vm1")) == 0;
        assert_true(sd_bus_message_enter_container(m, 'a', "{sa{sv}}") > 0);
        while (sd_bus_message_enter_container(m, 'e', "sa{sv}") > 0) {
            assert_true(sd_bus_message_skip(m, "s") >= 0);
            learn_properties(m, path, known);
            assert_true(sd_bus_message_exit_container(m) >= 0);
        }
        assert_true(sd_bus_message_exit_container(m) >= 0);
        assert_true(sd_bus_message_exit_container(m) >= 0);
    }
}

static void learn(sd_bus_message *m, Known *known)
{
    const char *text;

    if (sd_bus_message_has_signature(m, "a{oa{sa{sv}}}") > 0) {
        learn_objects(m, known);
    } else if (sd_bus_message_is_signal(m, NULL, "InterfacesRemoved") > 0) {
        assert_true(sd_bus_message_read(m, "o", &text) > 0);
        if (strcmp(text, VM("vm1")) == 0)
            known->vm1 = false;
    } else if (sd_bus_message_is_signal(m, NULL, "PropertiesChanged") > 0) {
        assert_true(sd_bus_message_skip(m, "s") >= 0);
        learn_properties(m, sd_bus_message_get_path(m), known);
    }
}

/* Sends a call, and does not wait. */
static void change(const char *member, const char *types, ...)
{
    sd_bus_message *m = NULL;
    va_list ap;

    assert_true(sd_bus_message_new_method_call(bus, &m, VGPU_BUS_NAME, VGPU_OBJECT_MANAGER,
                                               VGPU_INTERFACE_MANAGER, member) >= 0);
    va_start(ap, types);
    assert_true(sd_bus_message_appendv(m, types, ap) >= 0);
    va_end(ap);
    assert_true(sd_bus_send(bus, m, NULL) >= 0);
    sd_bus_message_unref(m);
}

/* Changes that come while the answer is made are known to who reads all in its order. */
TEST(test_changes_while_the_answer_is_made)
{
    Known known = {0};
    sd_bus_message *m;

    (void) send_get_objects();
    change("SetVMLimits", "sa{sv}b", "vm0", 1, "Weight", "u", 300, 1);
    change("UnregisterVM", "s", "vm1");
    while ((m = next_message(2 * USEC_PER_SEC))) {
        learn(m, &known);
        sd_bus_message_unref(m);
    }
    assert_string_equal(known.weight, "300");
    assert_false(known.vm1);
}

/* ---- What a guest can have sent ----------------------------------------------------------- */

static void connect_and_go(uint8_t tag)
{
    int fd = dial();

    hello(fd, tag, VGPU_PRIORITY_LOW, NULL);
    (void) expect_welcome(fd);
    close(fd);
}

/* A guest that comes and goes is announced once a second, and what an administrator does at once.
 */
TEST(test_guest_cannot_flood_the_bus)
{
    uint64_t begin = now_usec(), seconds;
    unsigned n = 0, added = 0;
    Known known = {0};
    sd_bus_message *m;
    int fd;

    register_vm("busy", 9, "A", "low");
    for (unsigned i = 0; i < 200; i++) {
        connect_and_go(9);
        connect_and_go(200); /* which nobody registered */
    }
    call_manager(NULL, "SetVMPriority", "ssb", "busy", "high", 1);
    seconds = (now_usec() - begin) / USEC_PER_SEC;
    while ((m = next_message(0))) {
        n += sd_bus_message_is_signal(m, NULL, "PropertiesChanged") > 0 &&
             strcmp(sd_bus_message_get_path(m), VM("busy")) == 0;
        added += sd_bus_message_is_signal(m, NULL, "VMAdded") > 0;
        learn(m, &known);
        sd_bus_message_unref(m);
    }
    /* The first change of the guest, one a second, and the administrator's. */
    assert_true(n >= 2 && n <= seconds + 3);
    assert_true(added <= 10 * (seconds + 1) + 2);

    /* What it is in the end is announced, if later. */
    fd = dial();
    hello(fd, 9, VGPU_PRIORITY_LOW, NULL);
    (void) expect_welcome(fd);
    while ((m = next_message(3 * USEC_PER_SEC))) {
        learn(m, &known);
        sd_bus_message_unref(m);
    }
    assert_true(known.connected);
    close(fd);
    while (known.connected) {
        m = next_message(20 * USEC_PER_SEC);
        assert_non_null(m);
        learn(m, &known);
        sd_bus_message_unref(m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answer_is_what_objects_tell),
        cmocka_unit_test(test_guest_cannot_flood_the_bus),
        cmocka_unit_test(test_requests_do_not_wait_for_the_answer),
        cmocka_unit_test(test_calls_of_one_connection),
        cmocka_unit_test(test_introspection),
        cmocka_unit_test(test_changes_while_the_answer_is_made),
    };

    return cmocka_run_group_tests_name("objects", tests, start, world_end);
}
