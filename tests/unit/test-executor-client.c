/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "test-executor-client.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
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

static char *format_option(const char *name, const char *value)
{
    char *option;

    if (asprintf(&option, "--%s=%s", name, value) < 0)
        die("out of memory");
    return option;
}

__attribute__((noreturn)) static void run_executor(const ClientOptions *o, int fd, int stderr_fd)
{
    char number[16];
    char *argv[8] = {(char *) o->executor};
    unsigned n = 1;

    snprintf(number, sizeof(number), "%d", fd);
    argv[n++] = format_option("fd", number);
    argv[n++] = format_option("backend", o->backend);
    if (o->slots > 0) {
        snprintf(number, sizeof(number), "%u", o->slots);
        argv[n++] = format_option("slots", number);
    }
    if (o->kernels)
        argv[n++] = format_option("kernels", o->kernels);
    if (o->device)
        argv[n++] = format_option("device", o->device);

    if (o->library_dir)
        setenv("LD_LIBRARY_PATH", o->library_dir, 1);
    unsetenv("VGPU_FAKE_CUDA");
    if (o->fake)
        setenv("VGPU_FAKE_CUDA", o->fake, 1);

    dup2(stderr_fd, STDERR_FILENO);
    execv(argv[0], argv);
    dprintf(stderr_fd, "%s: %s\n", argv[0], strerror(errno));
    _exit(127);
}

Client *client_start(const ClientOptions *o)
{
    const struct timeval timeout = {.tv_sec = CLIENT_TIMEOUT_S};
    Client *c = calloc(1, sizeof(*c));
    int fds[2];

    if (!c || socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) < 0)
        die("socketpair: %s", strerror(errno));
    fcntl(fds[0], F_SETFD, FD_CLOEXEC);
    fcntl(fds[0], F_SETFL, 0);
    setsockopt(fds[0], SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
    setsockopt(fds[0], SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));

    c->fd = fds[0];
    c->stderr_fd = memfd_create("stderr", MFD_CLOEXEC);
    c->pid = fork();
    if (c->pid < 0 || c->stderr_fd < 0)
        die("fork: %s", strerror(errno));
    if (c->pid == 0)
        run_executor(o, fds[1], c->stderr_fd);

    close(fds[1]);
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
    int status = wait_for_end(c->pid);

    if (ret_stderr)
        *ret_stderr = read_stderr(c->stderr_fd);

    client_hang_up(c);
    close(c->stderr_fd);
    free(c);
    return status;
}

void client_hang_up(Client *c)
{
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
}

/* ---- Messages to us --------------------------------------------------------- */

/* Reads until @size bytes are there; false at the end of the stream before the first. */
static bool fill(Client *c, size_t size)
{
    while (c->in_end - c->in_start < size) {
        ssize_t n;

        if (sizeof(c->in) - c->in_start < size) {
            memmove(c->in, c->in + c->in_start, c->in_end - c->in_start);
            c->in_end -= c->in_start;
            c->in_start = 0;
        }
        n = recv(c->fd, c->in + c->in_end, sizeof(c->in) - c->in_end, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno != ECONNRESET)
            die("recv: %s; the executor said: %s", strerror(errno), read_stderr(c->stderr_fd));
        if (n <= 0 && c->in_end > c->in_start)
            die("half a message; the executor said: %s", read_stderr(c->stderr_fd));
        if (n <= 0)
            return false;
        c->in_end += (size_t) n;
    }

    return true;
}

static void take(Client *c, void *buf, size_t size)
{
    memcpy(buf, c->in + c->in_start, size);
    c->in_start += size;
    if (c->in_start == c->in_end)
        c->in_start = c->in_end = 0;
}

bool client_has_input(const Client *c)
{
    return c->in_end > c->in_start;
}

void client_hello(Client *c)
{
    struct {
        ExecutorHeader header;
        ExecutorHello hello;
    } m;

    if (!fill(c, sizeof(m)))
        die("no hello; the executor said: %s", read_stderr(c->stderr_fd));
    take(c, &m, sizeof(m));
    if (m.header.type != EXECUTOR_MSG_HELLO || m.header.length != sizeof(m.hello) ||
        m.header.tag != 0 || m.header.priority != 0 || m.header.reserved != 0)
        die("the first message is no hello");

    c->device = m.hello.device;
}

bool client_receive(Client *c, ClientResponse *ret)
{
    ExecutorHeader h;

    if (!fill(c, sizeof(h)))
        return false;
    memcpy(&h, c->in + c->in_start, sizeof(h));
    if ((h.type != EXECUTOR_MSG_RESPONSE && h.type != EXECUTOR_MSG_RESULT) ||
        h.length > sizeof(ret->bytes) || h.priority != 0 || h.reserved != 0)
        die("a message that is no response");
    fill(c, sizeof(h) + h.length);

    take(c, &h, sizeof(h));
    take(c, ret->bytes, h.length);
    ret->type = h.type;
    ret->tag = h.tag;
    ret->size = h.length;
    if (h.type == EXECUTOR_MSG_RESULT) {
        if (h.length != sizeof(ret->result))
            die("an ill-formed result");
        memcpy(&ret->result, ret->bytes, sizeof(ret->result));
        return true;
    }
    if (!vgpu_response_check(ret->bytes, ret->size, &ret->header))
        die("an ill-formed response");
    return true;
}

/* ---- Messages from us --------------------------------------------------------- */

bool client_send(Client *c, const void *bytes, size_t size)
{
    const unsigned char *p = bytes;

    while (size > 0) {
        ssize_t n = send(c->fd, p, size, MSG_NOSIGNAL);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && (errno == EPIPE || errno == ECONNRESET))
            return false;
        if (n < 0)
            die("send: %s", strerror(errno));
        p += n;
        size -= (size_t) n;
    }

    return true;
}

bool client_send_with_fds(Client *c, const void *bytes, size_t size, const int fds[], unsigned n)
{
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(8 * sizeof(int))] = {0};
    struct iovec iov = {(void *) bytes, size};
    struct msghdr m = {
        .msg_iov = &iov,
        .msg_iovlen = 1,
        .msg_control = control,
        .msg_controllen = CMSG_SPACE(n * sizeof(int)),
    };
    struct cmsghdr *h = CMSG_FIRSTHDR(&m);

    h->cmsg_level = SOL_SOCKET;
    h->cmsg_type = SCM_RIGHTS;
    h->cmsg_len = CMSG_LEN(n * sizeof(int));
    memcpy(CMSG_DATA(h), fds, n * sizeof(int));

    if (sendmsg(c->fd, &m, MSG_NOSIGNAL) == (ssize_t) size)
        return true;
    if (errno != EPIPE && errno != ECONNRESET)
        die("sendmsg: %s", strerror(errno));
    return false;
}

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
