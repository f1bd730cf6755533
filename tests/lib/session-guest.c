/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "session-guest.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "wire.h"

#define RECORD_SIZE_MAX ((uint32_t) VGPU_SESSION_RECORD_MAX)

__attribute__((format(printf, 1, 2), noreturn)) static void die(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    fputs("session guest: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    abort();
}

static char *read_text(const SessionGuest *g)
{
    struct stat st;
    char *text;

    if (fstat(g->text, &st) < 0)
        die("text: %s", strerror(errno));
    text = calloc(1, (size_t) st.st_size + 1);
    if (!text || pread(g->text, text, (size_t) st.st_size, 0) != st.st_size)
        die("text: %s", strerror(errno));
    return text;
}

/* With what the executor has said */
__attribute__((noreturn)) static void die_of(const SessionGuest *g, const char *what)
{
    die("%s; the header's state is %u; it said: %s", what, g->header->state,
        g->text >= 0 ? read_text(g) : "");
}

/* Nothing more comes of a process that is gone. To be asked before the last look. */
static bool is_gone(const SessionGuest *g)
{
    struct pollfd fd = {.fd = g->socket};

    return g->socket >= 0 && poll(&fd, 1, 0) > 0 && (fd.revents & POLLHUP);
}

static int64_t now_msec(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * INT64_C(1000) + ts.tv_nsec / 1000000;
}

/* ---- The area -----------------------------------------------------------------------------------
 */

static int sealed_memory(int memfd, const char *name, uint64_t size)
{
    int fd = memfd ? memfd : memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);

    if (fd < 0 || ftruncate(fd, (off_t) size) < 0 ||
        fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) < 0)
        die("memfd: %s", strerror(errno));
    return fd;
}

static void *map(int fd, uint64_t size, uint64_t base)
{
    int flags = MAP_SHARED | (base ? MAP_FIXED_NOREPLACE : 0);
    void *memory = mmap((void *) base, size, PROT_READ | PROT_WRITE, flags, fd, 0);

    if (memory == MAP_FAILED)
        die("mmap: %s", strerror(errno));
    return memory;
}

static void open_descriptors(SessionGuest *g, int memfd, int account)
{
    g->fds[SESSION_FD_WINDOW] = sealed_memory(memfd, "window", g->window_size);
    g->fds[SESSION_FD_CONTROL] = sealed_memory(0, "control", sizeof(SessionControl));
    g->fds[SESSION_FD_ACCOUNT] = sealed_memory(account, "account", sizeof(SessionAccount));
    g->fds[SESSION_FD_DOORBELL] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    g->fds[SESSION_FD_INTERRUPT] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    g->fds[SESSION_FD_GATE] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    for (int i = 0; i < SESSION_N_FDS; i++)
        if (g->fds[i] < 0)
            die("descriptor %d: %s", i, strerror(errno));
}

void session_guest_open(SessionGuest *g, const SessionGuestOptions *options)
{
    const SessionGuestOptions o = options ? *options : (SessionGuestOptions){0};
    uint32_t ring_size = o.ring_size ? o.ring_size : VGPU_SESSION_RING_MIN;

    *g = (SessionGuest){
        .window_size = o.window_size ? o.window_size : VGPU_WINDOW_SIZE_DEFAULT,
        .socket = -1,
        .text = -1,
        .start =
            {
                .type = SESSION_MSG_START,
                .offset = o.offset,
                .images_max = UINT64_MAX,
                .kernel_timeout_usec = UINT64_MAX,
                .objects_max = 4096,
                .account_slot = o.slot,
                .name = "test",
            },
    };
    if (!vgpu_session_is_valid(g->window_size, o.offset, ring_size))
        die("the window has no room for that");
    open_descriptors(g, o.memfd, o.account);
    g->window = map(g->fds[SESSION_FD_WINDOW], g->window_size, o.window_base);
    g->control = map(g->fds[SESSION_FD_CONTROL], sizeof(SessionControl), 0);
    g->control->gate = 1;
    g->account = map(g->fds[SESSION_FD_ACCOUNT], sizeof(SessionAccount), 0);
    if (!o.account)
        g->account->memory_max = UINT64_MAX;
    g->header = (VGPUSessionHeader *) (g->window + o.offset);
    g->ring = (unsigned char *) g->header + VGPU_SESSION_HEADER_SIZE;
    g->replies = (VGPUSessionReply *) (g->ring + ring_size);
    g->heap = o.offset + vgpu_session_size(ring_size);
    *g->header = (VGPUSessionHeader){
        .magic = VGPU_SESSION_MAGIC,
        .version = VGPU_SESSION_VERSION,
        .ring_size = ring_size,
        .guest_pid = (uint32_t) getpid(),
        .window_base = o.window_base,
        .flags = o.flags,
        .command = "session-guest",
    };
}

void session_guest_close(SessionGuest *g)
{
    if (g->pid > 0) {
        kill(g->pid, SIGKILL);
        waitpid(g->pid, NULL, 0);
    }
    if (g->socket >= 0)
        close(g->socket);
    if (g->text >= 0)
        close(g->text);
    if (g->text_path[0] != '\0')
        (void) unlink(g->text_path);
    munmap(g->window, g->window_size);
    munmap(g->control, sizeof(SessionControl));
    munmap(g->account, sizeof(SessionAccount));
    for (int i = 0; i < SESSION_N_FDS; i++)
        close(g->fds[i]);
    *g = (SessionGuest){.socket = -1, .text = -1};
}

/* ---- The mediator's side ------------------------------------------------------------------------
 */

__attribute__((noreturn)) static void run_executor(int socket, const SessionGuest *g,
                                                   const char *plan)
{
    const char *program = getenv("VGPU_EXECUTOR");
    const char *drivers = getenv("VGPU_FAKE_CUDA_DIR");
    char fd[32];

    if (!program)
        die("VGPU_EXECUTOR is not set");
    snprintf(fd, sizeof(fd), "--fd=%d", socket);
    setenv("VGPU_FAKE_CUDA_ERRORS", g->text_path, 1);
    if (fcntl(socket, F_SETFD, 0) < 0 || dup2(g->text, STDERR_FILENO) < 0)
        die("descriptors: %s", strerror(errno));
    if (drivers)
        setenv("LD_LIBRARY_PATH", drivers, 1);
    /* Where the plan's files are, which the executor could not write elsewhere. */
    setenv("TMPDIR", "/tmp", 1);
    if (plan)
        setenv("VGPU_FAKE_CUDA", plan, 1);
    else
        unsetenv("VGPU_FAKE_CUDA");
    execl(program, program, "--session", fd, NULL);
    die("%s: %s", program, strerror(errno));
}

/* One that cannot even say that ends, which the test will see. */
static void hear_hello(SessionGuest *g)
{
    uint32_t hello;
    ssize_t n = session_guest_message(g, &hello, sizeof(hello), SESSION_GUEST_TIMEOUT_MSEC);

    if (n != 0 && (n != sizeof(hello) || hello != SESSION_MSG_HELLO))
        die("the executor does not say HELLO");
}

void session_guest_spawn(SessionGuest *g, const char *plan)
{
    int pair[2];

    snprintf(g->text_path, sizeof(g->text_path), "/tmp/vgpu-session-text.XXXXXX");
    g->text = mkostemp(g->text_path, O_CLOEXEC | O_APPEND);
    if (g->text < 0 || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        die("socketpair: %s", strerror(errno));
    g->pid = fork();
    if (g->pid < 0)
        die("fork: %s", strerror(errno));
    if (g->pid == 0)
        run_executor(pair[1], g, plan);
    close(pair[1]);
    g->socket = pair[0];
    hear_hello(g);
}

void session_guest_warm(SessionGuest *g, const char *device)
{
    SessionWarm warm = {.type = SESSION_MSG_WARM};

    snprintf(warm.device, sizeof(warm.device), "%s", device);
    if (!wire_send_bytes(g->socket, &warm, sizeof(warm), NULL, 0))
        die("WARM: %s", strerror(errno));
}

void session_guest_send_start(SessionGuest *g, const int fds[], unsigned n_fds)
{
    if (!wire_send_bytes(g->socket, &g->start, sizeof(g->start), fds, n_fds))
        die("START: %s", strerror(errno));
}

int session_guest_start(SessionGuest *g)
{
    ssize_t n;

    session_guest_send_start(g, g->fds, SESSION_N_FDS);
    n = session_guest_message(g, &g->started, sizeof(g->started), SESSION_GUEST_TIMEOUT_MSEC);
    /* The driver has it open. */
    (void) unlink(g->text_path);
    g->text_path[0] = '\0';
    if (n != sizeof(g->started) || g->started.type != SESSION_MSG_STARTED)
        return -EPIPE;
    return g->started.error;
}

ssize_t session_guest_message(SessionGuest *g, void *buf, size_t size, int timeout_msec)
{
    struct pollfd fd = {.fd = g->socket, .events = POLLIN};
    int ready = poll(&fd, 1, timeout_msec);
    ssize_t n;

    if (ready == 0)
        return -ETIMEDOUT;
    n = ready < 0 ? -1 : recv(g->socket, buf, size, MSG_TRUNC);
    if (n < 0 && errno == ECONNRESET)
        return 0;
    if (n < 0 || (size_t) n > size)
        die("a packet of %zd bytes: %s", n, strerror(errno));
    return n;
}

bool session_guest_wait_ended(SessionGuest *g, SessionEnded *ret)
{
    for (;;) {
        union {
            uint32_t type;
            SessionEnded ended;
            SessionStarted started;
        } m;
        ssize_t n = session_guest_message(g, &m, sizeof(m), SESSION_GUEST_TIMEOUT_MSEC);

        if (n == -ETIMEDOUT)
            die("the session does not end");
        if (n <= 0)
            return false;
        if (n == sizeof(m.ended) && m.type == SESSION_MSG_ENDED) {
            *ret = m.ended;
            return true;
        }
    }
}

void session_guest_gate(SessionGuest *g, bool is_open)
{
    const uint64_t one = 1;

    __atomic_store_n(&g->control->gate, is_open, __ATOMIC_SEQ_CST);
    if (write(g->fds[SESSION_FD_GATE], &one, sizeof(one)) != sizeof(one))
        die("gate: %s", strerror(errno));
}

bool session_guest_says(SessionGuest *g, const char *what)
{
    char *text = read_text(g);
    bool is_there = strstr(text, what) != NULL;

    free(text);
    return is_there;
}

int session_guest_end(SessionGuest *g, char **ret_text)
{
    int64_t end = now_msec() + SESSION_GUEST_TIMEOUT_MSEC;
    int status;
    pid_t r;

    if (g->socket >= 0)
        close(g->socket);
    g->socket = -1;
    while ((r = waitpid(g->pid, &status, WNOHANG)) == 0) {
        if (now_msec() > end)
            die("the executor does not end");
        usleep(1000);
    }
    if (r != g->pid)
        die("waitpid: %s", strerror(errno));
    g->pid = 0;
    if (ret_text)
        *ret_text = read_text(g);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

/* ---- The guest's side ---------------------------------------------------------------------------
 */

uint64_t session_guest_alloc(SessionGuest *g, uint64_t size)
{
    uint64_t offset = g->heap;

    size = (size + 4095) / 4096 * 4096;
    if (size > g->window_size - offset)
        die("the window is full");
    g->heap += size;
    memset(g->window + offset, 0, size);
    return offset;
}

static void wait_for_room(SessionGuest *g, uint32_t size)
{
    int64_t end = now_msec() + SESSION_GUEST_TIMEOUT_MSEC;

    while (g->tail + size - __atomic_load_n(&g->header->head, __ATOMIC_ACQUIRE) >
           g->header->ring_size) {
        session_guest_publish(g);
        sched_yield();
        if (is_gone(g) || now_msec() > end)
            die_of(g, "the executor makes no room in the ring");
    }
}

void session_guest_put_bytes(SessionGuest *g, const void *bytes, uint32_t size)
{
    uint32_t at = (uint32_t) (g->tail % g->header->ring_size);
    uint32_t first = g->header->ring_size - at < size ? g->header->ring_size - at : size;

    wait_for_room(g, size);
    memcpy(g->ring + at, bytes, first);
    memcpy(g->ring, (const char *) bytes + first, size - first);
    g->tail += size;
}

static void pad(SessionGuest *g, uint32_t size)
{
    uint32_t left = g->header->ring_size - (uint32_t) (g->tail % g->header->ring_size);
    const VGPUSessionRecord record = {.size = left, .opcode = VGPU_SESSION_OP_PAD};

    if (size <= left)
        return;
    wait_for_room(g, left);
    memcpy(g->ring + g->tail % g->header->ring_size, &record, sizeof(record));
    g->tail += left;
}

uint64_t session_guest_put(SessionGuest *g, const VGPUSessionRecord *record, const void *parameters,
                           uint32_t size, const void *more, uint32_t more_size)
{
    static _Alignas(16) unsigned char bytes[VGPU_SESSION_RECORD_MAX];
    uint32_t whole = (uint32_t) sizeof(*record) + size + more_size;
    VGPUSessionRecord header = *record;
    uint64_t position;

    header.size = (whole + VGPU_SESSION_RECORD_ALIGNMENT - 1) & ~15u;
    if (header.capture_mode == 0)
        header.capture_mode = g->capture_mode;
    if (header.thread == 0)
        header.thread = g->thread;
    if (header.size > RECORD_SIZE_MAX)
        die("a record of %u bytes", header.size);
    memset(bytes, 0, header.size);
    memcpy(bytes, &header, sizeof(header));
    memcpy(bytes + sizeof(header), parameters, size);
    if (more_size > 0)
        memcpy(bytes + sizeof(header) + size, more, more_size);
    if (record->reply > 0)
        __atomic_store_n(&g->replies[record->reply - 1].state, VGPU_SESSION_REPLY_PENDING,
                         __ATOMIC_RELAXED);
    pad(g, header.size);
    position = g->tail;
    session_guest_put_bytes(g, bytes, header.size);
    return position;
}

static void ring_doorbell(const SessionGuest *g)
{
    const uint64_t one = 1;

    if (write(g->fds[SESSION_FD_DOORBELL], &one, sizeof(one)) != sizeof(one))
        die("doorbell: %s", strerror(errno));
}

bool session_guest_publish(SessionGuest *g)
{
    __atomic_store_n(&g->header->tail, g->tail, __ATOMIC_RELEASE);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (__atomic_load_n(&g->header->executor_waits, __ATOMIC_RELAXED) == 0)
        return false;
    ring_doorbell(g);
    return true;
}

uint64_t session_guest_submit(SessionGuest *g, uint16_t opcode, uint32_t context,
                              const void *parameters, uint32_t size)
{
    const VGPUSessionRecord record = {.opcode = opcode, .context = context};
    uint64_t position = session_guest_put(g, &record, parameters, size, NULL, 0);

    session_guest_publish(g);
    return position;
}

void session_guest_begin(SessionGuest *g, uint16_t slot, uint16_t opcode, uint32_t context,
                         const void *parameters, uint32_t size)
{
    const VGPUSessionRecord record = {.opcode = opcode, .context = context, .reply = slot};

    session_guest_put(g, &record, parameters, size, NULL, 0);
    session_guest_publish(g);
}

bool session_guest_is_done(const SessionGuest *g, uint16_t slot)
{
    return __atomic_load_n(&g->replies[slot - 1].state, __ATOMIC_ACQUIRE) ==
           VGPU_SESSION_REPLY_DONE;
}

bool session_guest_sleep(const SessionGuest *g, int timeout_msec)
{
    struct pollfd fd = {.fd = g->fds[SESSION_FD_INTERRUPT], .events = POLLIN};
    uint64_t n;

    return poll(&fd, 1, timeout_msec) == 1 && read(fd.fd, &n, sizeof(n)) == sizeof(n);
}

static void sleep_for_reply(SessionGuest *g, uint16_t slot)
{
    __atomic_store_n(&g->header->guest_waits, 1, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    while (!session_guest_is_done(g, slot))
        if (!session_guest_sleep(g, SESSION_GUEST_TIMEOUT_MSEC))
            die_of(g, "no interrupt for a reply");
    __atomic_store_n(&g->header->guest_waits, 0, __ATOMIC_RELAXED);
}

uint32_t session_guest_wait(SessionGuest *g, uint16_t slot, uint64_t *ret_value)
{
    int64_t end = now_msec() + SESSION_GUEST_TIMEOUT_MSEC;
    const VGPUSessionReply *reply = &g->replies[slot - 1];

    if (g->sleeps)
        sleep_for_reply(g, slot);
    while (!session_guest_is_done(g, slot)) {
        bool is_last = is_gone(g) || now_msec() > end;

        sched_yield();
        if (is_last && !session_guest_is_done(g, slot))
            die_of(g, "no reply");
    }
    if (ret_value)
        memcpy(ret_value, reply->value, sizeof(reply->value));
    return reply->result;
}

uint32_t session_guest_call(SessionGuest *g, uint16_t opcode, uint32_t context,
                            const void *parameters, uint32_t size)
{
    return session_guest_call_with(g, opcode, context, parameters, size, NULL, 0, NULL);
}

uint32_t session_guest_call_with(SessionGuest *g, uint16_t opcode, uint32_t context,
                                 const void *parameters, uint32_t size, const void *more,
                                 uint32_t more_size, uint64_t *ret_value)
{
    const VGPUSessionRecord record = {.opcode = opcode, .context = context, .reply = 1};

    session_guest_put(g, &record, parameters, size, more, more_size);
    session_guest_publish(g);
    return session_guest_wait(g, 1, ret_value);
}

void session_guest_context(SessionGuest *g, uint32_t id, bool is_primary)
{
    const VGPUSessionContext p = {.id = id, .primary = is_primary};
    uint32_t r = session_guest_call(g, VGPU_SESSION_OP_CONTEXT_CREATE, 0, &p, sizeof(p));

    if (r != 0)
        die("CONTEXT_CREATE: %u", r);
}

void session_guest_fence(SessionGuest *g, uint32_t context, uint32_t stream, uint64_t offset,
                         uint64_t value)
{
    const VGPUSessionFence p = {.stream = stream, .offset = offset, .value = value};

    session_guest_submit(g, VGPU_SESSION_OP_FENCE, context, &p, sizeof(p));
}

bool session_guest_wait_word(const SessionGuest *g, uint64_t offset, uint64_t value,
                             int timeout_msec)
{
    const uint64_t *word = (const uint64_t *) (g->window + offset);
    int64_t end = now_msec() + timeout_msec;

    while (__atomic_load_n(word, __ATOMIC_ACQUIRE) != value) {
        if (now_msec() > end || is_gone(g))
            return __atomic_load_n(word, __ATOMIC_ACQUIRE) == value;
        sched_yield();
    }
    return true;
}

void session_guest_synchronize(SessionGuest *g, uint32_t context, uint32_t stream)
{
    uint64_t offset = session_guest_alloc(g, sizeof(uint64_t));

    session_guest_fence(g, context, stream, offset, 1);
    if (!session_guest_wait_word(g, offset, 1, SESSION_GUEST_TIMEOUT_MSEC))
        die_of(g, "a fence does not come");
    g->heap = offset; /* nothing came behind it */
}

/* ---- Kernels ------------------------------------------------------------------------------------
 */

static uint64_t read_file(SessionGuest *g, const char *path, uint64_t *ret_size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    uint64_t offset;

    if (fd < 0 || fstat(fd, &st) < 0)
        die("%s: %s", path, strerror(errno));
    /* PTX is text, and ends with a 0. */
    *ret_size = (uint64_t) st.st_size + 1;
    offset = session_guest_alloc(g, *ret_size);
    if (read(fd, g->window + offset, (size_t) st.st_size) != st.st_size)
        die("%s: %s", path, strerror(errno));
    close(fd);
    return offset;
}

static void must(SessionGuest *g, const char *what, uint16_t opcode, uint32_t context,
                 const void *parameters, uint32_t size)
{
    uint32_t r = session_guest_call(g, opcode, context, parameters, size);

    if (r != 0)
        die("%s: %u", what, r);
}

void session_guest_load(SessionGuest *g, uint32_t context, const char *path, uint32_t id)
{
    VGPUSessionImage image = {0};
    VGPUSessionModule module = {.id = id};
    uint64_t offset = read_file(g, path, &image.size);

    for (uint64_t i = 0; i < image.size; i++)
        image.key[i % sizeof(image.key)] ^= (uint8_t) (g->window[offset + i] + i);
    memcpy(module.key, image.key, sizeof(module.key));
    must(g, "IMAGE_BEGIN", VGPU_SESSION_OP_IMAGE_BEGIN, context, &image, sizeof(image));
    image.piece = (VGPUSessionBytes){.offset = offset, .size = image.size};
    must(g, "IMAGE_PIECE", VGPU_SESSION_OP_IMAGE_PIECE, context, &image, sizeof(image));
    must(g, "MODULE_LOAD", VGPU_SESSION_OP_MODULE_LOAD, context, &module, sizeof(module));
    g->heap = offset;
}

void session_guest_function(SessionGuest *g, uint32_t context, uint32_t module, const char *name,
                            uint32_t id)
{
    const VGPUSessionName p = {
        .module = module,
        .id = id,
        .into = {session_guest_alloc(g, 4096), 4096},
        .name_size = (uint32_t) strlen(name) + 1,
    };
    uint32_t r = session_guest_call_with(g, VGPU_SESSION_OP_FUNCTION_GET, context, &p, sizeof(p),
                                         name, p.name_size, NULL);

    if (r != 0)
        die("FUNCTION_GET of %s: %u", name, r);
    g->heap = p.into.offset;
}

void session_guest_launch(SessionGuest *g, uint32_t context, uint32_t stream, uint32_t function,
                          const void *parameters, uint32_t size)
{
    const VGPUSessionRecord record = {.opcode = VGPU_SESSION_OP_LAUNCH, .context = context};
    const VGPUSessionLaunch p = {
        .function = function,
        .stream = stream,
        .grid = {1, 1, 1},
        .block = {1, 1, 1},
        .parameters_size = size,
    };

    session_guest_put(g, &record, &p, sizeof(p), parameters, size);
    session_guest_publish(g);
}
