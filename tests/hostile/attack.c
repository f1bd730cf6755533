/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "attack.h"
#include "test.h"

#define ATTACKER_ID 65534 /* nobody: a bus wants a user that exists */
#define NEIGHBOUR_VM 1000

/* At most one at a time */
static Attack *running;

int attack_setup(void **state)
{
    if (start_configured(state) < 0)
        return -1;
    return chmod(mediator.directory, 0711) < 0 || chmod(mediator.socket, 0666) < 0 ? -1 : 0;
}

int attack_teardown(void **state)
{
    (void) state;
    if (running)
        attack_end(running);
    return 0;
}

int attack_stop(void **state)
{
    (void) attack_teardown(state);
    return stop(state);
}

/* Becomes the attacker. It gets as many descriptors as it may. */
static void become_attacker(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void) setrlimit(RLIMIT_NOFILE, &limit);
    }
    if (geteuid() == 0 && (setgid(ATTACKER_ID) < 0 || setuid(ATTACKER_ID) < 0))
        _exit(1);
    (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void) signal(SIGPIPE, SIG_IGN);
}

static Attack *start(void (*attack)(Attack *a), void (*round)(void))
{
    Attack *a = mmap(NULL, sizeof(*a), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int status;
    pid_t pid;

    assert_ptr_not_equal(a, MAP_FAILED);
    pid = fork(); /* not into shared memory: both would write there */
    assert_true(pid >= 0);
    if (pid == 0) {
        become_attacker();
        if (attack)
            attack(a);
        for (a->ready = 1;; a->rounds++)
            if (round)
                round();
            else
                pause();
    }
    a->pid = pid;
    running = a;
    while (!a->ready) {
        assert_int_equal(waitpid(a->pid, &status, WNOHANG), 0);
        usleep(1000);
    }
    return a;
}

Attack *attack_start(void (*attack)(Attack *a))
{
    return start(attack, NULL);
}

Attack *attack_repeat(void (*round)(void))
{
    return start(NULL, round);
}

void attack_end(Attack *a)
{
    running = NULL;
    (void) kill(a->pid, SIGKILL);
    (void) waitpid(a->pid, NULL, 0);
    (void) munmap(a, sizeof(*a));
}

int attack_dial(void)
{
    const struct timeval patience = {.tv_usec = 100000};
    int fd = wire_connect(mediator.socket);

    if (fd >= 0)
        (void) setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    return fd;
}

void attack_send(int fd, const void *bytes, size_t size)
{
    while (size > 0) {
        ssize_t n = send(fd, bytes, size, MSG_NOSIGNAL);

        if (n <= 0)
            return;
        bytes = (const char *) bytes + n;
        size -= (size_t) n;
    }
}

static double now_sec(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double) ts.tv_sec + (double) ts.tv_nsec / 1e9;
}

int attack_make_lingering(void)
{
    const struct linger day = {.l_onoff = 1, .l_linger = 86400};
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int listener = socket(AF_INET, SOCK_STREAM, 0), fd = socket(AF_INET, SOCK_STREAM, 0);
    static const char bytes[65536];
    socklen_t size = sizeof(address);

    if (bind(listener, (struct sockaddr *) &address, size) < 0 || listen(listener, 1) < 0 ||
        getsockname(listener, (struct sockaddr *) &address, &size) < 0 ||
        connect(fd, (struct sockaddr *) &address, size) < 0)
        _exit(1);
    while (send(fd, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
        continue;
    (void) setsockopt(fd, SOL_SOCKET, SO_LINGER, &day, sizeof(day));
    return fd;
}

void neighbour_works(int fd, double seconds)
{
    double end = now_sec() + seconds;
    uint32_t id = 1;

    do {
        expect_add(fd, NEIGHBOUR_VM, id, VGPU_PRIORITY_HIGH, id, 1);
        id++;
        usleep(1000);
    } while (now_sec() < end);
}

unsigned mediator_lines(void)
{
    FILE *f = fopen(mediator.log, "re");
    char buf[65536];
    unsigned n = 0;
    size_t size;

    assert_non_null(f);
    while ((size = fread(buf, 1, sizeof(buf), f)) > 0)
        for (size_t i = 0; i < size; i++)
            n += buf[i] == '\n';
    fclose(f);
    return n;
}

unsigned memory_kib(pid_t pid)
{
    char path[40], line[256];
    unsigned sum = 0, value;
    FILE *f;

    snprintf(path, sizeof(path), "/proc/%d/status", (int) pid);
    f = fopen(path, "re");
    assert_non_null(f);
    while (fgets(line, sizeof(line), f))
        if (sscanf(line, "RssAnon: %u kB", &value) == 1 ||
            sscanf(line, "RssShmem: %u kB", &value) == 1)
            sum += value;
    fclose(f);
    return sum;
}

unsigned available(int fd)
{
    int n = 0;

    return ioctl(fd, FIONREAD, &n) < 0 ? 0 : (unsigned) n;
}
