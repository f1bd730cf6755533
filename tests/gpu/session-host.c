/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "session-host.h"

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "cuda-session.h"
#include "guest-process.h"
#include "test.h"

#define SETTLE_GPU_NSEC NSEC_PER_SEC

static struct {
    bool is_gpu;
    const char *config;
    TestMediator mediator;
    char plan_file[64]; /* of the fake driver: the memory of all processes */
    HostReport *reports;
    int ask, answer; /* of the process that looks at the device */
    pid_t looker;
} host;

/* ---- The device ------------------------------------------------------------------------------ */

static uint64_t look(const CudaDriver *d)
{
    size_t free_bytes, total;

    if (d->mem_get_info(&free_bytes, &total) != CUDA_SUCCESS)
        exit(EXIT_FAILURE);
    return free_bytes;
}

/* Has a context, which takes memory itself, all the time. */
__attribute__((noreturn)) static void run_looker(int ask, int answer)
{
    static CudaSessionDriver driver;
    const CudaDriver *d = &driver.base;
    CUcontext context;
    CUdevice device;
    char reason[256];
    uint64_t n = 0;

    if (cuda_session_driver_open(&driver, reason, sizeof(reason)) == 0 && d->init(0) == 0 &&
        d->device_get(&device, 0) == 0 && d->primary_ctx_retain(&context, device) == 0 &&
        d->ctx_set_current(context) == 0)
        n = look(d);
    while (write(answer, &n, sizeof(n)) == sizeof(n) && read(ask, &n, sizeof(n)) == sizeof(n))
        n = look(d);
    _exit(EXIT_SUCCESS);
}

/* Returns the free bytes; 0 without a device. */
static uint64_t start_looker(void)
{
    int ask[2], answer[2];
    uint64_t n = 0;

    if (pipe(ask) < 0 || pipe(answer) < 0)
        return 0;
    fflush(NULL);
    host.looker = fork();
    if (host.looker == 0) {
        (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
        close(ask[1]);
        close(answer[0]);
        run_looker(ask[0], answer[1]);
    }
    close(ask[0]);
    close(answer[1]);
    host.ask = ask[1];
    host.answer = answer[0];
    return read(host.answer, &n, sizeof(n)) == sizeof(n) ? n : 0;
}

uint64_t host_free_memory(void)
{
    uint64_t n = 0;

    assert_int_equal(write(host.ask, &n, sizeof(n)), sizeof(n));
    assert_int_equal(read(host.answer, &n, sizeof(n)), sizeof(n));
    return n;
}

/* ---- The program ------------------------------------------------------------------------------
 */

static void prepare_fake(void)
{
    static char plan[128];
    int fd;

    snprintf(host.plan_file, sizeof(host.plan_file), "/tmp/vgpu-test-memory-XXXXXX");
    fd = mkstemp(host.plan_file);
    if (fd < 0)
        exit(EXIT_FAILURE);
    close(fd);
    snprintf(plan, sizeof(plan), "memory=%s", host.plan_file);
    setenv("VGPU_FAKE_CUDA", plan, 1);
    setenv("TMPDIR", "/tmp", 1); /* executors could not write that file elsewhere */
}

void host_main(int argc, char **argv, const char *config, unsigned *ret_number)
{
    bool is_fake = argc > 1 && strcmp(argv[1], "fake") == 0;

    host.config = config;
    host.is_gpu = argc > 1 && strcmp(argv[1], "gpu") == 0;
    if ((!is_fake && !host.is_gpu) || argc > (ret_number ? 3 : 2)) {
        fprintf(stderr, "usage: %s fake|gpu%s\n", argv[0], ret_number ? " [N]" : "");
        exit(EXIT_FAILURE);
    }
    if (argc == 3)
        *ret_number = (unsigned) strtoul(argv[2], NULL, 10);
    if (is_fake)
        prepare_fake();
    host.reports = mmap(NULL, HOST_REPORTS_MAX * sizeof(*host.reports), PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (host.reports == MAP_FAILED)
        exit(EXIT_FAILURE);
    if (start_looker() == 0) {
        printf("1..0 # SKIP no GPU for sessions\n");
        exit(host.is_gpu ? EXIT_SUCCESS : EXIT_FAILURE);
    }
}

bool host_is_gpu(void)
{
    return host.is_gpu;
}

const TestMediator *host_mediator(void)
{
    return &host.mediator;
}

int host_start(void **state)
{
    char config[512];

    snprintf(config, sizeof(config), "[Pool A]\nBackend=cuda\n%s\n[Unregistered]\nPolicy=allow\n",
             host.config);
    (void) state;
    if (test_mediator_start(&host.mediator, config, "none") < 0 ||
        setenv("VGPU_SOCKET", host.mediator.socket, 1) < 0)
        return -1;
    return test_mediator_wait_log(&host.mediator, "computing with backend cuda");
}

int host_end(void **state)
{
    int status = test_mediator_stop(&host.mediator);

    (void) state;
    (void) kill(host.looker, SIGKILL);
    (void) waitpid(host.looker, NULL, 0);
    if (host.plan_file[0] != '\0')
        (void) unlink(host.plan_file);
    return status;
}

/* ---- What there is -----------------------------------------------------------------------------
 */

/* With --session among its arguments, and not yet ended */
static bool is_executor(pid_t pid)
{
    char path[64], text[4096] = "";
    size_t n = 0;
    FILE *f;

    snprintf(path, sizeof(path), "/proc/%d/cmdline", (int) pid);
    f = fopen(path, "re");
    if (!f)
        return false;
    n = fread(text, 1, sizeof(text), f);
    fclose(f);
    return memmem(text, n, "--session", sizeof("--session")) != NULL;
}

unsigned host_executors(pid_t *ret, unsigned max)
{
    unsigned n = 0;
    char path[96];
    int pid;
    FILE *f;

    snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int) host.mediator.pid,
             (int) host.mediator.pid);
    f = fopen(path, "re");
    assert_non_null(f);
    while (fscanf(f, "%d", &pid) == 1)
        if (is_executor(pid)) {
            if (n < max)
                ret[n] = pid;
            n++;
        }
    fclose(f);
    return n;
}

/* Of the processes that connect it keeps some in mind also when they are gone, each by a pidfd; how
 * many is limited. */
static unsigned count_fds(void)
{
    const struct dirent *entry;
    unsigned n = 0;
    char path[64];
    DIR *d;

    snprintf(path, sizeof(path), "/proc/%d/fd", (int) host.mediator.pid);
    d = opendir(path);
    assert_non_null(d);
    while ((entry = readdir(d))) {
        char target[64] = "";

        n += readlinkat(dirfd(d), entry->d_name, target, sizeof(target) - 1) > 0 &&
             strcmp(target, "anon_inode:[pidfd]") != 0;
    }
    closedir(d);
    return n;
}

HostRest host_rest(void)
{
    return (HostRest){.free_memory = host_free_memory(), .n_fds = count_fds()};
}

uint64_t host_await_rest(const HostRest *rest)
{
    uint64_t begin = now_nsec();

    for (;;) {
        HostRest now = host_rest();
        unsigned n = host_executors(NULL, 0);
        uint64_t time = now_nsec() - begin;

        if (n == 0 && now.free_memory == rest->free_memory && now.n_fds <= rest->n_fds)
            return time;
        if (time > (host.is_gpu ? SETTLE_GPU_NSEC : HOST_PATIENCE_NSEC))
            fail_msg("%u executors, %lld bytes of memory and %d descriptors are left", n,
                     (long long) (rest->free_memory - now.free_memory),
                     (int) (now.n_fds - rest->n_fds));
        usleep(2000);
    }
}

/* ---- Processes ---------------------------------------------------------------------------------
 */

HostReport *host_report(unsigned index)
{
    assert_true(index < HOST_REPORTS_MAX);
    host.reports[index] = (HostReport){0};
    return &host.reports[index];
}

pid_t host_fork(void (*body)(HostReport *report, uint32_t seed), HostReport *report, uint32_t seed)
{
    pid_t pid;

    fflush(NULL);
    pid = fork();
    assert_true(pid >= 0);
    if (pid > 0)
        return pid;
    (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
    body(report, seed);
    _exit(EXIT_SUCCESS);
}

void host_await(pid_t pid)
{
    int status;

    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

void host_await_done(const HostReport *report)
{
    for (uint64_t begin = now_nsec(); !__atomic_load_n(&report->is_done, __ATOMIC_ACQUIRE);
         usleep(100))
        assert_true(now_nsec() - begin < HOST_PATIENCE_NSEC);
}

void host_await_rounds(const HostReport *report, uint64_t n)
{
    uint64_t first = __atomic_load_n(&report->n, __ATOMIC_ACQUIRE), begin = now_nsec();

    while (__atomic_load_n(&report->n, __ATOMIC_ACQUIRE) < first + n) {
        if (__atomic_load_n(&report->is_done, __ATOMIC_ACQUIRE))
            fail_msg("a session that works has ended with %d", report->result);
        assert_true(now_nsec() - begin < HOST_PATIENCE_NSEC);
        usleep(1000);
    }
}

void host_say(HostReport *report, int result)
{
    report->at_nsec = now_nsec();
    report->result = result;
    __atomic_store_n(&report->is_done, true, __ATOMIC_RELEASE);
}

void host_compute_on(HostReport *report, uint32_t seed)
{
    GuestProcess g;
    int r = guest_process_open(&g);

    while (r == 0 && !__atomic_load_n(&report->stop, __ATOMIC_ACQUIRE)) {
        uint64_t begin = now_nsec(), time;

        r = guest_process_compute(&g, seed++);
        time = now_nsec() - begin;
        if (time > __atomic_load_n(&report->longest_ns, __ATOMIC_RELAXED))
            __atomic_store_n(&report->longest_ns, time, __ATOMIC_RELAXED);
        __atomic_store_n(&report->n, report->n + 1, __ATOMIC_RELEASE);
    }
    host_say(report, r);
    guest_process_close(&g);
}

void host_compute_once(HostReport *report, uint32_t seed)
{
    GuestProcess g;
    int r = guest_process_open(&g);

    host_say(report, r == 0 ? guest_process_compute(&g, seed) : r);
    guest_process_close(&g);
}
