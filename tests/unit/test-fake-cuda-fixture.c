/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "test-fake-cuda-fixture.h"

#include <dlfcn.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define PINNED_AT UINT64_C(0x300000000000)

CudaSessionDriver cu;
CUcontext primary;
CUmodule module;

static CUstream reading;
static uint64_t pinned_next = PINNED_AT;

void expect(bool good, const char *file, int line, const char *what, long long is)
{
    if (good)
        return;
    fprintf(stderr, "%s:%d: not: %s (%lld)\n", file, line, what, is);
    fflush(stderr);
    _exit(EXIT_FAILURE);
}

static void open_driver(void)
{
    char path[4096];

    snprintf(path, sizeof(path), "%s/libcuda.so.1", getenv("VGPU_FAKE_CUDA_DIR"));
    cu.base.shared_object = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    expect(cu.base.shared_object != NULL, __FILE__, __LINE__, path, 0);
#define LOOK_UP(table, member, symbol)                    \
    table.member = dlsym(cu.base.shared_object, #symbol); \
    expect(table.member != NULL, __FILE__, __LINE__, #symbol, 0);
#define LOOK_UP_BASE(member, symbol, parameters) LOOK_UP(cu.base, member, symbol)
#define LOOK_UP_SESSION(member, symbol, parameters) LOOK_UP(cu, member, symbol)
    CUDA_DRIVER_FUNCTIONS(LOOK_UP_BASE)
    CUDA_SESSION_FUNCTIONS(LOOK_UP_SESSION)
}

void run_driver(const char *plan, void (*body)(void))
{
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL};
    CUuuid uuid;

    /* cmocka's handlers would go on with the next test in this process. */
    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++)
        signal(faults[i], SIG_DFL);
    setenv("VGPU_FAKE_CUDA", plan, 1);
    open_driver();
    OK(BASE.init(0));
    /* From here on the driver takes the process for a session. */
    OK(cu.device_get_uuid(&uuid, 0));
    OK(BASE.primary_ctx_retain(&primary, 0));
    OK(BASE.ctx_set_current(primary));
    body();
    dlclose(cu.base.shared_object);
    fflush(NULL);
    exit(EXIT_SUCCESS);
}

static void read_back(FILE *f, char *text, size_t size)
{
    size_t n;

    rewind(f);
    n = fread(text, 1, size - 1, f);
    text[n] = '\0';
    fclose(f);
}

Outcome outcome_of(const char *plan, void (*body)(void))
{
    Outcome o = {0};
    FILE *output = tmpfile(), *errors = tmpfile();
    pid_t pid;

    assert_non_null(output);
    assert_non_null(errors);
    fflush(NULL);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        dup2(fileno(output), STDOUT_FILENO);
        dup2(fileno(errors), STDERR_FILENO);
        run_driver(plan, body);
    }
    assert_int_equal(waitpid(pid, &o.status, 0), pid);
    read_back(output, o.output, sizeof(o.output));
    read_back(errors, o.errors, sizeof(o.errors));
    return o;
}

void assert_good(const char *plan, void (*body)(void))
{
    Outcome o = outcome_of(plan, body);

    if (o.status != 0)
        fail_msg("ends with %x: %s", (unsigned) o.status, o.errors);
}

void assert_misuse(const char *plan, void (*body)(void), const char *says)
{
    Outcome o = outcome_of(plan, body);

    assert_true(WIFSIGNALED(o.status) && WTERMSIG(o.status) == SIGABRT);
    if (!strstr(o.errors, "misuse") || !strstr(o.errors, says))
        fail_msg("said \"%s\"", o.errors);
}

/* ---- In the process that tries ---------------------------------------------------- */

char *read_kernels(void)
{
    FILE *f = fopen(getenv("VGPU_FAKE_SESSION_KERNELS"), "re");
    char *text = calloc(1, 1 << 20);

    EXPECT(f != NULL && text != NULL);
    EXPECT(fread(text, 1, (1 << 20) - 1, f) > 0);
    fclose(f);
    return text;
}

CUmodule load_module(void)
{
    char *text = read_kernels();
    CUmodule m;

    OK(cu.module_load_data_ex(&m, text, 0, NULL, NULL));
    free(text);
    return m;
}

CUfunction function(const char *name)
{
    CUfunction f;

    if (!module)
        module = load_module();
    OK(BASE.module_get_function(&f, module, name));
    return f;
}

CUstream new_stream(unsigned flags)
{
    CUstream s;

    OK(BASE.stream_create_with_priority(&s, flags, 0));
    return s;
}

CUevent new_event(void)
{
    CUevent e;

    OK(cu.event_create(&e, 0));
    return e;
}

CUdeviceptr new_numbers(size_t n)
{
    CUdeviceptr address;

    OK(BASE.mem_alloc(&address, n * sizeof(uint32_t)));
    return address;
}

uint32_t *pinned(size_t n)
{
    size_t size = (n * sizeof(uint32_t) + 4095) & ~(size_t) 4095;
    void *p = mmap((void *) (uintptr_t) pinned_next, size, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    CUdeviceptr address;

    EXPECT(p != MAP_FAILED);
    pinned_next += UINT64_C(1) << 32;
    OK(BASE.mem_host_register(p, size, CU_MEMHOSTREGISTER_PORTABLE | CU_MEMHOSTREGISTER_DEVICEMAP));
    OK(BASE.mem_host_get_device_pointer(&address, p, 0));
    EXPECT(address == ADDRESS(p));
    return p;
}

CUresult launch(CUfunction f, unsigned blocks, CUstream stream, void **params)
{
    return BASE.launch_kernel(f, blocks, 1, 1, 256, 1, 1, 0, stream, params, NULL);
}

void fill(CUdeviceptr to, uint32_t value, uint64_t n, CUstream stream)
{
    void *params[] = {&to, &value, &n};

    OK(launch(function("fill"), (unsigned) ((n + 255) / 256), stream, params));
}

void add(CUdeviceptr to, CUdeviceptr from, uint32_t number, CUstream stream)
{
    struct {
        CUdeviceptr from, to;
        uint32_t n, add;
    } p = {from, to, 1, number};
    void *params[] = {&p};

    OK(launch(function("copy_struct"), 1, stream, params));
}

uint32_t number_at(CUdeviceptr address)
{
    static uint32_t *number;

    if (!number) {
        number = pinned(1);
        reading = new_stream(CU_STREAM_NON_BLOCKING);
    }
    OK(BASE.memcpy_d_to_h_async(number, address, sizeof(*number), reading));
    OK(BASE.stream_synchronize(reading));
    return *number;
}
