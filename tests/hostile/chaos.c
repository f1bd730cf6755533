/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Kills the mediator, its executor, and its clients, at random moments, and compares every value
 * that the clients get. Prints TAP, with the figures as comments.
 *
 *   chaos [KILLS [SEED]]
 *
 * Half of the clients send requests one after another, the others have many of them outstanding on
 * a ring. A client whose connection ends makes another and goes on where it was, as the device
 * does.
 */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "mediator.h"
#include "ring-guest.h"
#include "wire.h"

#define CONFIG "[Pool A]\nBackend=cpu\n[Unregistered]\nPolicy=allow\n"

#define N_CLIENTS 6u
#define ENTRIES 64u
#define OUTSTANDING 32u
#define COUNT 100u /* elements of an addition on the ring */
#define DATA_OFFSET 65536u
#define WINDOW (UINT64_C(1) << 20)

/* A client that got no answer for so long counts its requests as lost. */
#define LOST_SEC 30.

/* What a client has seen, in memory that it shares with the test. It outlives the client. */
typedef struct Counts {
    uint64_t right, wrong, twice, lost, failed, connections;
    double longest_gap, last_answer;
    volatile bool stop, over;
} Counts;

typedef struct Client {
    unsigned index;
    pid_t pid;
    Counts *counts;
} Client;

static TestMediator mediator;

static double now_sec(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double) ts.tv_sec + (double) ts.tv_nsec / 1e9;
}

static void count_answer(Counts *c)
{
    double now = now_sec();

    if (c->last_answer > 0 && now - c->last_answer > c->longest_gap)
        c->longest_gap = now - c->last_answer;
    c->last_answer = now;
}

static void count_outcome(Counts *c, uint32_t status, bool right)
{
    count_answer(c);
    if (status == VGPU_ERROR_CUDA_ERROR)
        c->failed++;
    else if (status == VGPU_ERROR_NONE && right)
        c->right++;
    else
        c->wrong++;
}

/* Until there is a mediator again. */
static int client_connect(Counts *c)
{
    int fd;

    while ((fd = wire_connect(mediator.socket)) < 0)
        usleep(2000);
    c->connections++;
    return fd;
}

/* ---- One request after another ------------------------------------------------------------ */

/* Returns false when the connection has ended. */
static bool take_response(Counts *c, int fd, uint32_t id)
{
    WireMessage m;

    for (;;) {
        if (wire_receive(fd, &m) != 1)
            return false;
        if (m.header.msg_type != VGPU_MSG_RESPONSE)
            continue;
        if (m.header.request_id == id)
            break;
        c->twice++;
    }
    count_outcome(c, m.response.status,
                  m.response.result_count == 1 && m.results.results[0] == id * 3);
    return true;
}

static void run_plain(const Client *client)
{
    Counts *c = client->counts;
    int fd = client_connect(c);

    for (uint32_t id = 1; !c->stop; id++)
        while (
            !wire_send_add(fd, 1 + client->index, id, (uint8_t) (client->index % 3), id, 2 * id) ||
            !take_response(c, fd, id)) {
            close(fd);
            fd = client_connect(c);
        }
    close(fd);
}

/* ---- Many on a ring ------------------------------------------------------------------------ */

typedef struct RingClient {
    Counts *counts;
    RingGuest guest;
    uint64_t next;        /* tag */
    bool is_out[ENTRIES]; /* by tag modulo ENTRIES */
    unsigned n_out;
} RingClient;

static int64_t *operand(RingClient *r, uint64_t tag, unsigned which)
{
    return (int64_t *) (r->guest.window + DATA_OFFSET) + ((tag % ENTRIES) * 3 + which) * COUNT;
}

static uint64_t offset_of(RingClient *r, uint64_t tag, unsigned which)
{
    return (uint64_t) ((char *) operand(r, tag, which) - r->guest.window);
}

static void submit_next(RingClient *r)
{
    uint64_t tag = r->next++;
    VGPUSubmission s = ring_guest_add(tag, COUNT, offset_of(r, tag, 0), offset_of(r, tag, 1),
                                      offset_of(r, tag, 2));

    for (unsigned i = 0; i < COUNT; i++) {
        operand(r, tag, 0)[i] = (int64_t) (tag * 7 + i);
        operand(r, tag, 1)[i] = (int64_t) (tag << 20);
        operand(r, tag, 2)[i] = -1;
    }
    r->is_out[tag % ENTRIES] = true;
    r->n_out++;
    ring_guest_submit(&r->guest, &s);
}

static bool sums_are_right(RingClient *r, uint64_t tag)
{
    for (unsigned i = 0; i < COUNT; i++)
        if (operand(r, tag, 2)[i] != (int64_t) (tag * 7 + i + (tag << 20)))
            return false;
    return true;
}

static void take_completions(RingClient *r)
{
    VGPUCompletion completion;

    while (ring_guest_take(&r->guest, &completion)) {
        uint64_t tag = completion.tag;

        if (tag >= r->next || r->next - tag > ENTRIES || !r->is_out[tag % ENTRIES]) {
            r->counts->twice++;
            continue;
        }
        r->is_out[tag % ENTRIES] = false;
        r->n_out--;
        count_outcome(r->counts, completion.status, sums_are_right(r, tag));
    }
}

/* Connects, and has the ring taken up as it is. */
static int ring_connect(RingClient *r, unsigned index)
{
    const VGPUHello hello = {.features = VGPU_FEATURE_RING};
    VGPUSocketHeader h = wire_header(VGPU_MSG_HELLO, 1 + index, 1, 0, sizeof(hello));

    for (;;) {
        int fd = client_connect(r->counts);
        VGPURingReady ready;
        WireMessage m;

        if (wire_send(fd, &h, &hello) && wire_receive(fd, &m) == 1 &&
            m.header.msg_type == VGPU_MSG_WELCOME &&
            ring_guest_setup(&r->guest, fd, 2, VGPU_RING_N_FDS) && wire_receive(fd, &m) == 1 &&
            m.header.msg_type == VGPU_MSG_RING_READY) {
            memcpy(&ready, m.payload, sizeof(ready));
            if (ready.error == VGPU_ERROR_NONE)
                return fd;
        }
        close(fd);
        usleep(2000);
    }
}

/* Until a completion is signalled, or the connection ends. */
static bool wait_for_signal(RingClient *r, int fd)
{
    struct pollfd p[] = {{.fd = fd, .events = POLLIN}, {.fd = r->guest.fds[2], .events = POLLIN}};
    uint64_t count;

    __atomic_store_n(&r->guest.header->cq_event, r->guest.cq_head, __ATOMIC_RELEASE);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (__atomic_load_n(&r->guest.header->cq_tail, __ATOMIC_ACQUIRE) != r->guest.cq_head)
        return true;
    (void) poll(p, 2, 1000);
    if (p[1].revents)
        (void) !read(r->guest.fds[2], &count, sizeof(count));
    return !p[0].revents;
}

static void run_ring(const Client *client)
{
    RingClient r = {.counts = client->counts};
    int fd;

    if (ring_guest_open(&r.guest, WINDOW, 0, ENTRIES, 0) < 0)
        _exit(1);
    fd = ring_connect(&r, client->index);
    while (!r.counts->stop || r.n_out > 0) {
        /* A slot is free again when all before it are over, too. */
        while (!r.counts->stop && r.n_out < OUTSTANDING && !r.is_out[r.next % ENTRIES] &&
               ring_guest_room(&r.guest) > 0)
            submit_next(&r);
        if (!wait_for_signal(&r, fd)) {
            close(fd);
            fd = ring_connect(&r, client->index);
        }
        take_completions(&r);
        if (r.counts->last_answer > 0 && now_sec() - r.counts->last_answer > LOST_SEC) {
            r.counts->lost += r.n_out;
            break;
        }
    }
    close(fd);
    ring_guest_close(&r.guest);
}

/* ---- Who kills --------------------------------------------------------------------------- */

static void client_start(Client *client)
{
    client->pid = fork();
    if (client->pid != 0)
        return;
    (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
    client->counts->last_answer = 0;
    if (client->index % 2)
        run_ring(client);
    else
        run_plain(client);
    client->counts->over = true;
    _exit(0);
}

static void client_kill(Client *client)
{
    (void) kill(client->pid, SIGKILL);
    (void) waitpid(client->pid, NULL, 0);
    client_start(client);
}

/* Ends each, when it has all its answers. One that waits for ever has lost some. */
static void client_end(Client *client)
{
    double end = now_sec() + 2 * LOST_SEC;

    client->counts->stop = true;
    while (!client->counts->over && now_sec() < end)
        usleep(10000);
    if (!client->counts->over)
        client->counts->lost++;
    (void) kill(client->pid, SIGKILL);
    (void) waitpid(client->pid, NULL, 0);
}

static int mediator_kill(void)
{
    if (test_mediator_signal_and_wait(&mediator, SIGKILL) != 128 + SIGKILL)
        return -1;
    return test_mediator_run(&mediator, "none");
}

/* chaos() - @kills of them. Returns a negative value when the mediator does not start again. */
static int chaos(Client *clients, unsigned kills)
{
    unsigned n_mediator = 0, n_executor = 0, n_client = 0;

    for (unsigned i = 0; i < kills; i++) {
        pid_t executor;

        usleep((useconds_t) (50000 + random() % 200000));
        switch (random() % 3) {
        case 0:
            n_mediator++;
            if (mediator_kill() < 0)
                return -1;
            break;
        case 1:
            executor = test_mediator_executor(&mediator);
            if (executor > 0 && kill(executor, SIGKILL) == 0)
                n_executor++;
            break;
        default:
            n_client++;
            client_kill(&clients[(unsigned) random() % N_CLIENTS]);
        }
    }
    printf("# killed: %u times the mediator, %u an executor, %u a client\n", n_mediator, n_executor,
           n_client);
    return 0;
}

static bool result(unsigned number, bool good, const char *name)
{
    printf("%s %u - %s\n", good ? "ok" : "not ok", number, name);
    return good;
}

static bool conclude(const Client *clients)
{
    Counts sum = {0};
    bool all_served = true, good;

    for (unsigned i = 0; i < N_CLIENTS; i++) {
        const Counts *c = clients[i].counts;

        sum.right += c->right;
        sum.wrong += c->wrong;
        sum.twice += c->twice;
        sum.lost += c->lost;
        sum.failed += c->failed;
        sum.connections += c->connections;
        if (c->longest_gap > sum.longest_gap)
            sum.longest_gap = c->longest_gap;
        all_served = all_served && c->right > 0;
    }
    printf(
        "# answers: %llu right, %llu wrong, %llu twice, %llu lost, %llu failed with the executor\n",
        (unsigned long long) sum.right, (unsigned long long) sum.wrong,
        (unsigned long long) sum.twice, (unsigned long long) sum.lost,
        (unsigned long long) sum.failed);
    printf("# connections: %llu; longest time without an answer: %.2f s\n",
           (unsigned long long) sum.connections, sum.longest_gap);
    good = result(2, sum.wrong == 0, "no answer is wrong");
    good = result(3, sum.twice == 0, "no answer comes twice") && good;
    good = result(4, sum.lost == 0, "no answer is lost") && good;
    return result(5, all_served, "every client is served") && good;
}

int main(int argc, char **argv)
{
    unsigned kills = argc > 1 ? (unsigned) strtoul(argv[1], NULL, 10) : 1000;
    unsigned seed = argc > 2 ? (unsigned) strtoul(argv[2], NULL, 10) : (unsigned) time(NULL);
    Counts *counts = mmap(NULL, N_CLIENTS * sizeof(*counts), PROT_READ | PROT_WRITE,
                          MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    Client clients[N_CLIENTS];
    bool good;

    if (counts == MAP_FAILED || test_mediator_start(&mediator, CONFIG, "none") < 0)
        return EXIT_FAILURE;
    setvbuf(stdout, NULL, _IOLBF, 0);
    printf("1..5\n# seed %u\n", seed);
    srandom(seed);
    for (unsigned i = 0; i < N_CLIENTS; i++) {
        clients[i] = (Client){.index = i, .counts = &counts[i]};
        client_start(&clients[i]);
    }
    good = result(1, chaos(clients, kills) == 0, "the mediator starts again each time");
    for (unsigned i = 0; i < N_CLIENTS; i++)
        client_end(&clients[i]);
    good = conclude(clients) && good;
    return test_mediator_stop(&mediator) == 0 && good ? EXIT_SUCCESS : EXIT_FAILURE;
}
