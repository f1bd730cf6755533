/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "channel.h"
#include "clock.h"
#include "fd-passing.h"
#include "link.h"
#include "session-executor.h"
#include "session-protocol.h"

typedef struct Fake {
    int socket;
    int fds[SESSION_N_FDS];
    SessionStart start;
    VGPUSessionHeader *header;
    SessionControl *control;
    SessionAccount *account;
    char command[VGPU_SESSION_COMMAND_MAX];
    uint8_t serial; /* of what was said last */
    FakeReport report;
} Fake;

static Fake fake;

static bool is(const char *behaviour)
{
    return strcmp(fake.command, behaviour) == 0;
}

__attribute__((noreturn)) static void stay(void)
{
    for (;;)
        pause();
}

static void send_bytes(const void *bytes, size_t size)
{
    (void) !send(fake.socket, bytes, size, MSG_NOSIGNAL);
}

static void send_hello(void)
{
    const uint32_t hello = SESSION_MSG_HELLO;

    send_bytes(&hello, sizeof(hello));
}

/* ---- STARTED --------------------------------------------------------------------------------- */

static SessionStarted started(int error, uint32_t cuda_result)
{
    SessionStarted m = {
        .type = SESSION_MSG_STARTED,
        .error = error,
        .cuda_result = cuda_result,
        .guest_pid = fake.header->guest_pid,
    };

    memcpy(m.command, fake.command, sizeof(m.command));
    return m;
}

__attribute__((noreturn)) static void refuse(int error, uint32_t cuda_result)
{
    SessionStarted m = started(error, cuda_result);

    send_bytes(&m, sizeof(m));
    exit(3);
}

static void send_changed(unsigned n)
{
    const uint32_t type = SESSION_MSG_CHANGED;

    while (n-- > 0)
        send_bytes(&type, sizeof(type));
}

static void end(uint32_t reason, uint32_t cuda_result)
{
    const SessionEnded m = {
        .type = SESSION_MSG_ENDED, .reason = reason, .cuda_result = cuda_result};

    send_bytes(&m, sizeof(m));
}

static void start(void)
{
    struct {
        SessionStarted m;
        char more;
    } message = {.m = started(0, 0)};
    const uint32_t no_type = 77;
    int fds[2] = {0, 1};

    if (is(FAKE_DIE_EARLY) || (is(FAKE_DIE_WARM) && fake.report.is_warm))
        exit(1);
    if (is(FAKE_HELLO_AGAIN))
        send_hello();
    if (is(FAKE_HANG))
        stay();
    if (is(FAKE_NO_DEVICE))
        refuse(-ENODEV, 100);
    if (is(FAKE_BAD_CUDA))
        refuse(-EIO, 999);
    if (is(FAKE_BAD_AREA))
        refuse(-EINVAL, 0);
    if (is(FAKE_NO_MEMORY))
        refuse(-ENOMEM, 0);

    if (is(FAKE_NO_TYPE))
        send_bytes(&no_type, sizeof(no_type));
    else if (is(FAKE_SHORT))
        send_bytes(&message, sizeof(message.m) - 1);
    else if (is(FAKE_LONG))
        send_bytes(&message, sizeof(message.m) + 1);
    else if (is(FAKE_EMPTY))
        send_bytes("", 0);
    else if (is(FAKE_DESCRIPTORS))
        (void) fd_passing_send(fake.socket, &message, sizeof(message.m), fds, 2, 0);
    else
        send_bytes(&message, sizeof(message.m));
    if (is(FAKE_TWICE))
        send_bytes(&message, sizeof(message.m));
    if (is(FAKE_CHANGED) || is(FAKE_FLOOD))
        send_changed(is(FAKE_FLOOD) ? 100000 : 1);
    if (is(FAKE_ENDED_TWICE)) {
        end(SESSION_END_HANGUP, 0);
        end(SESSION_END_HANGUP, 0);
        stay();
    }
}

/* ---- The doorbell ---------------------------------------------------------------------------- */

/* Tells of it, if it is asked to. */
static void say(uint32_t running, uint32_t waiting)
{
    if (fake.control->running && !running)
        fake.control->idle_usec = now_usec();
    __atomic_store_n(&fake.control->running, running, __ATOMIC_SEQ_CST);
    __atomic_store_n(&fake.control->waiting, waiting, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&fake.control->tell, __ATOMIC_SEQ_CST))
        send_changed(1);
}

/* One that waits gives work when it may, unless it may no more when it does. */
static void pass_gate(void)
{
    const uint32_t *gate = &fake.control->gate;

    if (!fake.control->waiting || !__atomic_load_n(gate, __ATOMIC_SEQ_CST))
        return;
    say(1, 0);
    if (!__atomic_load_n(gate, __ATOMIC_SEQ_CST))
        say(0, 1);
}

static void count(void)
{
    FakeFigures f;

    memcpy(&f, fake.header->opening_reserved, sizeof(f));
    fake.control->memory = f.memory;
    fake.control->memory_peak = f.memory_peak;
    fake.control->images = f.images;
    fake.control->operations = f.operations;
    fake.control->launches = f.launches;
    fake.control->bytes_to_device = f.bytes_to_device;
    fake.control->bytes_from_device = f.bytes_from_device;
    fake.control->device_usec = f.device_usec;
    fake.control->sticky = f.sticky;
    if (f.serial == fake.serial)
        return;
    fake.serial = f.serial;
    say(f.running, f.waiting);
}

static void report(void)
{
    fake.report.n_doorbells++;
    fake.report.gate = (uint8_t) fake.control->gate;
    fake.report.running = (uint8_t) fake.control->running;
    fake.report.tell = (uint8_t) fake.control->tell;
    fake.report.ahead_usec = fake.control->ahead_usec;
    fake.report.memory_max = fake.account->memory_max;
    memcpy(fake.header->reserved, &fake.report, sizeof(fake.report));
    (void) eventfd_write(fake.fds[SESSION_FD_INTERRUPT], 1);
}

static void send_share(SessionShareMessage m, size_t size, unsigned n_fds)
{
    const int fds[] = {0, 0};

    (void) fd_passing_send(fake.socket, &m, size, fds, n_fds, 0);
}

static void ask(void)
{
    for (unsigned i = 0; i < FAKE_QUESTIONS; i++) {
        SessionShareMessage m = {.type = SESSION_MSG_TAKE, .token = {i + 1, i}};

        send_share(m, sizeof(m), 0);
        if (recv(fake.socket, &m, sizeof(m), 0) != sizeof(m) || m.type != SESSION_MSG_TAKEN ||
            m.error != -ENOENT)
            abort();
    }
}

static void act_on_shares(void)
{
    const SessionShareMessage m = {.type = SESSION_MSG_SHARE, .size = 1};
    SessionShareMessage physical = m, kind = m, error = m;

    physical.kind = SESSION_SHARE_PHYSICAL;
    kind.kind = SESSION_SHARE_N_KINDS;
    error.error = -1;
    if (is(FAKE_SHARE_KIND))
        send_share(kind, sizeof(m), 0);
    if (is(FAKE_SHARE_SHORT))
        send_share(m, sizeof(m) - 1, 0);
    if (is(FAKE_SHARE_ERROR))
        send_share(error, sizeof(m), 0);
    if (is(FAKE_SHARE_FD))
        send_share(m, sizeof(m), 1);
    if (is(FAKE_SHARE_NO_FD))
        send_share(physical, sizeof(m), 0);
    if (is(FAKE_SHARE_TWO_FDS))
        send_share(physical, sizeof(m), 2);
    for (unsigned i = 0; is(FAKE_SHARE_FLOOD) && i < 100000; i++)
        send_share((SessionShareMessage){.type = SESSION_MSG_TAKE}, sizeof(m), 0);
    if (is(FAKE_SHARE_ASK))
        ask();
}

static void act(void)
{
    static const struct {
        const char *behaviour;
        uint32_t reason, cuda_result;
    } ends[] = {{FAKE_END_VIOLATION, SESSION_END_VIOLATION, 0},
                {FAKE_END_TIMEOUT, SESSION_END_KERNEL_TIMEOUT, 702},
                {FAKE_END_WINDOW, SESSION_END_WINDOW_LOST, 0},
                {FAKE_END_FAILURE, SESSION_END_FAILURE, 0}};

    for (unsigned i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
        if (is(ends[i].behaviour)) {
            end(ends[i].reason, ends[i].cuda_result);
            exit(0);
        }
    act_on_shares();
    if (is(FAKE_DIE))
        abort();
    if (is(FAKE_EXIT))
        exit(0);
    if (is(FAKE_HANG_UP)) {
        close(fake.socket);
        stay();
    }
    if (is(FAKE_END_STAY)) {
        end(SESSION_END_KERNEL_TIMEOUT, 0);
        stay();
    }
}

static void serve(void)
{
    struct pollfd fds[] = {
        {.fd = fake.socket, .events = POLLIN},
        {.fd = fake.fds[SESSION_FD_DOORBELL], .events = POLLIN},
        {.fd = fake.fds[SESSION_FD_GATE], .events = POLLIN},
    };
    eventfd_t n;

    for (;;) {
        if (poll(fds, 3, -1) < 0)
            continue;
        if (fds[2].revents && eventfd_read(fds[2].fd, &n) == 0) {
            fake.report.n_gates++;
            pass_gate();
        }
        if (fds[1].revents && eventfd_read(fds[1].fd, &n) == 0) {
            count();
            act();
            report();
        }
        if (fds[0].revents && is(FAKE_STAY))
            stay();
        if (fds[0].revents)
            exit(0);
    }
}

/* ---- A session ------------------------------------------------------------------------------- */

static void map_all(void)
{
    struct stat st;
    char *window;

    if (fstat(fake.fds[SESSION_FD_WINDOW], &st) < 0)
        abort();
    window = mmap(NULL, (size_t) st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED,
                  fake.fds[SESSION_FD_WINDOW], 0);
    fake.control = mmap(NULL, sizeof(SessionControl), PROT_READ | PROT_WRITE, MAP_SHARED,
                        fake.fds[SESSION_FD_CONTROL], 0);
    fake.account = mmap(NULL, sizeof(SessionAccount), PROT_READ | PROT_WRITE, MAP_SHARED,
                        fake.fds[SESSION_FD_ACCOUNT], 0);
    if (window == MAP_FAILED || fake.control == MAP_FAILED || fake.account == MAP_FAILED)
        abort();
    fake.header = (VGPUSessionHeader *) (window + fake.start.offset);
    memcpy(fake.command, fake.header->command, sizeof(fake.command));
}

static void wait_for_start(void)
{
    for (;;) {
        struct pollfd p = {.fd = fake.socket, .events = POLLIN};
        unsigned n_fds = 0;
        ssize_t n;

        (void) poll(&p, 1, -1);
        n = fd_passing_receive(fake.socket, &fake.start, sizeof(fake.start), fake.fds,
                               SESSION_N_FDS, &n_fds);
        if (n == -EAGAIN)
            continue;
        if (n <= 0)
            exit(0);
        if (n == sizeof(SessionWarm) && fake.start.type == SESSION_MSG_WARM && n_fds == 0) {
            fake.report.is_warm = 1;
            if (getenv("VGPU_TEST_SPARES_DIE"))
                exit(3);
        } else if (n == sizeof(fake.start) && fake.start.type == SESSION_MSG_START &&
                   n_fds == SESSION_N_FDS) {
            return;
        } else {
            fprintf(stderr, "session-executor: neither WARM nor START\n");
            exit(1);
        }
    }
}

__attribute__((noreturn)) static void run_session(int fd)
{
    fake.socket = fd;
    send_hello();
    wait_for_start();
    map_all();
    start();
    serve();
    abort();
}

/* ---- A pool ---------------------------------------------------------------------------------- */

/* Is another program, where $VGPU_TEST_POOL_EXECUTOR names one. Else it says that it has a GPU, and
 * computes nothing. */
static int run_pool(int fd, char *argv[])
{
    const char *program = getenv("VGPU_TEST_POOL_EXECUTOR");
    const ExecutorHello hello = {.device = {.backend = "cuda", .name = "fake"}};
    Channel channel = {0};
    char byte;
    Link l;

    if (program) {
        (void) execv(program, argv);
        return EXIT_FAILURE;
    }
    if (link_open(fd, &l) < 0)
        return EXIT_FAILURE;
    channel.fd = l.socket;
    if (channel_send_hello(&channel, &hello) < 0)
        return EXIT_FAILURE;
    while (recv(l.socket, &byte, 1, 0) != 0)
        continue;
    return EXIT_SUCCESS;
}

int main(int argc, char *argv[])
{
    bool is_session = false;
    int fd = -1;

    (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (int i = 1; i < argc; i++) {
        (void) sscanf(argv[i], "--fd=%d", &fd);
        is_session |= strcmp(argv[i], "--session") == 0;
    }
    if (is_session)
        run_session(fd);
    return run_pool(fd, argv);
}
