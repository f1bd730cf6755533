/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fake-attack.h"
#include "fake-kernel.h"
#include "fake-memory.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

/* A file that is there, and that the executor could write. */
static const char *victim(void)
{
    const char *path = getenv("VGPU_TEST_VICTIM");

    return path ? path : "/nonexistent";
}

static long try_execve(void)
{
    char *const nothing[] = {NULL};

    return execve("/nonexistent", nothing, nothing);
}

static long end_child(long pid)
{
    if (pid == 0)
        _exit(0);
    return pid;
}

static long try_fork(void)
{
    return end_child(fork());
}

static long try_clone_process(void)
{
    return end_child(syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, 0));
}

static long try_socket(void)
{
    return socket(AF_UNIX, SOCK_STREAM, 0);
}

static long try_socketpair(void)
{
    int pair[2];

    return socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
}

static long try_connect(void)
{
    const struct sockaddr address = {.sa_family = AF_UNSPEC};

    return connect(-1, &address, sizeof(address));
}

static long try_bind(void)
{
    const struct sockaddr address = {.sa_family = AF_UNSPEC};

    return bind(-1, &address, sizeof(address));
}

static long try_ptrace(void)
{
    return ptrace(PTRACE_ATTACH, getppid(), NULL, NULL);
}

static long try_process_vm_readv(void)
{
    return process_vm_readv(getppid(), NULL, 0, NULL, 0, 0);
}

static long try_kill_parent(void)
{
    return kill(getppid(), 0);
}

static long try_kill_all(void)
{
    return kill(-1, 0);
}

static long try_pidfd_open(void)
{
    return syscall(SYS_pidfd_open, getppid(), 0);
}

static long try_open_make(void)
{
    return open("/tmp/vgpu-attack", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
}

static long try_open_write(void)
{
    return open(victim(), O_WRONLY | O_CLOEXEC);
}

static long try_open_empty(void)
{
    return open(victim(), O_RDWR | O_TRUNC | O_CLOEXEC);
}

static long try_open_both(void)
{
    return open(victim(), O_RDWR | O_CLOEXEC);
}

static long try_creat(void)
{
    return syscall(SYS_creat, victim(), 0600);
}

static long try_unlink(void)
{
    return unlink(victim());
}

static long try_rename(void)
{
    return rename(victim(), "/tmp/vgpu-attack");
}

static long try_chmod(void)
{
    return chmod(victim(), 0777);
}

static long try_truncate(void)
{
    return truncate(victim(), 0);
}

static long try_mount(void)
{
    return mount("none", "/nonexistent", "tmpfs", 0, NULL);
}

static long try_unshare(void)
{
    return unshare(0);
}

static long try_setuid(void)
{
    return setuid(getuid());
}

static long try_bpf(void)
{
    return syscall(SYS_bpf, -1, NULL, 0);
}

static long try_perf(void)
{
    return syscall(SYS_perf_event_open, NULL, 0, 0, 0, 0);
}

static long try_keyctl(void)
{
    return syscall(SYS_keyctl, -1, 0, 0, 0, 0);
}

static long try_io_uring(void)
{
    return syscall(SYS_io_uring_setup, 0, NULL);
}

static long try_userfaultfd(void)
{
    return syscall(SYS_userfaultfd, -1);
}

static long try_personality(void)
{
    return syscall(SYS_personality, 0xffffffff);
}

static long try_dumpable(void)
{
    return prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
}

static long try_limit_parent(void)
{
    struct rlimit l;

    return prlimit(getppid(), RLIMIT_CORE, NULL, &l);
}

/* The number of another machine's getpid() */
static long try_x32(void)
{
    return syscall(0x40000000 + SYS_getpid);
}

static void *run_thread(void *data)
{
    return data;
}

static long try_thread(void)
{
    pthread_t thread;

    errno = pthread_create(&thread, NULL, run_thread, NULL);
    return errno != 0 ? -1 : pthread_join(thread, NULL);
}

static long map_page(int protection)
{
    void *page = mmap(NULL, 4096, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    return page == MAP_FAILED ? -1 : munmap(page, 4096);
}

static long try_map(void)
{
    return map_page(PROT_READ | PROT_WRITE);
}

static long try_map_code(void)
{
    return map_page(PROT_READ | PROT_EXEC);
}

static long closed(int fd)
{
    return fd < 0 ? -1 : close(fd);
}

static long try_memfd(void)
{
    return closed(memfd_create("needed", MFD_CLOEXEC));
}

static long try_eventfd(void)
{
    return closed(eventfd(0, EFD_CLOEXEC));
}

static long try_open_read(void)
{
    return closed(open("/proc/self/maps", O_RDONLY | O_CLOEXEC)) < 0
               ? closed(open("/etc/passwd", O_RDONLY | O_CLOEXEC))
               : 0;
}

static long try_signal_self(void)
{
    return kill(getpid(), 0);
}

static CUresult attack(const FakeLaunch *l, uint64_t ns)
{
    FakeAttack *results;
    CUdeviceptr address;

    (void) ns;
    memcpy(&address, l->parameters, sizeof(address));
    results = fake_reach(address, FAKE_N_ATTACKS * sizeof(*results));
    if (!results)
        return CUDA_ERROR_ILLEGAL_ADDRESS;
#define TRY_(name) results[FAKE_ATTACK_##name].error = try_##name() < 0 ? errno : 0;
    FAKE_ATTACKS(TRY_)
    TRY_(open_both)
#undef TRY_
#define NEED_(name) results[FAKE_NEED_##name].error = try_##name() < 0 ? errno : 0;
    FAKE_NEEDS(NEED_)
#undef NEED_
    return CUDA_SUCCESS;
}

static const FakeParameter of_attack[] = {{0, 8}};

const FakeKernel *fake_attack_kernel_find(const char *name)
{
    static const FakeKernel kernel = {.name = "attack",
                                      .parameters = of_attack,
                                      .n_parameters = 1,
                                      .registers = 16,
                                      .run = attack};

    return strcmp(name, kernel.name) == 0 ? &kernel : NULL;
}
