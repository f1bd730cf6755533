/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The mediator without memory: every allocation on the way of a request and of a D-Bus call
 * fails once.
 *
 * Each way is walked with a new mediator whose n-th allocation fails, for n = 1, 2, 3, ... until
 * it is walked without a failure. Whatever fails, the service goes on, and exits with 0 when it
 * is told to. Whoever was on the way gets an answer, an error, or a closed connection. A
 * neighbour, connected before, does not notice. The log speaks of memory and blames nobody.
 * Walked once more, the way leads to its end, and what was allocated for all this is freed.
 *
 * sd-bus gives up its connection when it has no memory for a message that comes in, and nobody
 * can keep it from that. The caller is told that the service is gone; the service goes on serving
 * VMs and opens the bus anew after a while. That is an allowed outcome of a D-Bus call, and it
 * must be in the log.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "failing-malloc.h"
#include "ring-peer.h"
#include "session-guest.h"
#include "test.h"
#include "world.h"

/* With executors that only say so */
#define CUDA_CONFIG "[Pool A]\nBackend=cuda\n[Unregistered]\nPolicy=allow\n"

#define CONFIG                                              \
    "[Pool A]\nBackend=cpu\n[Unregistered]\nPolicy=allow\n" \
    "[Timeouts]\nRequestTimeoutSec=infinity\n"

/* How long an answer may take: much longer than a busy machine needs. */
#define BUS_TIMEOUT_USEC UINT64_C(10000000)

#define NEIGHBOUR_ID 8

typedef enum Outcome {
    DONE,     /* as ever */
    REFUSED,  /* an error, or a closed connection */
    BUS_LOST, /* the service left the bus */
    WRONG,    /* and the complaint says why */
} Outcome;

static FailingMalloc *memory;
static char complaint[1024];

__attribute__((format(printf, 1, 2))) static Outcome complain(const char *format, ...)
{
    size_t at = strlen(complaint);
    va_list ap;

    va_start(ap, format);
    vsnprintf(complaint + at, sizeof(complaint) - at, format, ap);
    va_end(ap);
    return WRONG;
}

/* ---- What a peer does, without taking for granted that it works --------------------------- */

/* DONE: @m is a message of this type. */
static Outcome receive(int fd, uint32_t type, WireMessage *m)
{
    int r = wire_receive(fd, m);

    if (r == 0 || r == -ECONNRESET)
        return REFUSED;
    if (r != 1)
        return complain("no answer to wait for message %u: %s; ", type, strerror(-r));
    /* Without the bus nobody can be asked who the peer is. */
    if (m->header.msg_type == VGPU_MSG_QUARANTINED)
        return BUS_LOST;
    /* Without memory for a request it is as if the queue were full. */
    if (m->header.msg_type == VGPU_MSG_BUSY)
        return REFUSED;
    if (m->header.msg_type != type)
        return complain("message %u instead of %u; ", m->header.msg_type, type);
    return DONE;
}

static Outcome say(int fd, const VGPUSocketHeader *h, const void *payload)
{
    return wire_send(fd, h, payload) ? DONE : REFUSED;
}

static Outcome say_hello(int fd, uint32_t vm_id, uint8_t tag)
{
    VGPUHello message = {.features = VGPU_FEATURE_RING};
    VGPUSocketHeader h = wire_header(VGPU_MSG_HELLO, vm_id, 1, VGPU_PRIORITY_LOW, sizeof(message));
    WireMessage m;
    Outcome o;

    memset(message.uuid, tag, sizeof(message.uuid));
    o = say(fd, &h, &message);
    return o == DONE ? receive(fd, VGPU_MSG_WELCOME, &m) : o;
}

static Outcome add(int fd, uint32_t vm_id)
{
    WireMessage m;
    Outcome o;

    if (!wire_send_add(fd, vm_id, 2, VGPU_PRIORITY_LOW, 20, 22))
        return REFUSED;
    o = receive(fd, VGPU_MSG_RESPONSE, &m);
    if (o != DONE)
        return o;
    if (m.response.status == VGPU_ERROR_CUDA_ERROR || m.response.status == VGPU_ERROR_QUEUE_FULL)
        return REFUSED;
    if (m.response.status != VGPU_ERROR_NONE || m.results.results[0] != 42)
        return complain("status %u, sum %u; ", m.response.status, m.results.results[0]);
    return DONE;
}

/* ---- The ways of requests ----------------------------------------------------------------- */

static Outcome walk_request(int fd)
{
    Outcome o = say_hello(fd, 5, 0);

    return o == DONE ? add(fd, 5) : o;
}

/* Without a HELLO, and then a message in two pieces, of which the mediator keeps the first. */
static Outcome walk_pieces(int fd)
{
    const VGPUSocketHeader h = wire_header(VGPU_MSG_PING, 5, 2, 0, 0);
    WireMessage m;
    Outcome o = add(fd, 5);
    int unread;

    if (o != DONE)
        return o;
    if (!wire_send_bytes(fd, &h, 7, NULL, 0))
        return REFUSED;
    do
        assert_return_code(ioctl(fd, SIOCOUTQ, &unread), errno);
    while (unread > 0);
    if (!wire_send_bytes(fd, (const char *) &h + 7, sizeof(h) - 7, NULL, 0))
        return REFUSED;
    return receive(fd, VGPU_MSG_PONG, &m);
}

/* The next completion, or the end of the ring or of its connection. */
static Outcome take_completion(int fd, RingGuest *g)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    VGPUCompletion c;

    for (unsigned i = 0; i < WIRE_TIMEOUT_MSEC / 20; i++) {
        if (ring_guest_wait(g, &c, 20)) {
            if (c.status == VGPU_ERROR_NONE)
                return DONE;
            if (c.status == VGPU_ERROR_QUEUE_FULL || c.status == VGPU_ERROR_CUDA_ERROR)
                return REFUSED;
            return complain("completion with status %u; ", c.status);
        }
        if (poll(&p, 1, 0) > 0)
            return REFUSED;
    }
    return complain("no completion; ");
}

static Outcome walk_ring_with(int fd, RingGuest *g)
{
    const VGPUSocketHeader off = wire_header(VGPU_MSG_RING_OFF, 5, 72, 0, 0);
    const VGPUSubmission sum = ring_guest_add(1, 1, 65536, 65544, 65552);
    VGPURingReady ready;
    WireMessage m;
    Outcome o = say_hello(fd, 5, 0);

    if (o == DONE && !ring_guest_setup(g, fd, RING_SETUP_ID, VGPU_RING_N_FDS))
        o = REFUSED;
    if (o == DONE)
        o = receive(fd, VGPU_MSG_RING_READY, &m);
    if (o != DONE)
        return o;
    memcpy(&ready, m.payload, sizeof(ready));
    if (ready.error != VGPU_ERROR_NONE)
        return REFUSED;

    ring_guest_submit(g, &sum);
    o = take_completion(fd, g);
    if (o == DONE)
        o = say(fd, &off, NULL);
    return o == DONE ? receive(fd, VGPU_MSG_RING_STOPPED, &m) : o;
}

static Outcome walk_ring(int fd)
{
    RingGuest g;
    Outcome o;

    assert_int_equal(ring_guest_open(&g, RING_WINDOW, 0, 16, 0), 0);
    o = walk_ring_with(fd, &g);
    ring_guest_close(&g);
    return o;
}

static Outcome close_session(int fd)
{
    const VGPUSessionRing ring = {.ring = 3};
    VGPUSocketHeader h = wire_header(VGPU_MSG_SESSION_CLOSE, 5, 4, VGPU_PRIORITY_LOW, sizeof(ring));
    WireMessage m;

    return wire_send(fd, &h, &ring) ? receive(fd, VGPU_MSG_SESSION_CLOSED, &m) : REFUSED;
}

/* An executor is started for a session, and ended. */
static Outcome walk_session_with(int fd, const SessionGuest *g)
{
    const VGPUSessionOpen open = {.ring = 3};
    VGPUHello hello = {.features = VGPU_FEATURE_SESSIONS};
    VGPUSocketHeader h = wire_header(VGPU_MSG_HELLO, 5, 1, VGPU_PRIORITY_LOW, sizeof(hello));
    VGPUSessionReady ready;
    WireMessage m;
    Outcome o = say(fd, &h, &hello);

    if (o == DONE)
        o = receive(fd, VGPU_MSG_WELCOME, &m);
    h = wire_header(VGPU_MSG_SESSION_OPEN, 5, 3, VGPU_PRIORITY_LOW, sizeof(open));
    if (o == DONE && !wire_send_fds(fd, &h, &open, g->fds, VGPU_RING_N_FDS))
        o = REFUSED;
    if (o == DONE)
        o = receive(fd, VGPU_MSG_SESSION_READY, &m);
    if (o != DONE)
        return o;
    memcpy(&ready, m.payload, sizeof(ready));
    if (ready.error == VGPU_ERROR_MEDIATOR_UNAVAILABLE)
        return REFUSED;
    if (ready.error != VGPU_ERROR_NONE)
        return complain("the session is refused with %u; ", ready.error);
    return close_session(fd);
}

static Outcome walk_session(int fd)
{
    SessionGuest g;
    Outcome o;

    session_guest_open(&g, &(SessionGuestOptions){.window_size = UINT64_C(1) << 20});
    assert_int_equal(fcntl(g.fds[SESSION_FD_WINDOW], F_ADD_SEALS, F_SEAL_SEAL), 0);
    o = walk_session_with(fd, &g);
    session_guest_close(&g);
    return o;
}

/* The mediator notices that its executor is gone, and starts another one for the request. */
static Outcome walk_executor_start(int fd)
{
    pid_t executor = test_mediator_executor(&mediator);

    if (executor == 0 || kill(executor, SIGKILL) < 0)
        return complain("there is no executor; ");
    for (unsigned i = 0; kill(executor, 0) == 0; i++) {
        if (i == WIRE_TIMEOUT_MSEC)
            return complain("the executor's end is not noticed; ");
        usleep(1000);
    }
    return walk_request(fd);
}

/* ---- The ways of D-Bus calls -------------------------------------------------------------- */

/* Calls a method of the mediator's. */
static Outcome call_bus(const char *path, const char *interface, const char *member,
                        const char *types, ...)
{
    static const char *const gone[] = {SD_BUS_ERROR_NO_REPLY, SD_BUS_ERROR_SERVICE_UNKNOWN,
                                       SD_BUS_ERROR_NAME_HAS_NO_OWNER};
    sd_bus_error error = SD_BUS_ERROR_NULL;
    Outcome o = DONE;
    va_list ap;
    int r;

    va_start(ap, types);
    r = sd_bus_call_methodv(bus, VGPU_BUS_NAME, path, interface, member, &error, NULL, types, ap);
    va_end(ap);

    if (r < 0) {
        /* A change may be in effect, with no memory to write it to disk. */
        o = sd_bus_error_has_name(&error, SD_BUS_ERROR_NO_MEMORY) ||
                    sd_bus_error_has_name(&error, VGPU_BUS_ERROR_NOT_KEPT)
                ? REFUSED
                : WRONG;
        for (size_t i = 0; i < sizeof(gone) / sizeof(gone[0]); i++)
            if (sd_bus_error_has_name(&error, gone[i]))
                o = BUS_LOST;
        if (o == WRONG)
            (void) complain("%s: %s: %s; ", member, error.name, error.message);
    }
    sd_bus_error_free(&error);
    return o;
}

static Outcome register_web(void)
{
    return call_bus(VGPU_OBJECT_MANAGER, VGPU_INTERFACE_MANAGER, "RegisterVM", "ssssa{sv}", "web",
                    "11111111-1111-1111-1111-111111111111", "A", "low", 1, "Weight", "u", 200);
}

static void prepare_web(void)
{
    assert_int_equal(register_web(), DONE);
}

/* A registration that could not be answered may stand all the same: it is taken back. */
static Outcome walk_register(void)
{
    Outcome o = register_web();

    if (o == DONE)
        return call_bus(VGPU_OBJECT_MANAGER, VGPU_INTERFACE_MANAGER, "UnregisterVM", "s", "web");
    (void) sd_bus_call_method(bus, VGPU_BUS_NAME, VGPU_OBJECT_MANAGER, VGPU_INTERFACE_MANAGER,
                              "UnregisterVM", NULL, NULL, "s", "web");
    return o;
}

/* To stay: it is written to a file as well. */
static Outcome walk_priority(void)
{
    Outcome o = call_bus(VGPU_OBJECT_MANAGER, VGPU_INTERFACE_MANAGER, "SetVMPriority", "ssb", "web",
                         "high", 0);

    if (o == DONE)
        o = call_bus(VM("web"), VGPU_INTERFACE_VM, "SetPriority", "sb", "low", 0);
    return o;
}

static Outcome walk_limits(void)
{
    return call_bus(VGPU_OBJECT_MANAGER, VGPU_INTERFACE_MANAGER, "SetVMLimits", "sa{sv}b", "web", 2,
                    "Weight", "u", 300, "RequestRateLimit", "u", 1000000, 1);
}

static Outcome walk_list(void)
{
    Outcome o = call_bus(VGPU_OBJECT_MANAGER, VGPU_INTERFACE_MANAGER, "ListVMs", "");

    return o == DONE ? call_bus(VGPU_OBJECT_MANAGER, VGPU_INTERFACE_MANAGER, "GetVM", "s", "web")
                     : o;
}

static Outcome walk_histograms(void)
{
    return call_bus(VM("web"), VGPU_INTERFACE_VM, "GetHistograms", "");
}

static Outcome walk_properties(void)
{
    static const char *const interfaces[] = {VGPU_INTERFACE_MANAGER, VGPU_INTERFACE_VM,
                                             VGPU_INTERFACE_POOL};
    static const char *const objects[] = {VGPU_OBJECT_MANAGER, VM("web"), POOL_A};
    Outcome o = DONE;

    for (unsigned i = 0; i < 3 && o == DONE; i++)
        o = call_bus(objects[i], "org.freedesktop.DBus.Properties", "GetAll", "s", interfaces[i]);
    return o;
}

static Outcome walk_objects(void)
{
    return call_bus(VGPU_OBJECT_MANAGER, "org.freedesktop.DBus.ObjectManager", "GetManagedObjects",
                    "");
}

/* Its UUID is claimed, and the bus asked whose process the peer is. */
static Outcome walk_registered(int fd)
{
    Outcome o = say_hello(fd, 0, 0x11);

    return o == DONE ? add(fd, 0) : o;
}

/* ---- Walking ------------------------------------------------------------------------------ */

typedef struct Way {
    const char *name;
    Outcome (*walk)(int fd); /* with a new connection to the mediator's socket */
    Outcome (*call)(void);   /* or this, without one */
    void (*prepare)(void);
    const char *config; /* NULL: CONFIG */
    bool has_bus;
    bool ends_executor;
} Way;

static Outcome walk(const Way *way)
{
    Outcome o;
    int fd;

    if (way->call)
        return way->call();
    fd = dial();
    o = way->walk(fd);
    close(fd);
    return o;
}

static bool log_says(const char *log, const char *text)
{
    return strstr(log, text) != NULL;
}

/* What was logged since @from; to be freed. */
static char *log_since(size_t from)
{
    char *log = test_mediator_log(&mediator), *since;

    since = strdup(log && strlen(log) > from ? log + from : "");
    free(log);
    assert_non_null(since);
    return since;
}

static size_t log_size(void)
{
    char *log = test_mediator_log(&mediator);
    size_t size = log ? strlen(log) : 0;

    free(log);
    return size;
}

/* A peer whose process cannot be asked for, because the bus is lost, is to come again. */
#define SENT_AWAY "systemd-machined cannot be asked now"

static bool blames_somebody(const char *line)
{
    return log_says(line, "closing the connection") && !log_says(line, strerror(ENOMEM)) &&
           !log_says(line, SENT_AWAY);
}

/* Nobody did anything wrong, and whoever was refused finds the reason in the log. */
static void check_log(size_t from, const Way *way, Outcome o)
{
    char *log = log_since(from), *lines = strdup(log), *rest = NULL;
    bool has_reason =
        log_says(log, strerror(ENOMEM)) || log_says(log, "no D-Bus") || log_says(log, SENT_AWAY);

    assert_non_null(lines);
    if (o == REFUSED && way->walk && !has_reason)
        (void) complain("refused, and the log does not say why: \"%s\"; ", log);
    for (char *line = strtok_r(lines, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
        if (blames_somebody(line))
            (void) complain("the log says \"%s\"; ", line);
    free(lines);
    free(log);
}

static int64_t n_blocks(void)
{
    return __atomic_load_n(&memory->n_blocks, __ATOMIC_SEQ_CST);
}

/* Waits until all that was closed is freed. Returns how many blocks are left, which should be
 * @expected; -1: nobody knows yet. */
static int64_t settled_blocks(int neighbour, int64_t expected)
{
    const VGPUSocketHeader ping = wire_header(VGPU_MSG_PING, NEIGHBOUR_ID, 2, 0, 0);
    int64_t blocks, before;
    WireMessage m;

    if (say(neighbour, &ping, NULL) != DONE || receive(neighbour, VGPU_MSG_PONG, &m) != DONE)
        (void) complain("the neighbour is not answered; ");
    blocks = n_blocks();
    for (unsigned i = 0; i < 20 && blocks != expected; i++) {
        before = blocks;
        usleep(50000);
        blocks = n_blocks();
        if (expected < 0 && blocks == before)
            break;
    }
    return blocks;
}

/* Without an executor its pool's requests fail, everybody's, until there is one again. */
static bool is_served(const Way *way, int fd, uint32_t vm_id)
{
    Outcome o = add(fd, vm_id);

    for (unsigned i = 0; way->ends_executor && o == REFUSED && i < 200; i++) {
        usleep(50000);
        o = add(fd, vm_id);
    }
    return o == DONE;
}

/* All that must be as if nothing had failed. *blocks are left then; -1: find out. */
static void check_service(const Way *way, Outcome o, int neighbour, int64_t *blocks)
{
    int stranger = dial();
    int64_t left;

    if (!is_served(way, neighbour, NEIGHBOUR_ID))
        (void) complain("the neighbour noticed; ");
    else if (say_hello(stranger, 6, 0) != DONE || add(stranger, 6) != DONE)
        (void) complain("the next one is not served; ");
    else if (o != BUS_LOST && walk(way) != DONE)
        (void) complain("it does not work again; ");
    close(stranger);

    if (complaint[0] || o == BUS_LOST)
        return;
    left = settled_blocks(neighbour, *blocks);
    if (*blocks < 0)
        *blocks = left;
    /* Fewer are fine: not everything that is made with the first question to the bus is there when
     * that question could not be asked. */
    else if (left > *blocks)
        (void) complain("%+d blocks are left; ", (int) (left - *blocks));
}

/* The service is on the bus again; that takes it a while, so once is enough for a way. */
static void check_return(bool *seen)
{
    if (test_mediator_wait_log(&mediator, "no D-Bus") < 0)
        (void) complain("gone from the bus, and the log does not say so; ");
    else if (!*seen)
        wait_for_name();
    *seen = true;
}

/*
 * Walks it in a new mediator with the @n-th allocation failing, 0: none.
 *
 * Returns whether one failed. *blocks as above. *returned: a return to the bus was seen already.
 */
static bool try(const Way *way, unsigned n, int64_t *blocks, bool *returned)
{
    int neighbour;
    bool failed;
    size_t from;
    Outcome o;

    assert_int_equal(test_mediator_start(&mediator, way->config ? way->config : CONFIG,
                                         way->has_bus ? "system" : "none"),
                     0);
    if (way->has_bus)
        wait_for_name();
    neighbour = dial();
    assert_int_equal(say_hello(neighbour, NEIGHBOUR_ID, 0), DONE);
    assert_int_equal(add(neighbour, NEIGHBOUR_ID), DONE);
    if (way->prepare)
        way->prepare();
    expect_pong(neighbour); /* nothing is left to do */
    from = log_size();

    failing_malloc_arm(memory, mediator.pid, n);
    o = walk(way);
    failed = failing_malloc_disarm(memory);

    if (waitpid(mediator.pid, NULL, WNOHANG) != 0) {
        char *log = log_since(from);

        (void) complain("the service ended: \"%s\"; ", log);
        free(log);
        mediator.pid = 0;
    } else {
        check_service(way, o, neighbour, blocks);
        if (o == BUS_LOST)
            check_return(returned);
        check_log(from, way, o);
    }
    close(neighbour);
    if (test_mediator_stop(&mediator) != 0)
        (void) complain("it does not exit with 0; ");
    return failed;
}

static void walk_out_of_memory(void **state)
{
    const Way *way = *state;
    unsigned n_wrong = 0, n = 0;
    int64_t blocks = -1;
    bool failed = true, returned = false;

    while (n == 0 || failed) {
        complaint[0] = '\0';
        failed = try(way, n, &blocks, &returned);
        if (complaint[0]) {
            n_wrong++;
            fprintf(stderr, "allocation %u: %s\n%s", n, complaint, memory->where);
        }
        if (n == 0)
            failed = true;
        n++;
    }
    fprintf(stderr, "%u allocations, %u wrong\n", n - 2, n_wrong);
    assert_int_equal(n_wrong, 0);
    assert_true(n > 2);
}

static const Way ways[] = {
    {"request", .walk = walk_request},
    {"pieces", .walk = walk_pieces},
    {"ring", .walk = walk_ring},
    {"executor", .walk = walk_executor_start, .ends_executor = true},
    {"session", .walk = walk_session, .config = CUDA_CONFIG},
    {"bus-session", .walk = walk_session, .config = CUDA_CONFIG, .has_bus = true},
    {"bus-request", .walk = walk_request, .has_bus = true},
    {"bus-ring", .walk = walk_ring, .has_bus = true},
    {"bus-hello", .walk = walk_registered, .has_bus = true, .prepare = prepare_web},
    {"bus-register", .call = walk_register, .has_bus = true},
    {"bus-priority", .call = walk_priority, .has_bus = true, .prepare = prepare_web},
    {"bus-limits", .call = walk_limits, .has_bus = true, .prepare = prepare_web},
    {"bus-list", .call = walk_list, .has_bus = true, .prepare = prepare_web},
    {"bus-histograms", .call = walk_histograms, .has_bus = true, .prepare = prepare_web},
    {"bus-properties", .call = walk_properties, .has_bus = true, .prepare = prepare_web},
    {"bus-objects", .call = walk_objects, .has_bus = true, .prepare = prepare_web},
};

static int start(void **state)
{
    const Way *way = *state;

    memory = failing_malloc_new();
    if (!memory)
        return -1;
    if (!way->has_bus)
        return 0;
    if (test_bus_start(&test_bus) < 0 || sd_bus_open_system(&bus) < 0)
        return -1;
    return sd_bus_set_method_call_timeout(bus, BUS_TIMEOUT_USEC) < 0 ? -1 : 0;
}

static int end(void **state)
{
    const Way *way = *state;

    bus = sd_bus_flush_close_unref(bus);
    if (way->has_bus)
        test_bus_stop(&test_bus);
    return 0;
}

int main(int argc, char **argv)
{
    const Way *way = NULL;

    for (size_t i = 0; argc == 2 && i < sizeof(ways) / sizeof(ways[0]); i++)
        if (strcmp(argv[1], ways[i].name) == 0)
            way = &ways[i];
    if (!way) {
        fprintf(stderr, "test-out-of-memory WAY\n");
        return 2;
    }
    if (!getenv("VGPU_TEST_PRELOAD")) {
        printf("1..0 # SKIP VGPU_TEST_PRELOAD does not name failing-malloc.so\n");
        return 0;
    }

    const struct CMUnitTest tests[] = {
        {way->name, walk_out_of_memory, start, end, (void *) way},
    };
    return cmocka_run_group_tests_name("out-of-memory", tests, NULL, NULL);
}
