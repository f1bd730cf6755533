/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "test-executor-client.h"

#include "cleanup.h"
#include "fd-passing.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

__attribute__((format(printf, 1, 2), noreturn)) static void die(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    fputs("executor client: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    abort();
}

/* ---- Starting and ending --------------------------------------------------- */

static void set_variable(const char *name, const char *value)
{
    if ((value ? setenv(name, value, 1) : unsetenv(name)) < 0)
        die("setenv: %s", strerror(errno));
}

static char script_path[] = "/tmp/vgpu-test-XXXXXX";

static void remove_script(void)
{
    unlink(script_path);
}

static void write_script(void)
{
    static const char script[] = "#!/bin/sh\n"
                                 "exec \"$TEST_EXECUTOR\" \"$@\""
                                 " ${TEST_KERNELS+\"--kernels=$TEST_KERNELS\"}"
                                 " ${TEST_DEVICE+\"--device=$TEST_DEVICE\"}\n";
    CLEANUP_CLOSE int fd = mkostemp(script_path, O_CLOEXEC);

    if (fd < 0 || atexit(remove_script) != 0 || fchmod(fd, 0700) < 0 ||
        write(fd, script, strlen(script)) != (ssize_t) strlen(script))
        die("%s: %s", script_path, strerror(errno));
}

/* The mediator gives no --kernels, and no --device that is no number. A script in between adds
 * them, and exec keeps the process. */
static const char *path_of_executor(const ClientOptions *o)
{
    static bool script_is_written;

    if (!o->kernels && !o->device)
        return o->executor;

    set_variable("TEST_EXECUTOR", o->executor);
    set_variable("TEST_KERNELS", o->kernels);
    set_variable("TEST_DEVICE", o->device);
    if (!script_is_written)
        write_script();
    script_is_written = true;
    return script_path;
}

/* With the executor's environment and standard error in the place of ours */
static int start_process(Client *c, const ClientOptions *o)
{
    const ExecutorOptions options = {
        .path = path_of_executor(o),
        .backend = o->backend,
        .device = "0",
        .slots = o->slots > 0 ? o->slots : 4,
        .busy_poll_usec = o->busy_poll_usec,
        .pool = 'T',
    };
    const char *libraries = getenv("LD_LIBRARY_PATH");
    CLEANUP_FREE char *our_libraries = libraries ? strdup(libraries) : NULL;
    CLEANUP_CLOSE int our_stderr = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 10);
    int r;

    if (o->library_dir)
        set_variable("LD_LIBRARY_PATH", o->library_dir);
    set_variable("VGPU_FAKE_CUDA", o->fake);
    dup2(c->stderr_fd, STDERR_FILENO);

    r = executor_process_start(&c->process, &options);

    dup2(our_stderr, STDERR_FILENO);
    set_variable("LD_LIBRARY_PATH", our_libraries);
    return r;
}

Client *client_start(const ClientOptions *o)
{
    const struct timeval timeout = {.tv_sec = CLIENT_TIMEOUT_S};
    Client *c = calloc(1, sizeof(*c));
    int r;

    if (!c)
        die("out of memory");
    c->process = EXECUTOR_PROCESS_NONE;
    c->stderr_fd = memfd_create("stderr", MFD_CLOEXEC);
    r = start_process(c, o);
    if (r < 0)
        die("%s: %s", o->executor, strerror(-r));

    setsockopt(c->process.fds[EXECUTOR_FD_SOCKET], SOL_SOCKET, SO_RCVTIMEO, &timeout,
               sizeof(timeout));
    setsockopt(c->process.fds[EXECUTOR_FD_SOCKET], SOL_SOCKET, SO_SNDTIMEO, &timeout,
               sizeof(timeout));
    c->requests = (ExecutorWriter){
        .queue = &c->process.memory->requests,
        .event = c->process.fds[EXECUTOR_FD_REQUESTS_EVENT],
    };
    c->answers.queue = &c->process.memory->answers;
    return c;
}

static char *read_stderr(int fd)
{
    off_t size = lseek(fd, 0, SEEK_END);
    char *text = calloc(1, (size_t) size + 1);

    if (!text || pread(fd, text, (size_t) size, 0) != size)
        die("can't read what the executor said");
    return text;
}

/* Waits for an event, not for a moment: the end of a process makes its pidfd readable. */
static int wait_for_end(pid_t pid)
{
    struct pollfd p = {.fd = (int) syscall(SYS_pidfd_open, pid, 0), .events = POLLIN};
    int status;

    if (p.fd < 0 || poll(&p, 1, CLIENT_TIMEOUT_S * 1000) != 1) {
        kill(pid, SIGKILL);
        die("the executor does not end");
    }
    close(p.fd);
    if (waitpid(pid, &status, 0) != pid)
        die("waitpid: %s", strerror(errno));

    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int client_end(Client *c, char **ret_stderr)
{
    int status = wait_for_end(c->process.pid);

    if (ret_stderr)
        *ret_stderr = read_stderr(c->stderr_fd);

    executor_process_close(&c->process);
    close(c->stderr_fd);
    free(c->pending);
    free(c);
    return status;
}

void client_hang_up(Client *c)
{
    if (c->process.fds[EXECUTOR_FD_SOCKET] >= 0)
        close(c->process.fds[EXECUTOR_FD_SOCKET]);
    c->process.fds[EXECUTOR_FD_SOCKET] = -1;
}

/* ---- Messages from us --------------------------------------------------------- */

bool client_send_socket(Client *c, const void *bytes, size_t size)
{
    return client_send_with_fds(c, bytes, size, NULL, 0);
}

bool client_send_with_fds(Client *c, const void *bytes, size_t size, const int fds[], unsigned n)
{
    ssize_t sent = fd_passing_send(c->process.fds[EXECUTOR_FD_SOCKET], bytes, size, fds, n, 0);

    if (sent == (ssize_t) size)
        return true;
    if (sent != -EPIPE && sent != -ECONNRESET)
        die("sendmsg: %s", strerror(sent < 0 ? (int) -sent : EIO));
    return false;
}

void client_sync(const Client *c)
{
    time_t give_up = time(NULL) + CLIENT_TIMEOUT_S;
    int unread = 1;

    while (unread > 0) {
        if (ioctl(c->process.fds[EXECUTOR_FD_SOCKET], SIOCOUTQ, &unread) < 0 ||
            time(NULL) > give_up)
            die("the executor does not read its socket");
        sched_yield();
    }
}

/* How long the message is that begins there: no longer than what is there. */
static size_t message_length(const unsigned char *bytes, size_t size)
{
    ExecutorHeader h;
    size_t length;

    if (size < sizeof(h))
        die("a piece of a message");
    memcpy(&h, bytes, sizeof(h));
    length = sizeof(h) + (size_t) h.length;
    return length < size ? length : size;
}

static void put_in_queue(Client *c, const unsigned char *bytes, size_t size)
{
    ExecutorMessage *m = executor_writer_begin(&c->requests);

    memcpy(&m->header, bytes, sizeof(m->header));
    memcpy(m->payload, bytes + sizeof(m->header), size - sizeof(m->header));
    c->unanswered++;
}

/* Those for which there is room. */
static void send_pending(Client *c)
{
    while (c->pending_start < c->pending_end && c->unanswered < EXECUTOR_QUEUE_LENGTH) {
        const unsigned char *bytes = c->pending + c->pending_start;
        size_t size = message_length(bytes, c->pending_end - c->pending_start);

        put_in_queue(c, bytes, size);
        c->pending_start += size;
    }
    if (c->pending_start == c->pending_end)
        c->pending_start = c->pending_end = 0;
    executor_writer_flush(&c->requests);
}

static void add_pending(Client *c, const unsigned char *bytes, size_t size)
{
    unsigned char *pending = realloc(c->pending, c->pending_end + size);

    if (!pending)
        die("out of memory");
    memcpy(pending + c->pending_end, bytes, size);
    c->pending = pending;
    c->pending_end += size;
}

bool client_send(Client *c, const void *bytes, size_t size)
{
    const unsigned char *p = bytes, *end = p + size;
    ExecutorHeader h;

    while (p < end) {
        size_t length = message_length(p, (size_t) (end - p));

        memcpy(&h, p, sizeof(h));
        if (h.type == EXECUTOR_MSG_WINDOW_ADD || h.type == EXECUTOR_MSG_WINDOW_REMOVE) {
            if (!client_send_socket(c, p, length))
                return false;
        } else {
            add_pending(c, p, length);
        }
        p += length;
    }

    send_pending(c);
    return true;
}

/* ---- Messages to us --------------------------------------------------------- */

void client_hello(Client *c)
{
    struct {
        ExecutorHeader header;
        ExecutorHello hello;
    } m;
    ssize_t n = recv(c->process.fds[EXECUTOR_FD_SOCKET], &m, sizeof(m), MSG_WAITALL);

    if (n != sizeof(m))
        die("no hello; the executor said: %s", read_stderr(c->stderr_fd));
    if (m.header.type != EXECUTOR_MSG_HELLO || m.header.length != sizeof(m.hello) ||
        m.header.tag != 0 || m.header.priority != 0 || m.header.reserved != 0)
        die("the first message is no hello");

    c->device = m.hello.device;
}

static bool is_gone(Client *c)
{
    char byte;
    ssize_t n = recv(c->process.fds[EXECUTOR_FD_SOCKET], &byte, 1, MSG_DONTWAIT);

    if (n > 0)
        die("a message through the socket that is no hello");
    return n == 0 || errno != EAGAIN;
}

/* Returns as executor_reader_next(), -EPIPE at the end. */
static int wait_for_answer(Client *c, const ExecutorMessage **ret)
{
    struct pollfd p[] = {
        {.fd = c->process.fds[EXECUTOR_FD_ANSWERS_EVENT], .events = POLLIN},
        {.fd = c->process.fds[EXECUTOR_FD_SOCKET], .events = POLLIN},
    };
    eventfd_t count;

    for (;;) {
        int r = executor_reader_sleep(&c->answers);

        if (r != 0)
            return executor_reader_next(&c->answers, ret);
        if (poll(p, 2, CLIENT_TIMEOUT_S * 1000) <= 0)
            die("no answer; the executor said: %s", read_stderr(c->stderr_fd));
        (void) eventfd_read(p[0].fd, &count);
        if (p[1].revents == 0 || !is_gone(c))
            continue;
        r = executor_reader_next(&c->answers, ret);
        return r == 0 ? -EPIPE : r;
    }
}

bool client_has_input(const Client *c)
{
    const ExecutorMessage *m;

    return executor_reader_next(&c->answers, &m) != 0;
}

bool client_receive(Client *c, ClientResponse *ret)
{
    const ExecutorMessage *m;
    int r = executor_reader_next(&c->answers, &m);

    if (r == 0)
        r = wait_for_answer(c, &m);
    if (r == -EPIPE)
        return false;
    if (r < 0)
        die("the queue of answers makes no sense");
    if ((m->header.type != EXECUTOR_MSG_RESPONSE && m->header.type != EXECUTOR_MSG_RESULT) ||
        m->header.length > sizeof(ret->bytes) || m->header.priority != 0 || m->header.reserved != 0)
        die("a message that is no response");

    ret->type = m->header.type;
    ret->tag = m->header.tag;
    ret->size = m->header.length;
    memcpy(ret->bytes, m->payload, ret->size);
    executor_reader_pop(&c->answers);
    c->unanswered--;
    if (c->pending_end > 0)
        send_pending(c);

    if (ret->type == EXECUTOR_MSG_RESULT) {
        if (ret->size != sizeof(ret->result))
            die("an ill-formed result");
        memcpy(&ret->result, ret->bytes, sizeof(ret->result));
        return true;
    }
    if (!vgpu_response_check(ret->bytes, ret->size, &ret->header))
        die("an ill-formed response");
    return true;
}

/* ---- Messages as bytes -------------------------------------------------------- */

static size_t message(void *buf, uint64_t tag, uint32_t priority, const VGPURequest *request,
                      const void *p, size_t p_size, const void *q, size_t q_size)
{
    unsigned char *b = buf;
    ExecutorHeader h = {
        .type = EXECUTOR_MSG_REQUEST,
        .length = (uint32_t) (sizeof(*request) + p_size + q_size),
        .tag = tag,
        .priority = priority,
    };

    memcpy(b, &h, sizeof(h));
    memcpy(b + sizeof(h), request, sizeof(*request));
    if (p_size > 0)
        memcpy(b + sizeof(h) + sizeof(*request), p, p_size);
    if (q_size > 0)
        memcpy(b + sizeof(h) + sizeof(*request) + p_size, q, q_size);
    return sizeof(h) + h.length;
}

size_t message_plain(void *buf, uint64_t tag, uint32_t opcode)
{
    const VGPURequest r = {.version = VGPU_PROTOCOL_VERSION, .opcode = opcode};

    return message(buf, tag, VGPU_PRIORITY_MEDIUM, &r, NULL, 0, NULL, 0);
}

size_t message_scalar(void *buf, uint64_t tag, uint32_t priority, uint32_t a, uint32_t b)
{
    const VGPURequest r = {
        .version = VGPU_PROTOCOL_VERSION, .opcode = VGPU_OP_CUDA_KERNEL, .param_count = 2};

    return message(buf, tag, priority, &r, &a, sizeof(a), &b, sizeof(b));
}

size_t message_vector(void *buf, uint64_t tag, uint32_t priority, uint32_t opcode, const void *a,
                      const void *b, uint32_t size)
{
    const VGPURequest r = {
        .version = VGPU_PROTOCOL_VERSION,
        .opcode = opcode,
        .data_offset = sizeof(r),
        .data_length = 2 * size,
    };

    return message(buf, tag, priority, &r, a, size, b, size);
}

static size_t message_of(void *buf, ExecutorHeader h, const void *payload)
{
    memcpy(buf, &h, sizeof(h));
    memcpy((unsigned char *) buf + sizeof(h), payload, h.length);
    return sizeof(h) + h.length;
}

size_t message_window(void *buf, uint32_t type, uint32_t id)
{
    const ExecutorWindow w = {.id = id};

    return message_of(buf, (ExecutorHeader){.type = type, .length = sizeof(w)}, &w);
}

size_t message_compute(void *buf, uint64_t tag, uint32_t priority, uint32_t window,
                       const VGPUSubmission *submission)
{
    const ExecutorCompute m = {.window = window, .submission = *submission};

    return message_of(
        buf,
        (ExecutorHeader){
            .type = EXECUTOR_MSG_COMPUTE, .length = sizeof(m), .tag = tag, .priority = priority},
        &m);
}

size_t message_raw(void *buf, uint64_t tag, const void *payload, uint32_t size)
{
    return message_of(
        buf, (ExecutorHeader){.type = EXECUTOR_MSG_REQUEST, .length = size, .tag = tag}, payload);
}
