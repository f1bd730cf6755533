/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libvirt's hook, run as libvirt runs it, with a real mediator on a private bus.
 * Whatever is broken, its answer must come in time and be the right one.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
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
#include "process.h"
#include "record.h"
#include "slot.h"
#include "test.h"
#include "vgpu-protocol.h"
#include "vgpu-ring.h"
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

/* The same with an <emulator>. */
static char *domain_with(const char *metadata, const char *emulator)
{
    static char xml[4096];

    snprintf(xml, sizeof(xml),
             "<domain type='kvm'>\n  <name>web1</name>\n  <uuid>" UUID "</uuid>\n"
             "  <metadata>%s</metadata>\n  <devices><emulator>%s</emulator></devices>\n</domain>\n",
             metadata, emulator);
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

/* The record gives no device, and says why in these words. */
static bool is_left_out(const char *words)
{
    Record record;

    return record_read(DOMAINS_DIR, UUID, geteuid(), &record) == 0 && !record.registered &&
           strstr(record.problem, words);
}

static bool is_known(const char *name)
{
    return sd_bus_call_method(bus, VGPU_BUS_NAME, VGPU_OBJECT_MANAGER, VGPU_INTERFACE_MANAGER,
                              "GetVM", NULL, NULL, "s", name) >= 0;
}

/* ---- The world --------------------------------------------------------------------------- */

static void set_bus_address(const char *path)
{
    char address[160];

    snprintf(address, sizeof(address), "unix:path=%s", path);
    setenv("DBUS_SYSTEM_BUS_ADDRESS", address, 1);
}

static void call_bus(const char *member)
{
    assert_true(sd_bus_call_method(bus, "org.freedesktop.DBus", "/org/freedesktop/DBus",
                                   "org.freedesktop.DBus", member, NULL, NULL, NULL) >= 0);
}

static void write_service(const char *path, const char *name, const char *program)
{
    FILE *f = fopen(path, "we");

    assert_non_null(f);
    fprintf(f, "[D-BUS Service]\nName=%s\nExec=%s\nUser=root\n", name, program);
    fclose(f);
}

static void wait_for_owner(const char *name)
{
    while (sd_bus_get_name_creds(bus, name, 0, NULL) < 0)
        (void) usleep(10000);
}

/* Until the child @pid is the program that it is to be. */
static void wait_for_exec(pid_t pid)
{
    char path[64], mine[4096], its[4096];
    ssize_t n = readlink("/proc/self/exe", mine, sizeof(mine)), m;

    snprintf(path, sizeof(path), "/proc/%d/exe", (int) pid);
    do {
        m = readlink(path, its, sizeof(its));
    } while (m == n && memcmp(mine, its, (size_t) n) == 0);
}

static void make_plugin(void)
{
    int fd;

    (void) mkdir(PLUGIN_DIR, 0755);
    (void) mkdir(PLUGIN_DIR "/qemu-99.7", 0755);
    fd = open(PLUGIN_DIR "/qemu-99.7/vgpu-stub.so", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    close(fd);
}

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
    assert_int_equal(record.window_size, VGPU_WINDOW_SIZE_DEFAULT);
    assert_int_equal(record.slot, SLOT_ANY);
    assert_false(record.needs_machine); /* no machined on this bus */

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

TEST(test_a_window_of_another_size)
{
    const char *element = ELEMENT("pool='A' priority='low' window-size='256M'");
    Record record;

    expect_silent_success(prepare(element));
    assert_int_equal(record_read(DOMAINS_DIR, UUID, geteuid(), &record), 0);
    assert_int_equal(record.window_size, UINT64_C(256) << 20);
    expect_silent_success(release(element));
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

TEST(test_a_machine_where_there_is_machined)
{
    char service[160];
    Record record;

    snprintf(service, sizeof(service), "%s/machined.service", test_bus.directory);
    write_service(service, "org.freedesktop.machine1", "/bin/false");
    call_bus("ReloadConfig");

    expect_silent_success(prepare(GOOD));
    assert_int_equal(record_read(DOMAINS_DIR, UUID, geteuid(), &record), 0);
    assert_true(record.needs_machine);
    expect_silent_success(release(GOOD));
    assert_int_equal(unlink(service), 0);
    call_bus("ReloadConfig");
}

/* A user's own libvirt runs the hook, too. */
TEST(test_a_session_has_no_GPU)
{
    char *command, line[256];
    FILE *f;

    if (geteuid() != 0)
        skip();
    assert_true(asprintf(&command,
                         "cp '%s' %s/hook && printf \"%%s\" \"$XML\" | setpriv --reuid 65534 "
                         "--clear-groups %s/hook web1 prepare begin - 2>&1; rm %s/hook",
                         getenv("VGPU_TEST_HOOK"), test_bus.directory, test_bus.directory,
                         test_bus.directory) > 0);
    setenv("XML", domain("web1", UUID, GOOD), 1);
    f = popen(command, "re");
    assert_non_null(f);
    assert_non_null(fgets(line, sizeof(line), f));
    assert_int_equal(pclose(f), 0);
    free(command);
    assert_non_null(strstr(line, "domains of a session have no GPU: use qemu:///system"));
    assert_false(has_record() || is_known("web1"));
}

TEST(test_what_the_domain_had_before)
{
    static const char element[] =
        ELEMENT("pool='A' priority='low' slot='0x1d' emulator='/opt/qemu'");
    Record record;

    expect_silent_success(prepare(element));
    assert_int_equal(record_read(DOMAINS_DIR, UUID, geteuid(), &record), 0);
    assert_int_equal(record.slot, 0x1d);
    assert_string_equal(record.emulator, "/opt/qemu");
    expect_silent_success(release(element));
}

/* ---- Started --------------------------------------------------------------------------------- */

/* What runs as QEMU for web1: its command line ends with these arguments, and its environment has
 * this; NULL: nothing. */
static pid_t run_qemu(const char *device, const char *environment)
{
    pid_t pid = fork();
    char path[4096];
    FILE *f;

    if (pid == 0) {
        execve("/bin/sh",
               (char *const[]){"qemu", "-c", "exec >/dev/null 2>&1; sleep 60; true", "qemu",
                               "-machine", "pc", "-uuid", UUID, device ? "-device" : NULL,
                               (char *) device, NULL},
               (char *const[]){(char *) environment, NULL});
        _exit(127);
    }
    snprintf(path, sizeof(path), "%s/web1.pid", PID_DIR);
    f = fopen(path, "we");
    assert_non_null(f);
    fprintf(f, "%d", (int) pid);
    fclose(f);
    wait_for_exec(pid);
    return pid;
}

static void end_qemu(pid_t pid)
{
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_int_equal(unlink(PID_DIR "/web1.pid"), 0);
}

static Result started(const char *metadata)
{
    return run("web1", "started", "begin", domain("web1", UUID, metadata));
}

#define AT_1E ELEMENT("pool='B' priority='high' slot='0x1e'")
#define DEVICE_AT_1E "{\"driver\":\"vgpu-stub\",\"bus\":\"pci.0\",\"addr\":\"0x1e\"}"

static void expect_started(const char *problem, pid_t pid)
{
    expect_text(VM("web1"), VGPU_INTERFACE_VM, "DeviceProblem", problem);
    assert_int_equal(number_of_web1("LeaderPID"), pid);
}

TEST(test_started_with_the_device)
{
    pid_t pid;

    expect_silent_success(prepare(AT_1E));
    pid = run_qemu(DEVICE_AT_1E, NULL);
    expect_silent_success(started(AT_1E));
    expect_started("", pid);
    end_qemu(pid);
    expect_silent_success(release(AT_1E));
}

TEST(test_started_without_the_device)
{
    pid_t pid;
    Result r;

    expect_silent_success(prepare(AT_1E));
    pid = run_qemu(NULL, PROCESS_PROBLEM "=no plugin for QEMU 99.8\n");
    r = started(AT_1E);
    expect_words(&r, 0, "its definition does not say where its device is"); /* no systemd here */
    expect_started("no plugin for QEMU 99.8?", pid);
    end_qemu(pid);

    /* The launcher did not run, or not this one. */
    pid = run_qemu(NULL, NULL);
    (void) started(AT_1E);
    expect_started("the launcher has not added the device", pid);
    end_qemu(pid);
    expect_silent_success(release(AT_1E));
}

TEST(test_an_emulator_that_is_not_ours)
{
    static const char none[] = ELEMENT("pool='B' priority='high' slot='none'");
    static const char problem[] = "its <emulator> is /usr/bin/qemu and not " LAUNCHER_PATH;
    pid_t pid;

    expect_without(run("web1", "prepare", "begin", domain_with(none, "/usr/bin/qemu")), problem);
    pid = run_qemu(NULL, NULL);
    expect_silent_success(started(none));
    expect_started(problem, pid);
    end_qemu(pid);
    expect_silent_success(release(none));

    expect_silent_success(run("web1", "prepare", "begin", domain_with(none, LAUNCHER_PATH)));
    expect_silent_success(run("web1", "prepare", "begin", domain_with(none, FORMER_LAUNCHER_PATH)));
    expect_silent_success(release(none));
}

TEST(test_started_and_gone)
{
    Result r;

    expect_silent_success(prepare(AT_1E));
    r = started(AT_1E);
    expect_words(&r, 0, "cannot find its QEMU");
    expect_silent_success(release(AT_1E));
}

/* In systemd's place, for so long. */
#define SYSTEMD_USEC (10 * USEC_PER_SEC)

static int on_start_unit(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
    const char *unit, *mode;
    char **started_unit = userdata;

    (void) error;
    assert_true(sd_bus_message_read(m, "ss", &unit, &mode) >= 0);
    *started_unit = strdup(unit);
    return sd_bus_reply_method_return(m, "o", "/org/freedesktop/systemd1/job/1");
}

static void *serve_systemd(void *userdata)
{
    static const sd_bus_vtable vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_METHOD("StartUnit", "ss", "o", on_start_unit, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_VTABLE_END,
    };
    uint64_t end = now_usec() + SYSTEMD_USEC;
    char **started_unit = userdata;
    sd_bus *systemd = NULL;

    if (sd_bus_open_system(&systemd) < 0 ||
        sd_bus_add_object_vtable(systemd, NULL, "/org/freedesktop/systemd1",
                                 "org.freedesktop.systemd1.Manager", vtable, started_unit) < 0 ||
        sd_bus_request_name(systemd, "org.freedesktop.systemd1", 0) < 0)
        return NULL;
    while (!*started_unit && now_usec() < end)
        if (sd_bus_process(systemd, NULL) == 0)
            (void) sd_bus_wait(systemd, USEC_PER_SEC);
    sd_bus_flush_close_unref(systemd);
    return NULL;
}

/* The slot goes into the definition, which a saved state and a migration carry along. Where
 * libvirtd went away before it was there, or the domain is older than this, it goes there later. */
TEST(test_a_slot_that_the_definition_does_not_say)
{
    Result (*const operations[])(const char *metadata) = {started, reconnect};
    pthread_t thread;
    pid_t pid;

    if (geteuid() != 0)
        skip(); /* the bus lets root alone be systemd */
    expect_silent_success(prepare(GOOD));
    pid = run_qemu(DEVICE_AT_1E, NULL);
    for (size_t i = 0; i < ELEMENTSOF(operations); i++) {
        char *unit = NULL;

        assert_int_equal(pthread_create(&thread, NULL, serve_systemd, &unit), 0);
        wait_for_owner("org.freedesktop.systemd1");
        expect_silent_success(operations[i](GOOD));
        assert_int_equal(pthread_join(thread, NULL), 0);
        assert_non_null(unit);
        assert_string_equal(unit, "vgpu-keep-slot@" UUID ".service");
        free(unit);
    }
    end_qemu(pid);
    expect_silent_success(release(GOOD));
}

/* ---- A state to be loaded -------------------------------------------------------------------- */

#define PLUGIN PLUGIN_DIR "/qemu-99.7"

static Result load(const char *operation, const char *metadata)
{
    return run("web1", operation, "begin", domain_with(metadata, LAUNCHER_PATH));
}

/* What libvirt does: the state is announced, and then its start. */
static Result load_and_prepare(const char *operation, const char *metadata)
{
    expect_silent_success(load(operation, metadata));
    return run("web1", "prepare", "begin", domain_with(metadata, LAUNCHER_PATH));
}

static void expect_not_loaded(const char *operation, const char *reason)
{
    Result r = load_and_prepare(operation, GOOD);
    char words[200];

    snprintf(words, sizeof(words),
             "domain 'web1': its state has a vgpu device, and cannot be loaded without one: %s",
             reason);
    expect_words(&r, 1, words);
}

TEST(test_a_state_with_the_device)
{
    static const char *const operations[] = {"restore", "migrate"};

    for (size_t i = 0; i < ELEMENTSOF(operations); i++) {
        make_plugin();
        expect_silent_success(load_and_prepare(operations[i], GOOD));
        expect_silent_success(release(GOOD));
        assert_int_equal(unlink(PLUGIN "/vgpu-stub.so"), 0);
        expect_not_loaded(operations[i], "no plugin for QEMU 99.7");

        make_plugin();
        assert_int_equal(kill(mediator.pid, SIGSTOP), 0);
        expect_not_loaded(operations[i], "no answer from the mediator in time");
        assert_int_equal(kill(mediator.pid, SIGCONT), 0);
        set_bus_address("/nonexistent/bus");
        expect_not_loaded(operations[i], "No such file or directory");
        /* The next start is one of its own. */
        assert_int_equal(prepare(GOOD).status, 0);
        set_bus_address(test_bus.socket);
        (void) release(GOOD);
    }
}

TEST(test_a_state_without_the_device)
{
    set_bus_address("/nonexistent/bus");
    expect_silent_success(load("restore", ELEMENT("pool='B' priority='high' slot='none'")));
    expect_silent_success(
        run("web1", "restore", "begin", domain_with(GOOD, "/usr/bin/qemu-system-x86_64")));
    expect_silent_success(load("migrate", ""));
    set_bus_address(test_bus.socket);
}

/* The hook is root, and the path may come from another host, or a file. */
TEST(test_an_emulator_of_the_user_is_not_run)
{
    char emulator[160], ran[160], metadata[512];
    FILE *f;

    snprintf(emulator, sizeof(emulator), "%s/emulator", test_bus.directory);
    snprintf(ran, sizeof(ran), "%s/ran", test_bus.directory);
    snprintf(metadata, sizeof(metadata), ELEMENT("pool='B' priority='high' emulator='%s'"),
             emulator);
    f = fopen(emulator, "we");
    assert_non_null(f);
    fprintf(f, "#!/bin/sh\n: >%s\n", ran);
    fclose(f);
    assert_int_equal(chmod(emulator, 0755), 0);
    expect_silent_success(load("restore", metadata));
    expect_silent_success(load("migrate", metadata));
    (void) release(metadata);
    assert_int_equal(unlink(emulator), 0);
    assert_int_equal(unlink(ran), -1);
}

/* On the host that a domain comes to, and for a state of before there were slots. */
TEST(test_a_state_has_the_device_where_it_was)
{
    static const char *const operations[] = {"restore", "migrate"};
    static const struct {
        const char *metadata;
        int slot;
    } states[] = {
        {ELEMENT("pool='B' priority='high' slot='0x1c'"), 0x1c},
        {ELEMENT("pool='B' priority='high' slot='none'"), SLOT_NONE},
        {ELEMENT("pool='B' priority='high'"), SLOT_ANY},
    };

    make_plugin();
    for (size_t i = 0; i < ELEMENTSOF(states) * ELEMENTSOF(operations); i++) {
        const char *metadata = states[i / 2].metadata;
        Record record;

        expect_silent_success(load(operations[i % 2], metadata));
        expect_silent_success(prepare(metadata));
        assert_int_equal(record_read(DOMAINS_DIR, UUID, geteuid(), &record), 0);
        assert_int_equal(record.slot, states[i / 2].slot);
        expect_silent_success(release(metadata));
    }
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
        {"start", "begin"},  {"started", "begin"}, {"stopped", "end"},
        {"attach", "begin"}, {"prepare", "end"},   {"future", "begin"},
    };
    int fd = open_silent_bus();

    expect_silent_success(prepare(""));
    expect_silent_success(prepare("<x:vgpu xmlns:x='urn:x'/>"));
    expect_silent_success(release(""));
    expect_silent_success(reconnect(""));
    expect_silent_success(reconnect(GOOD)); /* but no record */
    expect_silent_success(run("web1", "restore", "begin", domain("web1", UUID, "")));
    expect_silent_success(run("web1", "migrate", "begin", domain("web1", UUID, "")));
    for (size_t i = 0; i < ELEMENTSOF(others); i++)
        expect_silent_success(run("web1", others[i][0], others[i][1], domain("web1", UUID, GOOD)));
    assert_true(accept(fd, NULL, NULL) < 0 && errno == EAGAIN);
    close_silent_bus(fd);
}

TEST(test_a_record_left_behind_is_not_taken_for_a_new_one)
{
    const Record record = {.slot = SLOT_ANY, .problem = "of another start"};

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
    assert_true(is_left_out("No such file or directory"));
    assert_int_equal(release(GOOD).status, 0);
    set_bus_address(test_bus.socket);
}

TEST(test_a_bus_that_lets_nobody_in)
{
    int fd = open_silent_bus();

    expect_without(prepare(GOOD), "no answer from the bus in time");
    assert_true(is_left_out("no answer from the bus in time"));
    assert_int_equal(release(GOOD).status, 0);
    close_silent_bus(fd);
}

TEST(test_a_bus_that_hangs)
{
    assert_int_equal(kill(test_bus.pid, SIGSTOP), 0);
    expect_without(prepare(GOOD), "no answer from the bus in time");
    assert_true(is_left_out("no answer from the bus in time"));
    assert_int_equal(release(GOOD).status, 0);
    assert_int_equal(kill(test_bus.pid, SIGCONT), 0);
}

TEST(test_a_mediator_that_hangs)
{
    assert_int_equal(kill(mediator.pid, SIGSTOP), 0);
    expect_without(prepare(GOOD), "no answer from the mediator in time");
    assert_true(is_left_out("no answer from the mediator in time"));
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
    expect_words(&r, 0, "cannot be unregistered: no answer from the mediator in time");
    assert_false(has_record());
    assert_int_equal(kill(mediator.pid, SIGCONT), 0);
    expect_silent_success(release(GOOD));
}

/* Somebody starts the bus anew, and a domain at once. */
TEST(test_a_bus_that_comes_back)
{
    char service[160];
    int status;
    pid_t pid;

    /* As on a host, the bus takes calls for the mediator while that is not there. */
    snprintf(service, sizeof(service), "%s/mediator.service", test_bus.directory);
    /* What ran for long would keep this test's output open. */
    write_service(service, VGPU_BUS_NAME, "/bin/sleep 5");
    test_bus_kill(&test_bus);
    /* First nobody listens at the socket, then there is none. */
    pid = fork();
    if (pid == 0) {
        Result r = prepare(GOOD);

        if (r.err[0] != '\0')
            print_error("%s", r.err);
        _exit(r.status == 0 && r.err[0] == '\0' ? 0 : 1);
    }
    (void) usleep(150000);
    (void) unlink(test_bus.socket);
    (void) usleep(150000);
    assert_int_equal(test_bus_run(&test_bus), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    sd_bus_flush_close_unref(bus);
    assert_int_equal(sd_bus_open_system(&bus), 0);
    assert_int_equal(unlink(service), 0);
    call_bus("ReloadConfig");
    wait_for_name();

    assert_int_equal(status, 0);
    assert_true(has_record());
    expect_silent_success(release(GOOD));
}

TEST(test_no_mediator)
{
    Result r;

    assert_int_equal(test_mediator_signal_and_wait(&mediator, SIGKILL), 128 + SIGKILL);
    expect_without(prepare(GOOD), VGPU_BUS_NAME);
    assert_true(is_left_out(VGPU_BUS_NAME));
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
    pid_t pid = run_qemu(DEVICE_AT_1E, NULL);

    expect_silent_success(prepare(AT_1E));
    call_manager(NULL, "SetVMPriority", "ssb", "web1", "low", true);
    expect_silent_success(reconnect(AT_1E));
    expect_text(VM("web1"), VGPU_INTERFACE_VM, "Priority", "low");
    end_qemu(pid);
    expect_silent_success(release(AT_1E));
}

TEST(test_reconnect_registers_what_was_forgotten)
{
    pid_t pid = run_qemu(DEVICE_AT_1E, NULL);
    uint32_t id;

    call_manager(NULL, "RegisterVM", "ssssa{sv}", "first", OTHER, "A", "low", 0);
    expect_silent_success(prepare(GOOD));
    id = number_of_web1("VMID");
    call_manager(NULL, "UnregisterVM", "s", "first");
    call_manager(NULL, "UnregisterVM", "s", "web1");

    /* An administrator has changed all of it since the start, in the element. */
    expect_silent_success(
        reconnect(ELEMENT("pool='A' priority='low' queue-limit='5' weight='7' slot='0x1e'")));
    expect_started("", pid);
    end_qemu(pid);
    assert_int_equal(number_of_web1("VMID"), id);
    expect_text(VM("web1"), VGPU_INTERFACE_VM, "Pool", "A");
    expect_text(VM("web1"), VGPU_INTERFACE_VM, "Priority", "low");
    assert_int_equal(number_of_web1("QueueLimit"), 5);
    assert_int_equal(number_of_web1("Weight"), 7);
    expect_silent_success(release(GOOD));
}

/* The device is there all the same. */
TEST(test_reconnect_of_a_domain_that_has_lost_its_element)
{
    static const char *const metadata[] = {"", ELEMENT("pool='nonsense'")};
    pid_t pid = run_qemu(DEVICE_AT_1E, NULL);

    for (size_t i = 0; i < ELEMENTSOF(metadata); i++) {
        expect_silent_success(prepare(GOOD));
        call_manager(NULL, "UnregisterVM", "s", "web1");
        expect_silent_success(reconnect(metadata[i]));
        expect_started("", pid);
        expect_text(VM("web1"), VGPU_INTERFACE_VM, "Pool", "B");
        expect_text(VM("web1"), VGPU_INTERFACE_VM, "Priority", "high");
        expect_silent_success(release(GOOD));
    }
    end_qemu(pid);
}

TEST(test_reconnect_takes_another_number_when_its_own_is_taken)
{
    pid_t pid = run_qemu(DEVICE_AT_1E, NULL);
    uint32_t id;

    expect_silent_success(prepare(GOOD));
    id = number_of_web1("VMID");
    call_manager(NULL, "UnregisterVM", "s", "web1");
    call_manager(NULL, "RegisterVM", "ssssa{sv}", "other", OTHER, "A", "low", 1, "VMID", "u", id);

    expect_silent_success(reconnect(AT_1E));
    expect_started("", pid);
    end_qemu(pid);
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
    expect_words(&r, 0, "may not be registered: no answer from the mediator in time");
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
        CLEAN(test_a_window_of_another_size),
        CLEAN(test_prepare_twice),
        CLEAN(test_release_looks_at_the_record_too),
        CLEAN(test_a_machine_where_there_is_machined),
        CLEAN(test_a_session_has_no_GPU),
        CLEAN(test_what_the_domain_had_before),
        CLEAN(test_started_with_the_device),
        CLEAN(test_started_without_the_device),
        CLEAN(test_an_emulator_that_is_not_ours),
        CLEAN(test_started_and_gone),
        CLEAN(test_a_slot_that_the_definition_does_not_say),
        CLEAN(test_a_state_with_the_device),
        CLEAN(test_a_state_without_the_device),
        CLEAN(test_an_emulator_of_the_user_is_not_run),
        CLEAN(test_a_state_has_the_device_where_it_was),
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
        CLEAN(test_a_bus_that_comes_back),
        CLEAN(test_no_mediator),
        CLEAN(test_a_record_that_cannot_be_written),
        CLEAN(test_reconnect_leaves_alone_what_is_known),
        CLEAN(test_reconnect_registers_what_was_forgotten),
        CLEAN(test_reconnect_of_a_domain_that_has_lost_its_element),
        CLEAN(test_reconnect_takes_another_number_when_its_own_is_taken),
        CLEAN(test_reconnect_never_fails),
    };

    return cmocka_run_group_tests(tests, start, world_end);
}
