/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What an executor of a CUDA session may send the mediator. A VM opens two sessions, and two
 * processes that the target controls are their executors, as if systemd had started them. The
 * target checks that the mediator survives, that the VM hears of each session's end, and that
 * nothing is left of either.
 *
 * An input is a row of packets: how (HOW_*), a size, and then that many bytes.
 */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fd-passing.h"
#include "mediator-loop.h"
#include "require.h"
#include "session-guest.h"
#include "wire.h"

#define N_SESSIONS 2
#define PACKETS_MAX 200
#define SENDER_FD_MIN 900

enum {
    HOW_SESSION = 0x01, /* which */
    HOW_FD = 0x02,      /* with a descriptor */
    HOW_FDS = 0x04,     /* and two more */
    HOW_TOKEN = 0x08,   /* a SHARE message's token is the last one that either was told */
    HOW_SIZE = 0x10,    /* as large as a message of its type; the rest is 0 */
    HOW_END = 0x20,     /* the process ends instead */
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What a sender is told to send. */
typedef struct Packet {
    uint32_t how;
    uint32_t size;
    union {
        uint32_t type;
        SessionShareMessage share;
        uint8_t bytes[256];
    };
} Packet;

typedef struct Sender {
    pid_t pid;
    int control; /* packets go there, tokens come back */
} Sender;

/* ---- The executors ------------------------------------------------------------------------- */

static void sender_send(int fd, const Packet *p)
{
    const int event = eventfd(0, EFD_CLOEXEC);
    const int fds[] = {event, event, event};
    unsigned n = p->how & HOW_FDS ? 3 : p->how & HOW_FD ? 1 : 0;

    if (p->size > 0)
        (void) fd_passing_send(fd, p->bytes, p->size, fds, n, MSG_DONTWAIT);
    else
        (void) send(fd, NULL, 0, MSG_DONTWAIT);
    close(event);
}

/* Keeps the token of the last answer that has one. */
static void sender_read_answers(int fd, uint64_t token[2])
{
    SessionShareMessage answer;
    ssize_t n;

    while ((n = recv(fd, &answer, sizeof(answer), MSG_DONTWAIT)) > 0)
        if (n == sizeof(answer) && answer.type == SESSION_MSG_SHARED && answer.error == 0)
            memcpy(token, answer.token, sizeof(answer.token));
}

/* Returns @fd under a number above all others. */
static int move_up(int fd)
{
    const int up = fcntl(fd, F_DUPFD_CLOEXEC, SENDER_FD_MIN);

    require(up >= 0);
    return up;
}

/* It ends when the target has no more packets. Of the mediator it keeps nothing open. */
static _Noreturn void sender_run(int fd, int control)
{
    uint64_t token[2] = {0};
    Packet p;

    while (recv(control, &p, sizeof(p), 0) == sizeof(p) && !(p.how & HOW_END)) {
        sender_send(fd, &p);
        sender_read_answers(fd, token);
        if (send(control, token, sizeof(token), MSG_NOSIGNAL) != sizeof(token))
            break;
    }
    _exit(0);
}

/* The mediator has connected to the socket of the unit. */
static void sender_start(Sender *e, int listener)
{
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC), pair[2];

    require(fd >= 0);
    require(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
    e->pid = fork();
    require(e->pid >= 0);
    if (e->pid == 0) {
        fd = move_up(fd);
        pair[1] = move_up(pair[1]);
        require(close_range(STDERR_FILENO + 1, SENDER_FD_MIN - 1, 0) == 0);
        sender_run(fd, pair[1]);
    }
    close(fd);
    close(pair[1]);
    e->control = pair[0];
}

/* Fails when the mediator has killed it. */
static void sender_tell(const Sender *e, const Packet *p, uint64_t token[2])
{
    uint64_t told[2];

    if (send(e->control, p, sizeof(*p), MSG_NOSIGNAL) != sizeof(*p))
        return;
    if (recv(e->control, told, sizeof(told), 0) == sizeof(told) && (told[0] | told[1]) != 0)
        memcpy(token, told, sizeof(told));
}

/* ---- The mediator -------------------------------------------------------------------------- */

static int listen_at(char *path, size_t size)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    snprintf(path, size, "/tmp/fuzz-session-executor.%d", (int) getpid());
    (void) unlink(path);
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    require(fd >= 0 && bind(fd, (struct sockaddr *) &address, sizeof(address)) == 0);
    require(listen(fd, N_SESSIONS) == 0);
    return fd;
}

static char socket_path[64];

static void remove_socket(void)
{
    (void) unlink(socket_path);
}

static void open_session(int fd, const SessionGuest *g, uint32_t ring)
{
    const VGPUSessionOpen open = {.ring = ring};
    VGPUSocketHeader h =
        wire_header(VGPU_MSG_SESSION_OPEN, 5, ring, VGPU_PRIORITY_LOW, sizeof(open));

    require(wire_send_fds(fd, &h, &open, g->fds, VGPU_RING_N_FDS));
}

static void introduce(int fd)
{
    const VGPUHello hello = {.features = VGPU_FEATURE_RING | VGPU_FEATURE_SESSIONS};
    VGPUSocketHeader h = wire_header(VGPU_MSG_HELLO, 5, 70, VGPU_PRIORITY_LOW, sizeof(hello));

    require(wire_send(fd, &h, &hello));
}

/* How many SESSION_READY have come with an error, beside those without. */
static unsigned count_ends(int fd)
{
    WireMessage m;
    struct pollfd p = {.fd = fd, .events = POLLIN};
    unsigned n = 0;

    while (poll(&p, 1, 0) == 1 && wire_receive(fd, &m) == 1) {
        VGPUSessionReady ready;

        if (m.header.msg_type != VGPU_MSG_SESSION_READY)
            continue;
        memcpy(&ready, m.payload, sizeof(ready));
        n += ready.error != VGPU_ERROR_NONE;
    }
    return n;
}

/* ---- One input ----------------------------------------------------------------------------- */

static size_t size_of_message(uint32_t type)
{
    switch (type) {
    case SESSION_MSG_STARTED:
        return sizeof(SessionStarted);
    case SESSION_MSG_ENDED:
        return sizeof(SessionEnded);
    case SESSION_MSG_SHARE:
    case SESSION_MSG_TAKE:
    case SESSION_MSG_UNSHARE:
        return sizeof(SessionShareMessage);
    default:
        return sizeof(type);
    }
}

/* Returns false when there is none. */
static bool next_packet(const uint8_t **data, size_t *size, const uint64_t token[2], Packet *ret)
{
    size_t n;

    if (*size < 2)
        return false;
    *ret = (Packet){.how = (*data)[0], .size = (*data)[1]};
    *data += 2, *size -= 2;
    n = ret->size < *size ? ret->size : *size;
    memcpy(ret->bytes, *data, n);
    *data += n, *size -= n;
    if (ret->how & HOW_SIZE)
        ret->size = (uint32_t) size_of_message(ret->type);
    if (ret->how & HOW_TOKEN)
        memcpy(ret->share.token, token, sizeof(ret->share.token));
    return true;
}

static void send_packets(Manager *m, const Sender *senders, const uint8_t *data, size_t size)
{
    uint64_t token[2] = {0};
    Packet p;

    for (unsigned i = 0; i < PACKETS_MAX && next_packet(&data, &size, token, &p); i++) {
        sender_tell(&senders[p.how & HOW_SESSION], &p, token);
        mediator_loop_run(m);
    }
}

static void wait_for_sessions(Manager *m, unsigned n)
{
    while (manager_sessions(m)->n > n)
        require(sd_event_run(manager_event(m), UINT64_MAX) >= 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static SessionGuest guests[N_SESSIONS];
    static int listener = -1;
    static Manager *m;
    Sender senders[N_SESSIONS];
    int pair[2], free_descriptor;

    if (!m) {
        listener = listen_at(socket_path, sizeof(socket_path));
        require(atexit(remove_socket) == 0);
        m = mediator_loop_new(socket_path);
        for (unsigned i = 0; i < N_SESSIONS; i++)
            session_guest_open(&guests[i],
                               &(SessionGuestOptions){.window_size = UINT64_C(1) << 20});
    }
    free_descriptor = mediator_loop_next_fd(m);

    require(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) == 0);
    require(peers_add(manager_peers(m), pair[0]) == 0);
    introduce(pair[1]);
    for (unsigned i = 0; i < N_SESSIONS; i++) {
        open_session(pair[1], &guests[i], i + 1);
        mediator_loop_run(m);
        require(manager_sessions(m)->n == i + 1);
        sender_start(&senders[i], listener);
    }

    send_packets(m, senders, data, size);

    /* The executors end, each in the other's presence, and the VM hears of both. */
    for (unsigned i = 0; i < N_SESSIONS; i++) {
        close(senders[i].control);
        require(waitpid(senders[i].pid, NULL, 0) == senders[i].pid);
    }
    wait_for_sessions(m, 0);
    require(count_ends(pair[1]) == N_SESSIONS);

    close(pair[1]);
    while (peers_count(manager_peers(m)) > 0)
        require(sd_event_run(manager_event(m), UINT64_MAX) >= 0);
    require(manager_vms(m)->n == 0);
    require(TAILQ_EMPTY(&manager_rings(m)->windows.list));
    require(mediator_loop_next_fd(m) == free_descriptor);
    return 0;
}
