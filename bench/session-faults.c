/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * session-faults [REPETITIONS] - how long a GPU is lost to somebody whose kernel faults: the time
 * from the error until a new process has computed. Once natively, and once through a session, in
 * turn; the medians and the median of the ratios. What both have in common is a process's first
 * context.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cuda-session.h"
#include "guest-process.h"
#include "measure.h"
#include "mediator.h"

#define REPETITIONS 9u
#define REPETITIONS_MAX 99u
#define AIM 1.1

static const char fault_kernel[] =
    ".version 7.0\n.target sm_70\n.address_size 64\n"
    ".visible .entry illegal_address()\n{\n    .reg .b64 %a;\n    .reg .b32 %v;\n"
    "    mov.u64 %a, 64;\n    mov.u32 %v, 1;\n    st.global.u32 [%a], %v;\n    ret;\n}\n"
    ".visible .entry nothing()\n{\n    ret;\n}\n";

/* What a child says when it has come so far */
typedef struct Moment {
    double sec;
    int result;
} Moment;

static Moment *moment;

static void say(int result)
{
    *moment = (Moment){.sec = now_sec(), .result = result};
}

/* ---- The driver itself ------------------------------------------------------------------------
 */

static int native_run(const char *kernel)
{
    static CudaSessionDriver driver;
    const CudaDriver *d = &driver.base;
    CUfunction function;
    CUcontext context;
    CUmodule module;
    CUdevice device;
    char reason[256];

    if (cuda_session_driver_open(&driver, reason, sizeof(reason)) < 0)
        return CUDA_ERROR_NO_DEVICE;
    if (d->init(0) != 0 || d->device_get(&device, 0) != 0 ||
        d->primary_ctx_retain(&context, device) != 0 || d->ctx_set_current(context) != 0 ||
        d->module_load_data(&module, fault_kernel) != 0 ||
        d->module_get_function(&function, module, kernel) != 0)
        return CUDA_ERROR_UNKNOWN;
    if (d->launch_kernel(function, 1, 1, 1, 1, 1, 1, 0, NULL, NULL, NULL) != 0)
        return CUDA_ERROR_UNKNOWN;
    return d->stream_synchronize(NULL);
}

static void native_fault(void)
{
    say(native_run("illegal_address"));
}

static void native_compute(void)
{
    say(native_run("nothing"));
}

/* ---- Through a session --------------------------------------------------------------------------
 */

static int guest_run(GuestProcess *g, const char *kernel)
{
    const VGPUSessionContext context = {.id = 1, .primary = 1};
    const vgpu_session_options options = {.window_size = UINT64_C(16) << 20};
    VGPUSessionFunction *function = NULL;
    uint32_t module;
    int cuda = 0, r = vgpu_session_open(&options, &g->session, &cuda);

    if (r != 0)
        return cuda != 0 ? cuda : VGPU_CUDA_ERROR_UNKNOWN;
    g->from.context = 1;
    r = vgpu_session_call(g->session, VGPU_SESSION_OP_CONTEXT_CREATE, NULL, &context,
                          sizeof(context), NULL, 0, NULL);
    if (r == 0)
        r = vgpu_session_module_load(g->session, &g->from, fault_kernel, sizeof(fault_kernel), NULL,
                                     NULL, &module);
    if (r == 0)
        r = vgpu_session_function_get(g->session, &g->from, module, kernel, &g->function[0],
                                      &function);
    free(function);
    if (r == 0)
        r = vgpu_session_fence_new(g->session, &g->fence);
    if (r == 0)
        r = guest_process_launch(g, 0, 1, 1, 0, NULL, 0);
    return r == 0 ? guest_process_wait(g) : r;
}

static void guest_fault(void)
{
    GuestProcess g = {0};

    say(guest_run(&g, "illegal_address"));
}

static void guest_compute(void)
{
    GuestProcess g = {0};

    say(guest_run(&g, "nothing"));
}

/* ---- The measurement ----------------------------------------------------------------------------
 */

/* Returns when it said so. */
static double in_child(void (*body)(void), int result)
{
    pid_t pid = fork();

    if (pid < 0)
        die("fork");
    if (pid == 0) {
        (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
        body();
        _exit(EXIT_SUCCESS); /* as a program that gives up */
    }
    (void) waitpid(pid, NULL, 0);
    if (moment->result == CUDA_ERROR_NO_DEVICE) {
        printf("no GPU\n");
        exit(77);
    }
    if (moment->result != result) {
        fprintf(stderr, "CUDA error %d instead of %d\n", moment->result, result);
        exit(EXIT_FAILURE);
    }
    return moment->sec;
}

/* Milliseconds */
static double recovery(void (*fault)(void), void (*compute)(void))
{
    double begin = in_child(fault, CUDA_ERROR_ILLEGAL_ADDRESS);

    return (in_child(compute, CUDA_SUCCESS) - begin) * 1e3;
}

int main(int argc, char **argv)
{
    double native[REPETITIONS_MAX], ours[REPETITIONS_MAX], ratio[REPETITIONS_MAX];
    unsigned n = argc > 1 ? (unsigned) strtoul(argv[1], NULL, 10) : REPETITIONS;
    TestMediator mediator;

    moment = mmap(NULL, sizeof(*moment), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (moment == MAP_FAILED || n == 0 || n > REPETITIONS_MAX)
        return EXIT_FAILURE;
    setlinebuf(stdout);
    (void) in_child(native_compute, CUDA_SUCCESS);
    if (test_mediator_start(&mediator,
                            "[Pool A]\nBackend=cuda\n[Unregistered]\nPolicy=allow\n"
                            "[Limits]\nFaultLimit=0\n",
                            "none") < 0 ||
        setenv("VGPU_SOCKET", mediator.socket, 1) < 0 ||
        test_mediator_wait_log(&mediator, "computing with backend cuda") < 0)
        return EXIT_FAILURE;
    (void) in_child(guest_compute, CUDA_SUCCESS);
    for (unsigned i = 0; i < n; i++) {
        native[i] = recovery(native_fault, native_compute);
        ours[i] = recovery(guest_fault, guest_compute);
        ratio[i] = ours[i] / native[i];
    }
    printf(
        "from a kernel's fault until a new process has computed: native %.1f ms, session %.1f ms, "
        "ratio %.3f (aim <= %.1f)\n",
        median(native, n), median(ours, n), median(ratio, n), AIM);
    return test_mediator_stop(&mediator) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
