/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libvirt's hook, run as libvirt runs it, with a real mediator on a private bus.
 * Whatever is broken, its answer must come in time and be the right one.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cleanup.h"
#include "clock.h"
#include "hooks-config.h"
#include "record.h"
#include "test.h"
#include "vgpu-protocol.h"
#include "world.h"

#define UUID "6f1d8c1e-2a47-4d0b-9f0e-0c5b7a1e4d11"
#define OTHER "00000000-1111-4222-8333-444444444444"

/* The hook must answer within this time. */
#define LIMIT_MSEC 5000

#define ELEMENT(attributes) "<vgpu:device xmlns:vgpu='urn:vgpu-mediator:domain:1' " attributes "/>"
#define GOOD \
    ELEMENT("pool='B' priority='high' queue-limit='9' request-rate-limit='70' weight='250'")

typedef struct Result {
    int status;
    char out[1024];
    char err[1024];
    unsigned msec;
} Result;

/* ---- Running it ------------------------------------------------------------------------------ */

static void read_back(FILE *f, char *buf, size_t size)
{
    rewind(f);
    buf[fread(buf, 1, size - 1, f)] = '\0';
    fclose(f);
}

/* @xml NULL: stdin stays open and silent. */
static Result run(const char *name, const char *operation, const char *sub, const char *xml)
{
    FILE *out = tmpfile(), *err = tmpfile();
    uint64_t start = now_usec();
    Result result;
    int in[2], status;
    pid_t pid;

    /* The pipe has room for all of it, so a hook that reads nothing does no harm. */
    assert_int_equal(pipe2(in, O_CLOEXEC), 0);
    if (xml)
        assert_int_equal(write(in[1], xml, strlen(xml)), strlen(xml));
    pid = fork();
    if (pid == 0) {
        dup2(in[0], STDIN_FILENO);
        dup2(fileno(out), STDOUT_FILENO);
        dup2(fileno(err), STDERR_FILENO);
        execl(getenv("VGPU_TEST_HOOK"), "50-vgpu-mediator", name, operation, sub, "-", NULL);
        _exit(126);
    }
    close(in[0]);
    if (xml)
        close(in[1]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (!xml)
        close(in[1]);

    result.msec = (unsigned) ((now_usec() - start) / USEC_PER_MSEC);
    result.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    read_back(out, result.out, sizeof(result.out));
    read_back(err, result.err, sizeof(result.err));

    if (result.msec >= LIMIT_MSEC)
        fail_msg("%s took %u ms", operation, result.msec);
    assert_string_equal(result.out, ""); /* libvirt would take it for XML */
    return result;
}

static char *domain(const char *name, const char *uuid, const char *metadata)
{
    static char xml[4096];

    snprintf(xml, sizeof(xml),
             "<domain type='kvm' id='1'>\n  <name>%s</name>\n  <uuid>%s</uuid>\n"
             "  <metadata>%s</metadata>\n</domain>\n",
             name, uuid, metadata);
    return xml;
}

static Result prepare(const char *metadata)
{
    return run("web1", "prepare", "begin", domain("web1", UUID, metadata));
}

static Result release(const char *metadata)
{
    return run("web1", "release", "end", domain("web1", UUID, metadata));
}

static Result reconnect(const char *metadata)
{
    return run("web1", "reconnect", "begin", domain("web1", UUID, metadata));
}

static uint32_t number_of_web1(const char *property)
{
    return get_u32(VM("web1"), VGPU_INTERFACE_VM, property);
}

static void expect_silent_success(Result r)
{
    if (r.status != 0 || r.err[0] != '\0')
        fail_msg("status %d: %s", r.status, r.err);
}

/* The hook ends with @status and one line that has these words. */
static void expect_words(const Result *r, int status, const char *words)
{
    if (r->status != status || !strstr(r->err, words))
        fail_msg("status %d, not %d, and '%s', not '%s'", r->status, status, r->err, words);
    assert_true(strncmp(r->err, "vgpu-mediator: ", 15) == 0);
    assert_ptr_equal(strchr(r->err, '\n'), r->err + strlen(r->err) - 1);
}

static void expect_refused(Result r, const char *words)
{
    expect_words(&r, 1, words);
}

static void expect_without(Result r, const char *words)
{
    expect_words(&r, 0, "starts without its vgpu device");
    expect_words(&r, 0, words);
}

static bool has_record(void)
{
    return access(DOMAINS_DIR "/" UUID, F_OK) == 0;
}

static bool is_known(const char *name)
{
    return sd_bus_call_method(bus, VGPU_BUS_NAME, VGPU_OBJECT_MANAGER, VGPU_INTERFACE_MANAGER,
                              "GetVM", NULL, NULL, "s", name) >= 0;
}

/* ---- The world --------------------------------------------------------------------------- */

static int start(void **state)
{
    char parent[] = DOMAINS_DIR;

    (void) state;
    *strrchr(parent, '/') = '\0';
    if (mkdir(parent, 0755) < 0 && errno != EEXIST)
        return -1;
    (void) record_remove(DOMAINS_DIR, UUID);
    return world_start("[Pool A]\nBackend=cpu\n[Pool B]\nBackend=cpu\n");
}

/* Each test leaves no record and no VM. */
static int check_clean(void **state)
{
    (void) state;
    if (has_record() || is_known("web1")) {
        print_error("something was left over\n");
        (void) release(GOOD);
        return -1;
    }
    return 0;
}

/* ---- A domain's life --------------------------------------------------------------------- */

TEST(test_prepare_and_release)
{
    Record record;

    expect_silent_success(prepare(GOOD));
    expect_text(VM("web1"), VGPU_INTERFACE_VM, "UUID", UUID);
    expect_text(VM("web1"), VGPU_INTERFACE_VM, "Pool", "B");
    expect_text(VM("web1"), VGPU_INTERFACE_VM, "Priority", "high");
    assert_int_equal(number_of_web1("QueueLimit"), 9);
    assert_int_equal(number_of_web1("RequestRateLimit"), 70);
    assert_int_equal(number_of_web1("Weight"), 250);

    assert_int_equal(record_read(DOMAINS_DIR, UUID, geteuid(), &record), 0);
    assert_int_equal(record.pool, 'B');
    assert_int_equal(record.priority, VGPU_PRIORITY_HIGH);
    assert_int_equal(record.vm_id, number_of_web1("VMID"));

    expect_silent_success(release(GOOD));
}

TEST(test_what_is_not_named_has_the_mediators_default)
{
    expect_silent_success(prepare(ELEMENT("pool='A' priority='low'")));
    assert_int_equal(number_of_web1("QueueLimit"), 64);
    assert_int_equal(number_of_web1("RequestRateLimit"), 0);
    assert_int_equal(number_of_web1("Weight"), 100);
    expect_silent_success(release(ELEMENT("pool='A' priority='low'")));
}

TEST(test_prepare_twice)
{
    expect_silent_success(prepare(GOOD));
    expect_silent_success(prepare(GOOD));
    expect_silent_success(release(GOOD));
    expect_silent_success(release(GOOD));
}

TEST(test_release_looks_at_the_record_too)
{
    expect_silent_success(prepare(GOOD));
    /* The element was taken out, or spoilt, while the domain ran. */
    expect_silent_success(release(""));
    expect_silent_success(prepare(GOOD));
    expect_silent_success(release(ELEMENT("pool='nonsense'")));
}

/* ---- Refused ----------------------------------------------------------------------------- */

TEST(test_a_wrong_element_refuses_the_start)
{
    expect_refused(prepare(ELEMENT("pool='A' priority='urgent'")),
                   "domain 'web1': <vgpu:device> in its <metadata>: priority is 'urgent': it must "
                   "be high, medium or low");
    expect_refused(prepare(ELEMENT("pool='A' priority='low' color='red'")),
                   "color is no attribute");
    expect_refused(prepare(GOOD GOOD), "twice");
    expect_silent_success(release(GOOD GOOD));
}

/* libvirt takes such a name, so the start must not fail. */
TEST(test_a_name_that_nobody_sees_starts_without_device)
{
    Result r = run("web\u202e1", "prepare", "begin", domain("web\u202e1", UUID, GOOD));

    assert_int_equal(r.status, 0);
    assert_non_null(strstr(r.err, "starts without its vgpu device"));
    assert_non_null(strstr(r.err, "U+202E at byte 4"));
    assert_false(has_record());
}

TEST(test_a_pool_that_is_not_there_refuses_the_start)
{
    expect_refused(prepare(ELEMENT("pool='Z' priority='low'")), "Z");
    expect_silent_success(release(ELEMENT("pool='Z' priority='low'")));
}

TEST(test_another_VM_of_the_name_stays)
{
    call_manager(NULL, "RegisterVM", "ssssa{sv}", "web1", OTHER, "A", "low", 0);
    expect_refused(prepare(GOOD), "web1");
    /* libvirt calls release after a refusal too. */
    expect_silent_success(release(GOOD));
    expect_text(VM("web1"), VGPU_INTERFACE_VM, "UUID", OTHER);
    call_manager(NULL, "UnregisterVM", "s", "web1");
}

/* ---- Not asked at all -------------------------------------------------------------------- */

static void set_bus_address(const char *path)
{
    char address[160];

    snprintf(address, sizeof(address), "unix:path=%s", path);
    setenv("DBUS_SYSTEM_BUS_ADDRESS", address, 1);
}

/* A bus that accepts nobody: connections wait. */
static int open_silent_bus(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    snprintf(address.sun_path, sizeof(address.sun_path), "%s/silent", test_bus.directory);
    (void) unlink(address.sun_path);
    assert_int_equal(bind(fd, (struct sockaddr *) &address, sizeof(address)), 0);
    assert_int_equal(listen(fd, 8), 0);
    set_bus_address(address.sun_path);
    return fd;
}

static void close_silent_bus(int fd)
{
    char text[160];

    close(fd);
    snprintf(text, sizeof(text), "%s/silent", test_bus.directory);
    (void) unlink(text);
    set_bus_address(test_bus.socket);
}

TEST(test_who_has_no_element_is_nobodys_business)
{
    static const char *const others[][2] = {
        {"start", "begin"},   {"started", "begin"}, {"stopped", "end"}, {"attach", "begin"},
        {"migrate", "begin"}, {"restore", "begin"}, {"prepare", "end"}, {"future", "begin"},
    };
    int fd = open_silent_bus();

    expect_silent_success(prepare(""));
    expect_silent_success(prepare("<x:vgpu xmlns:x='urn:x'/>"));
    expect_silent_success(release(""));
    expect_silent_success(reconnect(""));
    expect_silent_success(reconnect(GOOD)); /* but no record */
    for (size_t i = 0; i < ELEMENTSOF(others); i++)
        expect_silent_success(run("web1", others[i][0], others[i][1], domain("web1", UUID, GOOD)));
    assert_true(accept(fd, NULL, NULL) < 0 && errno == EAGAIN);
    close_silent_bus(fd);
}

TEST(test_a_record_left_behind_is_not_taken_for_a_new_one)
{
    const Record record = {.pool = 'A', .priority = VGPU_PRIORITY_LOW, .vm_id = 1};

    assert_int_equal(record_write(DOMAINS_DIR, UUID, &record), 0);
    expect_silent_success(prepare(""));
    assert_false(has_record());
}

TEST(test_usage)
{
    char *command;

    assert_true(asprintf(&command, "'%s' web1 prepare 2>&1 </dev/null | grep -q '^Usage: '",
                         getenv("VGPU_TEST_HOOK")) > 0);
    assert_int_equal(system(command), 0);
    free(command);
}

/* ---- A mediator that does not work ------------------------------------------------------- */

TEST(test_XML_that_cannot_be_read_stops_nobody)
{
    Result r = run("web1", "prepare", "begin", "<domain");

    expect_words(&r, 0, "cannot parse the domain's XML");
    r = run("web1", "release", "end", "");
    expect_words(&r, 0, "there is no domain XML");
}

TEST(test_stdin_that_never_ends)
{
    Result r = run("web1", "prepare", "begin", NULL);

    expect_words(&r, 0, "took too long");
}

TEST(test_no_bus)
{
    set_bus_address("/nonexistent/bus");
    expect_without(prepare(GOOD), "No such file or directory");
    assert_false(has_record());
    assert_int_equal(release(GOOD).status, 0);
    set_bus_address(test_bus.socket);
}

TEST(test_a_bus_that_lets_nobody_in)
{
    int fd = open_silent_bus();

    expect_without(prepare(GOOD), "no answer in time");
    assert_false(has_record());
    assert_int_equal(release(GOOD).status, 0);
    close_silent_bus(fd);
}

TEST(test_a_bus_that_hangs)
{
    assert_int_equal(kill(test_bus.pid, SIGSTOP), 0);
    expect_without(prepare(GOOD), "no answer in time");
    assert_false(has_record());
    assert_int_equal(release(GOOD).status, 0);
    assert_int_equal(kill(test_bus.pid, SIGCONT), 0);
}

TEST(test_a_mediator_that_hangs)
{
    assert_int_equal(kill(mediator.pid, SIGSTOP), 0);
    expect_without(prepare(GOOD), "no answer in time");
    assert_false(has_record());
    assert_int_equal(kill(mediator.pid, SIGCONT), 0);

    /* It has registered the VM, though nobody waits for the answer any more. */
    expect_signal(VGPU_OBJECT_MANAGER, "VMAdded", "web1");
    expect_silent_success(release(GOOD));
}

TEST(test_a_mediator_that_hangs_at_the_end)
{
    Result r;

    expect_silent_success(prepare(GOOD));
    assert_int_equal(kill(mediator.pid, SIGSTOP), 0);
    r = release(GOOD);
    expect_words(&r, 0, "cannot be unregistered: no answer in time");
    assert_false(has_record());
    assert_int_equal(kill(mediator.pid, SIGCONT), 0);
    expect_silent_success(release(GOOD));
}

TEST(test_no_mediator)
{
    Result r;

    assert_int_equal(test_mediator_signal_and_wait(&mediator, SIGKILL), 128 + SIGKILL);
    expect_without(prepare(GOOD), VGPU_BUS_NAME);
    assert_false(has_record());
    r = release(GOOD);
    assert_int_equal(r.status, 0);
    assert_int_equal(test_mediator_run(&mediator, "system"), 0);
    wait_for_name();
}

TEST(test_a_record_that_cannot_be_written)
{
    (void) rmdir(DOMAINS_DIR);
    assert_int_equal(symlink("/dev/null", DOMAINS_DIR), 0);
    expect_without(prepare(GOOD), "Not a directory");
    assert_int_equal(unlink(DOMAINS_DIR), 0);
    expect_silent_success(release(GOOD));
}

/* ---- libvirtd was restarted -------------------------------------------------------------- */

TEST(test_reconnect_leaves_alone_what_is_known)
{
    expect_silent_success(prepare(GOOD));
    call_manager(NULL, "SetVMPriority", "ssb", "web1", "low", true);
    expect_silent_success(reconnect(GOOD));
    expect_text(VM("web1"), VGPU_INTERFACE_VM, "Priority", "low");
    expect_silent_success(release(GOOD));
}

TEST(test_reconnect_registers_what_was_forgotten)
{
    uint32_t id;

    call_manager(NULL, "RegisterVM", "ssssa{sv}", "first", OTHER, "A", "low", 0);
    expect_silent_success(prepare(GOOD));
    id = number_of_web1("VMID");
    call_manager(NULL, "UnregisterVM", "s", "first");
    call_manager(NULL, "UnregisterVM", "s", "web1");

    /* Pool and priority are those that the device was attached with, whatever the element says now.
     */
    expect_silent_success(reconnect(ELEMENT("pool='A' priority='low' queue-limit='5' weight='7'")));
    assert_int_equal(number_of_web1("VMID"), id);
    expect_text(VM("web1"), VGPU_INTERFACE_VM, "Pool", "B");
    expect_text(VM("web1"), VGPU_INTERFACE_VM, "Priority", "high");
    assert_int_equal(number_of_web1("QueueLimit"), 5);
    assert_int_equal(number_of_web1("Weight"), 7);
    expect_silent_success(release(GOOD));
}

TEST(test_reconnect_takes_another_number_when_its_own_is_taken)
{
    uint32_t id;

    expect_silent_success(prepare(GOOD));
    id = number_of_web1("VMID");
    call_manager(NULL, "UnregisterVM", "s", "web1");
    call_manager(NULL, "RegisterVM", "ssssa{sv}", "other", OTHER, "A", "low", 1, "VMID", "u", id);

    expect_silent_success(reconnect(GOOD));
    assert_int_not_equal(number_of_web1("VMID"), id);
    call_manager(NULL, "UnregisterVM", "s", "other");
    expect_silent_success(release(GOOD));
}

TEST(test_reconnect_never_fails)
{
    Result r;

    expect_silent_success(prepare(GOOD));
    call_manager(NULL, "UnregisterVM", "s", "web1");
    call_manager(NULL, "RegisterVM", "ssssa{sv}", "web1", OTHER, "A", "low", 0);
    r = reconnect(GOOD);
    expect_words(&r, 0, "may not be registered");
    call_manager(NULL, "UnregisterVM", "s", "web1");

    assert_int_equal(kill(mediator.pid, SIGSTOP), 0);
    r = reconnect(GOOD);
    expect_words(&r, 0, "may not be registered: no answer in time");
    assert_int_equal(kill(mediator.pid, SIGCONT), 0);

    assert_int_equal(reconnect(ELEMENT("pool='nonsense'")).status, 0);
    assert_int_equal(run("web1", "reconnect", "begin", "nonsense").status, 0);
    expect_silent_success(release(GOOD));
}

int main(void)
{
#define CLEAN(test) cmocka_unit_test_setup_teardown(test, NULL, check_clean)
    const struct CMUnitTest tests[] = {
        CLEAN(test_prepare_and_release),
        CLEAN(test_what_is_not_named_has_the_mediators_default),
        CLEAN(test_prepare_twice),
        CLEAN(test_release_looks_at_the_record_too),
        CLEAN(test_a_wrong_element_refuses_the_start),
        CLEAN(test_a_name_that_nobody_sees_starts_without_device),
        CLEAN(test_a_pool_that_is_not_there_refuses_the_start),
        CLEAN(test_another_VM_of_the_name_stays),
        CLEAN(test_who_has_no_element_is_nobodys_business),
        CLEAN(test_a_record_left_behind_is_not_taken_for_a_new_one),
        CLEAN(test_usage),
        CLEAN(test_XML_that_cannot_be_read_stops_nobody),
        CLEAN(test_stdin_that_never_ends),
        CLEAN(test_no_bus),
        CLEAN(test_a_bus_that_lets_nobody_in),
        CLEAN(test_a_bus_that_hangs),
        CLEAN(test_a_mediator_that_hangs),
        CLEAN(test_a_mediator_that_hangs_at_the_end),
        CLEAN(test_no_mediator),
        CLEAN(test_a_record_that_cannot_be_written),
        CLEAN(test_reconnect_leaves_alone_what_is_known),
        CLEAN(test_reconnect_registers_what_was_forgotten),
        CLEAN(test_reconnect_takes_another_number_when_its_own_is_taken),
        CLEAN(test_reconnect_never_fails),
    };

    return cmocka_run_group_tests(tests, start, world_end);
}
