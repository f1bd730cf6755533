/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "qtest.h"

/* A channel on which QEMU answers line by line. The longest line is a transfer
 * of 4096 bytes in hexadecimal, or QMP's list of something. */
typedef struct Channel {
    int fd;
    size_t len;
    char buf[65536];
} Channel;

struct QTest {
    pid_t pid;
    Channel qtest;
    Channel qmp;
    uint32_t irqs; /* a bit for each raised input */
    char *events;  /* QMP's lines that nobody has asked for yet */
    char directory[64];
};

#define MAX_ARGS 64

/* Inputs that PCI interrupts go to. The timers of an idle machine use the others. */
#define PCI_IRQS 0xff0000u

static __attribute__((noreturn, format(printf, 2, 3))) void die(QTest *q, const char *format, ...)
{
    char *log = qtest_log(q);
    va_list ap;

    fflush(stdout);
    va_start(ap, format);
    vfprintf(stderr, format, ap);
    va_end(ap);
    fprintf(stderr, "; QEMU wrote:\n%s", log);
    free(log);
    kill(q->pid, SIGKILL);
    exit(1);
}

static void *must_alloc(void *p)
{
    if (!p)
        abort();
    return p;
}

/* ---- Files ---------------------------------------------------------------- */

static void file_path(const QTest *q, const char *name, char ret[static 128])
{
    snprintf(ret, 128, "%s/%s", q->directory, name);
}

/* Where an x86 processor begins: "cli; hlt", and a jump back if something wakes it up. */
static const uint8_t halting_firmware[16] = {0xfa, 0xf4, 0xeb, 0xfc};

static void write_firmware(const QTest *q, const void *firmware, size_t size)
{
    uint8_t image[65536] = {0};
    char path[128];
    FILE *f;

    memcpy(image + sizeof(image) - size, firmware, size);
    file_path(q, "firmware", path);
    f = must_alloc(fopen(path, "we"));
    if (fwrite(image, sizeof(image), 1, f) != 1 || fclose(f) != 0)
        abort();
}

static void make_directory(QTest *q, const void *firmware, size_t size)
{
    snprintf(q->directory, sizeof(q->directory), "/tmp/vgpu-device-XXXXXX");
    must_alloc(mkdtemp(q->directory));
    write_firmware(q, firmware, size);
}

static void remove_directory(const QTest *q)
{
    char command[128];

    snprintf(command, sizeof(command), "rm -rf '%s'", q->directory);
    if (system(command) != 0)
        fprintf(stderr, "cannot remove %s\n", q->directory);
}

char *qtest_log(const QTest *q)
{
    char path[128], *text = NULL;
    size_t len = 0;
    FILE *f;

    file_path(q, "stderr", path);
    f = fopen(path, "re");
    if (!f || getdelim(&text, &len, '\0', f) < 0) {
        free(text);
        text = must_alloc(strdup(""));
    }
    if (f)
        fclose(f);
    return text;
}

unsigned qtest_log_count(const QTest *q, const char *text)
{
    char *log = qtest_log(q);
    unsigned n = 0;

    for (const char *p = log; (p = strstr(p, text)); p += strlen(text))
        n++;
    free(log);
    return n;
}

pid_t qtest_pid(const QTest *q)
{
    return q->pid;
}

uint64_t qtest_n_transfers(QTest *q)
{
    uint64_t reads = 0, writes = 0;
    char path[64];
    FILE *f;

    snprintf(path, sizeof(path), "/proc/%d/io", (int) q->pid);
    f = fopen(path, "re");
    if (!f ||
        fscanf(f, "rchar: %*u wchar: %*u syscr: %" SCNu64 " syscw: %" SCNu64, &reads, &writes) != 2)
        die(q, "cannot read %s", path);
    fclose(f);
    return reads + writes;
}

const char *qtest_directory(const QTest *q)
{
    return q->directory;
}

/* ---- The process ----------------------------------------------------------- */

static const char *environment(const char *name)
{
    const char *value = getenv(name);

    if (!value) {
        fprintf(stderr, "%s is not set\n", name);
        exit(1);
    }
    return value;
}

static __attribute__((noreturn)) void run_qemu(const QTest *q, char *const *argv)
{
    char path[128];
    int fd;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    file_path(q, "stderr", path);
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (fd < 0 || dup2(fd, STDERR_FILENO) < 0 || dup2(STDERR_FILENO, STDOUT_FILENO) < 0)
        _exit(126);
    if (chdir(q->directory) < 0)
        _exit(126);
    execvp(argv[0], argv);
    fprintf(stderr, "%s: %s\n", argv[0], strerror(errno));
    _exit(127);
}

static void spawn(QTest *q, const char *const *args, const char *const *more)
{
    const char *argv[MAX_ARGS];
    int n = 0;

    while (*args)
        argv[n++] = *args++;
    while (more && *more && n < MAX_ARGS - 1)
        argv[n++] = *more++;
    argv[n] = NULL;

    q->pid = fork();
    if (q->pid < 0)
        abort();
    if (q->pid == 0)
        run_qemu(q, (char *const *) argv);
}

/* A pair of sockets; QEMU inherits the one that is returned. */
static int open_channel(Channel *c)
{
    int fds[2];

    if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds) < 0 || fcntl(fds[0], F_SETFD, FD_CLOEXEC) < 0)
        abort();
    c->fd = fds[0];
    c->len = 0;
    return fds[1];
}

static int exit_status(pid_t pid)
{
    int status;

    if (waitpid(pid, &status, 0) < 0)
        abort();
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* ---- Lines ------------------------------------------------------------------ */

static void channel_send(QTest *q, Channel *c, const char *text, size_t len)
{
    while (len > 0) {
        ssize_t n = send(c->fd, text, len, MSG_NOSIGNAL);

        if (n < 0)
            die(q, "cannot write to QEMU: %s", strerror(errno));
        text += n;
        len -= (size_t) n;
    }
}

/* Waits for more bytes, or says at once that there are none. */
static bool channel_fill(QTest *q, Channel *c, bool wait)
{
    struct pollfd p = {.fd = c->fd, .events = POLLIN};
    ssize_t n;

    if (c->len == sizeof(c->buf))
        die(q, "QEMU's line is too long");
    if (poll(&p, 1, wait ? QTEST_TIMEOUT_MSEC : 0) == 0) {
        if (wait)
            die(q, "QEMU does not answer");
        return false;
    }
    n = recv(c->fd, c->buf + c->len, sizeof(c->buf) - c->len, 0);
    if (n <= 0)
        die(q, "QEMU is gone");
    c->len += (size_t) n;
    return true;
}

/* The next line without its end, to be freed; NULL when there is none and @wait is false. */
static char *channel_line(QTest *q, Channel *c, bool wait)
{
    char *end, *line;
    size_t size;

    while (!(end = memchr(c->buf, '\n', c->len)))
        if (!channel_fill(q, c, wait))
            return NULL;

    size = (size_t) (end - c->buf) + 1;
    line = must_alloc(strndup(c->buf, size - 1));
    if (size >= 2 && line[size - 2] == '\r')
        line[size - 2] = '\0';
    c->len -= size;
    memmove(c->buf, c->buf + size, c->len);
    return line;
}

/* ---- qtest ------------------------------------------------------------------- */

/* Interrupts are reported between the answers. */
static bool take_irq_line(QTest *q, const char *line)
{
    unsigned n;

    if (sscanf(line, "IRQ raise %u", &n) == 1 && n < QTEST_IRQS)
        q->irqs |= 1u << n;
    else if (sscanf(line, "IRQ lower %u", &n) == 1 && n < QTEST_IRQS)
        q->irqs &= ~(1u << n);
    else
        return false;
    return true;
}

/* The answer to the command sent last: what follows its OK, to be freed. */
static char *qtest_answer(QTest *q)
{
    for (;;) {
        char *line = channel_line(q, &q->qtest, true);

        if (!take_irq_line(q, line)) {
            if (strncmp(line, "OK", 2) != 0)
                die(q, "qtest answers: %s", line);
            memmove(line, line + 2, strlen(line) - 1);
            return line;
        }
        free(line);
    }
}

static __attribute__((format(printf, 2, 3))) uint64_t qtest_command(QTest *q, const char *format,
                                                                    ...)
{
    char text[128], *answer;
    uint64_t value;
    va_list ap;

    va_start(ap, format);
    vsnprintf(text, sizeof(text), format, ap);
    va_end(ap);
    channel_send(q, &q->qtest, text, strlen(text));
    answer = qtest_answer(q);
    value = strtoull(answer, NULL, 0);
    free(answer);
    return value;
}

static char width_letter(unsigned size)
{
    return size == 1 ? 'b' : size == 2 ? 'w' : size == 4 ? 'l' : 'q';
}

uint64_t qtest_read(QTest *q, uint64_t address, unsigned size)
{
    return qtest_command(q, "read%c 0x%" PRIx64 "\n", width_letter(size), address);
}

void qtest_write(QTest *q, uint64_t address, unsigned size, uint64_t value)
{
    qtest_command(q, "write%c 0x%" PRIx64 " 0x%" PRIx64 "\n", width_letter(size), address, value);
}

void qtest_read_buffer(QTest *q, uint64_t address, void *ret, size_t size)
{
    char text[64], *answer, *hex;

    snprintf(text, sizeof(text), "read 0x%" PRIx64 " 0x%zx\n", address, size);
    channel_send(q, &q->qtest, text, strlen(text));
    answer = qtest_answer(q);
    hex = strstr(answer, "0x");
    if (!hex || strlen(hex) != 2 + 2 * size)
        die(q, "qtest answers: %s", answer);
    for (size_t i = 0; i < size; i++)
        sscanf(hex + 2 + 2 * i, "%2hhx", (unsigned char *) ret + i);
    free(answer);
}

void qtest_write_buffer(QTest *q, uint64_t address, const void *data, size_t size)
{
    char text[64 + 2 * 4096];
    int n = snprintf(text, sizeof(text), "write 0x%" PRIx64 " 0x%zx 0x", address, size);

    for (size_t i = 0; i < size; i++)
        n += sprintf(text + n, "%02x", ((const unsigned char *) data)[i]);
    text[n++] = '\n';
    channel_send(q, &q->qtest, text, (size_t) n);
    free(qtest_answer(q));
}

uint32_t qtest_in32(QTest *q, uint16_t port)
{
    return (uint32_t) qtest_command(q, "inl 0x%x\n", port);
}

void qtest_out32(QTest *q, uint16_t port, uint32_t value)
{
    qtest_command(q, "outl 0x%x 0x%" PRIx32 "\n", port, value);
}

static bool take_irq(QTest *q, bool wait)
{
    char *line = channel_line(q, &q->qtest, wait);

    if (!line)
        return false;
    if (!take_irq_line(q, line))
        die(q, "qtest says: %s", line);
    free(line);
    return true;
}

bool qtest_irq(QTest *q)
{
    while (take_irq(q, false))
        ;
    return q->irqs & PCI_IRQS;
}

/* Other interrupts come and go all the time, so waiting for silence would not end. */
void qtest_wait_irq(QTest *q, bool raised)
{
    time_t begin = time(NULL);

    while (qtest_irq(q) != raised) {
        take_irq(q, true);
        if (time(NULL) - begin > QTEST_TIMEOUT_MSEC / 1000)
            die(q, "the interrupt is not %s", raised ? "raised" : "lowered");
    }
}

/* ---- QMP ----------------------------------------------------------------------- */

static char *qmp_line(QTest *q)
{
    return channel_line(q, &q->qmp, true);
}

static void keep_event(QTest *q, const char *line)
{
    size_t old = strlen(q->events);

    q->events = must_alloc(realloc(q->events, old + strlen(line) + 2));
    sprintf(q->events + old, "%s\n", line);
}

static char *qmp_reply(QTest *q)
{
    for (;;) {
        char *line = qmp_line(q);

        if (!strstr(line, "\"event\":"))
            return line;
        keep_event(q, line);
        free(line);
    }
}

static char *qmp_send(QTest *q, const char *text)
{
    channel_send(q, &q->qmp, text, strlen(text));
    return qmp_reply(q);
}

void qtest_qmp_begin(QTest *q, const char *command)
{
    channel_send(q, &q->qmp, command, strlen(command));
}

void qtest_qmp_end(QTest *q)
{
    char *reply = qmp_reply(q);

    if (!strstr(reply, "\"return\":"))
        die(q, "QMP answered %s", reply);
    free(reply);
}

static char *qmp_format(const char *format, va_list ap)
{
    char *text;

    if (vasprintf(&text, format, ap) < 0)
        abort();
    return text;
}

char *qtest_qmp(QTest *q, const char *format, ...)
{
    char *text, *reply;
    va_list ap;

    va_start(ap, format);
    text = qmp_format(format, ap);
    va_end(ap);
    reply = qmp_send(q, text);
    free(text);
    return reply;
}

void qtest_qmp_ok(QTest *q, const char *format, ...)
{
    char *text, *reply;
    va_list ap;

    va_start(ap, format);
    text = qmp_format(format, ap);
    va_end(ap);
    reply = qmp_send(q, text);
    if (!strstr(reply, "\"return\":"))
        die(q, "%s was answered %s", text, reply);
    free(reply);
    free(text);
}

/* Takes the first kept line that has both in it. */
static bool take_event(QTest *q, const char *name, const char *detail)
{
    char quoted[64];

    snprintf(quoted, sizeof(quoted), "\"event\": \"%s\"", name);
    for (char *line = q->events, *end; (end = strchr(line, '\n')); line = end + 1) {
        bool found;

        *end = '\0';
        found = strstr(line, quoted) && strstr(line, detail);
        *end = '\n';
        if (found) {
            memmove(line, end + 1, strlen(end + 1) + 1);
            return true;
        }
    }
    return false;
}

void qtest_wait_event(QTest *q, const char *name, const char *detail)
{
    while (!take_event(q, name, detail)) {
        char *line = qmp_line(q);

        keep_event(q, line);
        free(line);
    }
}

void qtest_pause(QTest *q)
{
    qtest_qmp_ok(q, "{\"execute\": \"stop\"}");
}

void qtest_resume(QTest *q)
{
    qtest_qmp_ok(q, "{\"execute\": \"cont\"}");
}

void qtest_system_reset(QTest *q)
{
    qtest_qmp_ok(q, "{\"execute\": \"system_reset\"}");
    qtest_wait_event(q, "RESET", "");
}

void qtest_synchronize(QTest *q)
{
    qtest_qmp_ok(q, "{\"execute\": \"query-status\"}");
}

uint64_t qtest_counter(QTest *q, const char *path, const char *property)
{
    char *reply = qtest_qmp(q,
                            "{\"execute\": \"qom-get\", \"arguments\": "
                            "{\"path\": \"%s\", \"property\": \"%s\"}}",
                            path, property);
    uint64_t value;

    if (sscanf(reply, "{\"return\": %" SCNu64 "}", &value) != 1)
        die(q, "qom-get was answered %s", reply);
    free(reply);
    return value;
}

/* ---- Start and end ---------------------------------------------------------------- */

QTest *qtest_start_firmware(const char *accel, const void *firmware, size_t firmware_size,
                            const char *const *args)
{
    QTest *q = must_alloc(calloc(1, sizeof(*q)));
    char qtest[64], qmp[64], bios[128];
    int theirs[2];

    q->events = must_alloc(strdup(""));
    make_directory(q, firmware, firmware_size);
    file_path(q, "firmware", bios);
    theirs[0] = open_channel(&q->qtest);
    theirs[1] = open_channel(&q->qmp);
    snprintf(qtest, sizeof(qtest), "socket,id=qtest,fd=%d", theirs[0]);
    snprintf(qmp, sizeof(qmp), "socket,id=qmp,fd=%d", theirs[1]);

    spawn(q,
          (const char *const[]){environment("VGPU_TEST_QEMU"),
                                "-nodefaults",
                                "-no-user-config",
                                "-display",
                                "none",
                                "-accel",
                                accel,
                                "-m",
                                "16",
                                "-bios",
                                bios,
                                "-chardev",
                                qtest,
                                "-qtest",
                                "chardev:qtest",
                                "-qtest-log",
                                "none",
                                "-chardev",
                                qmp,
                                "-mon",
                                "chardev=qmp,mode=control",
                                "-plugin",
                                environment("VGPU_TEST_PLUGIN"),
                                NULL},
          args);
    close(theirs[0]);
    close(theirs[1]);

    free(qmp_line(q)); /* the greeting */
    qtest_qmp_ok(q, "{\"execute\": \"qmp_capabilities\"}");
    return q;
}

QTest *qtest_start(const char *const *args)
{
    QTest *q = qtest_start_firmware("tcg", halting_firmware, sizeof(halting_firmware), args);

    qtest_command(q, "irq_intercept_in ioapic\n");
    return q;
}

void qtest_stop(QTest *q)
{
    int status;

    channel_send(q, &q->qmp, "{\"execute\": \"quit\"}", strlen("{\"execute\": \"quit\"}"));
    status = exit_status(q->pid);
    if (status != 0)
        die(q, "QEMU ended with status %d", status);
    close(q->qtest.fd);
    close(q->qmp.fd);
    remove_directory(q);
    free(q->events);
    free(q);
}

int qtest_run(const char *plugin, const char *const *args, char **ret_log)
{
    QTest q = {.qtest.fd = -1, .qmp.fd = -1};
    int status;

    make_directory(&q, halting_firmware, sizeof(halting_firmware));
    spawn(&q,
          (const char *const[]){environment("VGPU_TEST_QEMU"), "-nodefaults", "-no-user-config",
                                "-display", "none", "-accel", "tcg", "-m", "16", "-S", "-plugin",
                                plugin, NULL},
          args);
    status = exit_status(q.pid);
    *ret_log = qtest_log(&q);
    remove_directory(&q);
    return status;
}
