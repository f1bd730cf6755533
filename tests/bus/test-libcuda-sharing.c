/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libcuda.so.1 in two processes of one container that share memory: by a descriptor that one sends
 * to the other, and by the bytes of a handle. With the real mediator and executor, over the fake
 * driver.
 *
 * The other process is this program again, as PROGRAM SOURCE-ROOT SOCKET: it does what each message
 * says, and answers with a CUresult.
 */
#include <dirent.h>
#include <fcntl.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cuda-api-memory.h"
#include "fake-units.h"
#include "test-libcuda-kernels.h"
#include "world.h"

#define GRANULE ((size_t) 2 << 20)
#define N (GRANULE / sizeof(uint32_t))

static const AllocationProp shareable = {
    .type = ALLOCATION_PINNED,
    .handle_types = HANDLE_TYPE_FD,
    .location = {.type = LOCATION_DEVICE},
};
static const AccessDesc read_write = {.location = {.type = LOCATION_DEVICE},
                                      .flags = ACCESS_READ_WRITE};
static CUmodule module;

/* ---- The other process -------------------------------------------------------------------------
 */

enum {
    MESSAGE_IMPORT,
    MESSAGE_OPEN,
    MESSAGE_EVENT,
    MESSAGE_READ,
    MESSAGE_WRITE,
    MESSAGE_END,
};

/* What it is to do with the memory that it has got; a descriptor may go along. */
typedef struct Message {
    int what;
    CUresult result;
    uint32_t value;      /* of all words */
    IpcMemHandle handle; /* of an event, too: as many bytes */
} Message;

_Static_assert(sizeof(IpcMemHandle) == sizeof(IpcEventHandle), "bytes of handles");

static int other_socket;
static pid_t other_pid;

static void message_send(int s, const Message *m, int fd)
{
    struct iovec iov = {(void *) m, sizeof(*m)};
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control = {0};
    struct msghdr h = {.msg_iov = &iov, .msg_iovlen = 1};

    if (fd >= 0) {
        h.msg_control = control.bytes;
        h.msg_controllen = sizeof(control.bytes);
        *CMSG_FIRSTHDR(&h) = (struct cmsghdr){
            .cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
        memcpy(CMSG_DATA(CMSG_FIRSTHDR(&h)), &fd, sizeof(fd));
    }
    if (sendmsg(s, &h, 0) != sizeof(*m))
        abort();
}

/* Returns the descriptor that came along, or -1. */
static int message_receive(int s, Message *m)
{
    struct iovec iov = {m, sizeof(*m)};
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control = {0};
    struct msghdr h = {
        .msg_iov = &iov,
        .msg_iovlen = 1,
        .msg_control = control.bytes,
        .msg_controllen = sizeof(control.bytes),
    };
    int fd = -1;

    if (recvmsg(s, &h, MSG_CMSG_CLOEXEC) != sizeof(*m))
        exit(EXIT_FAILURE);
    if (CMSG_FIRSTHDR(&h))
        memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&h)), sizeof(fd));
    return fd;
}

static CUresult other_import(int fd, CUdeviceptr *ret)
{
    CUmemGenericAllocationHandle handle;
    AllocationProp prop = {0};
    CUresult r = cuMemImportFromShareableHandle(&handle, (void *) (intptr_t) fd, HANDLE_TYPE_FD);

    close(fd);
    if (r == CUDA_SUCCESS)
        r = cuMemGetAllocationPropertiesFromHandle(&prop, handle);
    if (r == CUDA_SUCCESS && memcmp(&prop, &shareable, sizeof(prop)) != 0)
        r = CUDA_ERROR_UNKNOWN;
    if (r == CUDA_SUCCESS)
        r = cuMemAddressReserve(ret, GRANULE, 0, 0, 0);
    if (r == CUDA_SUCCESS)
        r = cuMemMap(*ret, GRANULE, 0, handle, 0);
    if (r == CUDA_SUCCESS)
        r = cuMemRelease(handle);
    return r == CUDA_SUCCESS ? cuMemSetAccess(*ret, GRANULE, &read_write, 1) : r;
}

/* Opened twice, and closed once */
static CUresult other_open(const IpcMemHandle *handle, CUdeviceptr *ret)
{
    CUdeviceptr again;
    CUresult r = cuIpcOpenMemHandle_v2(ret, *handle, IPC_LAZY_ENABLE_PEER_ACCESS);

    if (r == CUDA_SUCCESS)
        r = cuIpcOpenMemHandle(&again, *handle, IPC_LAZY_ENABLE_PEER_ACCESS);
    if (r == CUDA_SUCCESS && again != *ret)
        r = CUDA_ERROR_UNKNOWN;
    return r == CUDA_SUCCESS ? cuIpcCloseMemHandle(*ret) : r;
}

/* With an event it waits for that and for nothing else, and what it has written is there when that
 * has come. */
static CUevent other_event;

static CUresult other_open_event(const IpcMemHandle *bytes)
{
    IpcEventHandle handle;

    memcpy(&handle, bytes, sizeof(handle));
    return cuIpcOpenEventHandle(&other_event, handle);
}

static CUresult other_write(CUdeviceptr memory, uint32_t value)
{
    CUresult r = cuMemsetD32Async(memory, value, N, NULL);

    if (r != CUDA_SUCCESS)
        return r;
    return other_event ? cuEventRecord(other_event, NULL) : cuCtxSynchronize();
}

static CUresult other_read(CUdeviceptr memory, uint32_t value)
{
    static uint32_t words[N];
    CUresult r = other_event ? cuStreamWaitEvent(NULL, other_event, 0) : CUDA_SUCCESS;

    if (r == CUDA_SUCCESS)
        r = cuMemcpyDtoH_v2(words, memory, sizeof(words));

    for (size_t i = 0; i < N; i++)
        if (words[i] != value)
            return CUDA_ERROR_UNKNOWN;
    return r;
}

static CUresult other_do(Message *m, int fd, CUdeviceptr *memory)
{
    switch (m->what) {
    case MESSAGE_IMPORT:
        return other_import(fd, memory);
    case MESSAGE_OPEN:
        return other_open(&m->handle, memory);
    case MESSAGE_EVENT:
        return other_open_event(&m->handle);
    case MESSAGE_READ:
        return other_read(*memory, m->value);
    default:
        return other_write(*memory, m->value);
    }
}

static int other_main(int s)
{
    CUdeviceptr memory = 0;
    Message m = {0};

    libcuda_primary();
    for (;;) {
        const int fd = message_receive(s, &m);

        if (m.what == MESSAGE_END)
            break;
        m.result = other_do(&m, fd, &memory);
        message_send(s, &m, -1);
    }
    if (cuIpcCloseMemHandle(memory) == CUDA_SUCCESS) /* or it was mapped */
        CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuIpcCloseMemHandle(memory));
    return EXIT_SUCCESS;
}

static int begin_other(void **state)
{
    char number[16], *arguments[] = {(char *) "other", (char *) libcuda_sources, number, NULL};
    extern char **environ;
    int pair[2];

    (void) state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
    assert_int_equal(fcntl(pair[0], F_SETFD, FD_CLOEXEC), 0);
    snprintf(number, sizeof(number), "%d", pair[1]);
    assert_int_equal(posix_spawn(&other_pid, "/proc/self/exe", NULL, NULL, arguments, environ), 0);
    close(pair[1]);
    other_socket = pair[0];
    return 0;
}

static int end_other(void **state)
{
    const Message m = {.what = MESSAGE_END};
    int status;

    (void) state;
    message_send(other_socket, &m, -1);
    close(other_socket);
    assert_int_equal(waitpid(other_pid, &status, 0), other_pid);
    assert_int_equal(status, 0);
    return 0;
}

/* Have it done; the result */
static CUresult other(int what, uint32_t value, const IpcMemHandle *handle, int fd)
{
    Message m = {.what = what, .value = value};

    if (handle)
        m.handle = *handle;
    message_send(other_socket, &m, fd);
    (void) message_receive(other_socket, &m);
    return m.result;
}

/* ---- With the other process --------------------------------------------------------------------
 */

static CUmemGenericAllocationHandle create(size_t size)
{
    CUmemGenericAllocationHandle handle;

    CALL(cuMemCreate(&handle, size, &shareable, 0));
    return handle;
}

TEST(test_descriptor)
{
    CUmemGenericAllocationHandle handle = create(GRANULE), again;
    CUdeviceptr base;
    uint64_t types = 0;
    int fd;

    CALL(cuMemAddressReserve(&base, GRANULE, 0, 0, 0));
    CALL(cuMemMap(base, GRANULE, 0, handle, 0));
    CALL(cuMemSetAccess(base, GRANULE, &read_write, 1));
    CALL(cuPointerGetAttribute(&types, POINTER_HANDLE_TYPES, base));
    assert_int_equal(types, HANDLE_TYPE_FD);
    libcuda_fill(module, base, 31, N, NULL);
    CALL(cuCtxSynchronize());
    CALL(cuMemExportToShareableHandle(&fd, handle, HANDLE_TYPE_FD, 0));
    CALL(other(MESSAGE_IMPORT, 0, NULL, fd));
    CALL(cuMemImportFromShareableHandle(&again, (void *) (intptr_t) fd, HANDLE_TYPE_FD));
    CALL(cuMemRelease(again));
    close(fd);
    CALL(other(MESSAGE_READ, 31, NULL, -1));
    CALL(other(MESSAGE_WRITE, 32, NULL, -1));
    libcuda_check(base, 32, N);
    libcuda_fill(module, base, 33, N, NULL);
    CALL(cuCtxSynchronize());
    CALL(other(MESSAGE_READ, 33, NULL, -1));
    /* It has the memory for as long as it likes. */
    CALL(cuMemUnmap(base, GRANULE));
    CALL(cuMemRelease(handle));
    CALL(cuMemAddressFree(base, GRANULE));
    CALL(other(MESSAGE_READ, 33, NULL, -1));
}

TEST(test_wrong_descriptors)
{
    AllocationProp prop = shareable;
    CUmemGenericAllocationHandle handle;
    int fd;

    prop.handle_types = 0;
    CALL(cuMemCreate(&handle, GRANULE, &prop, 0));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE,
               cuMemExportToShareableHandle(&fd, handle, HANDLE_TYPE_FD, 0));
    CALL(cuMemRelease(handle));
    handle = create(GRANULE);
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE,
               cuMemExportToShareableHandle(NULL, handle, HANDLE_TYPE_FD, 0));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE,
               cuMemExportToShareableHandle(&fd, handle, HANDLE_TYPE_FD, 1));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE,
               cuMemExportToShareableHandle(&fd, handle, HANDLE_TYPE_FABRIC, 0));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuMemExportToShareableHandle(&fd, 0, HANDLE_TYPE_FD, 0));
    CALL(cuMemRelease(handle));

    CALL_FAILS(CUDA_ERROR_INVALID_VALUE,
               cuMemImportFromShareableHandle(&handle, (void *) -1, HANDLE_TYPE_FD));
    fd = memfd_create("nothing", MFD_CLOEXEC);
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE,
               cuMemImportFromShareableHandle(&handle, (void *) (intptr_t) fd, HANDLE_TYPE_FD));
    CALL_FAILS(CUDA_ERROR_NOT_SUPPORTED,
               cuMemImportFromShareableHandle(&handle, (void *) (intptr_t) fd, HANDLE_TYPE_FABRIC));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE,
               cuMemImportFromShareableHandle(NULL, (void *) (intptr_t) fd, HANDLE_TYPE_FD));
    close(fd);
}

TEST(test_handle)
{
    IpcMemHandle handle;
    CUdeviceptr a;
    int is_ipc = -1;

    CALL(cuMemAlloc_v2(&a, 2 * GRANULE));
    CALL(cuPointerGetAttribute(&is_ipc, POINTER_IS_LEGACY_IPC, a));
    assert_int_equal(is_ipc, 1);
    libcuda_fill(module, a, 41, 2 * N, NULL);
    CALL(cuCtxSynchronize());
    /* It is about the allocation, wherever in it. */
    CALL(cuIpcGetMemHandle(&handle, a + 4096));
    CALL(other(MESSAGE_OPEN, 0, &handle, -1));
    CALL(other(MESSAGE_READ, 41, NULL, -1));
    CALL(other(MESSAGE_WRITE, 42, NULL, -1));
    libcuda_check(a, 42, N);
    libcuda_check(a + GRANULE, 41, N);
    CALL(cuMemFree_v2(a));
    CALL_FAILS(CUDA_ERROR_INVALID_HANDLE, other(MESSAGE_OPEN, 0, &handle, -1));
}

TEST(test_event)
{
    IpcMemHandle handle, bytes;
    IpcEventHandle event_handle;
    CUevent event;
    CUdeviceptr a;

    CALL(cuMemAlloc_v2(&a, GRANULE));
    CALL(cuEventCreate(&event, EVENT_INTERPROCESS | EVENT_DISABLE_TIMING));
    CALL(cuIpcGetEventHandle(&event_handle, event));
    memcpy(&bytes, &event_handle, sizeof(bytes));
    CALL(cuIpcGetMemHandle(&handle, a));
    CALL(other(MESSAGE_OPEN, 0, &handle, -1));
    CALL(other(MESSAGE_EVENT, 0, &bytes, -1));
    for (uint32_t i = 0; i < 20; i++) {
        for (uint32_t j = 0; j < 20; j++)
            libcuda_fill(module, a, 100 * i + j, N, NULL);
        CALL(cuEventRecord(event, NULL));
        CALL(other(MESSAGE_READ, 100 * i + 19, NULL, -1));
        CALL(other(MESSAGE_WRITE, 100 * i + 50, NULL, -1));
        CALL(cuStreamWaitEvent(NULL, event, 0));
        libcuda_check(a, 100 * i + 50, N);
    }
    CALL(cuEventDestroy_v2(event));
    CALL(cuMemFree_v2(a));
}

TEST(test_wrong_events)
{
    IpcEventHandle handle, nothing = {0};
    CUstream stream;
    CUevent event;
    CUgraph graph;

    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuEventCreate(&event, EVENT_INTERPROCESS));
    CALL(cuEventCreate(&event, EVENT_DISABLE_TIMING));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuIpcGetEventHandle(&handle, event));
    CALL(cuEventDestroy_v2(event));
    CALL_FAILS(CUDA_ERROR_INVALID_HANDLE, cuIpcGetEventHandle(&handle, event));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuIpcOpenEventHandle(&event, nothing));
    CALL(cuEventCreate(&event, EVENT_INTERPROCESS | EVENT_DISABLE_TIMING));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuIpcGetEventHandle(NULL, event));
    CALL(cuIpcGetEventHandle(&handle, event));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuIpcOpenEventHandle(NULL, handle));
    CALL(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
    CALL(cuStreamBeginCapture_v2(stream, 0));
    CALL_FAILS(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, cuEventRecord(event, stream));
    CALL(cuStreamEndCapture(stream, &graph));
    CALL(cuGraphDestroy(graph));
    CALL(cuStreamDestroy_v2(stream));
    CALL(cuEventDestroy_v2(event));
}

TEST(test_wrong_handles)
{
    IpcMemHandle handle, nothing = {0};
    CUmemGenericAllocationHandle physical = create(GRANULE);
    CUdeviceptr a, base;
    void *host;

    CALL(cuMemAlloc_v2(&a, GRANULE));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuIpcGetMemHandle(NULL, a));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuIpcGetMemHandle(&handle, a + GRANULE));
    CALL(cuIpcGetMemHandle(&handle, a));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuIpcOpenMemHandle_v2(&base, handle, 0));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuIpcOpenMemHandle_v2(NULL, handle, 1));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuIpcOpenMemHandle_v2(&base, nothing, 1));
    /* The driver opens no handle of the process's own. */
    CALL_FAILS(CUDA_ERROR_INVALID_CONTEXT, cuIpcOpenMemHandle_v2(&base, handle, 1));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuIpcCloseMemHandle(a));
    CALL(cuMemFree_v2(a));

    CALL(cuMemAllocAsync(&a, GRANULE, NULL));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuIpcGetMemHandle(&handle, a));
    CALL(cuMemFreeAsync(a, NULL));
    CALL(cuMemHostAlloc(&host, GRANULE, 0));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuIpcGetMemHandle(&handle, (uintptr_t) host));
    CALL(cuMemFreeHost(host));
    CALL(cuMemAddressReserve(&base, GRANULE, 0, 0, 0));
    CALL(cuMemMap(base, GRANULE, 0, physical, 0));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuIpcGetMemHandle(&handle, base));
    CALL(cuMemUnmap(base, GRANULE));
    CALL(cuMemAddressFree(base, GRANULE));
    CALL(cuMemRelease(physical));
}

/* ---- The world ---------------------------------------------------------------------------------
 */

#define CONFIG "[Pool A]\nBackend=cuda\n"

/* Where executors leave the bytes that they share: they can write nowhere else. */
static char directory[64];

static int start(void **state)
{
    char plan[128];

    (void) state;
    snprintf(directory, sizeof(directory), "/tmp/vgpu-sharing.XXXXXX");
    assert_non_null(mkdtemp(directory));
    snprintf(plan, sizeof(plan), "share=%s", directory);
    setenv("TMPDIR", directory, 1);
    setenv("VGPU_FAKE_CUDA", plan, 1);
    setenv("LD_LIBRARY_PATH", getenv("VGPU_FAKE_CUDA_DIR"), 1);
    if (!getenv("VGPU_REAL_EXECUTOR"))
        setenv("VGPU_REAL_EXECUTOR", getenv("VGPU_EXECUTOR"), 1);
    setenv("VGPU_EXECUTOR", getenv("VGPU_FAKE_CUDA_EXECUTOR"), 1);
    assert_int_equal(world_start(CONFIG), 0);
    fake_units_start();
    call_manager(NULL, "RegisterVM", "ssssa{sv}", "web", "", "A", "low", 1, "Unit", "s",
                 FAKE_UNITS_UNIT);
    unsetenv("LD_LIBRARY_PATH");
    setenv("VGPU_SOCKET", mediator.socket, 1);
    setenv("VGPU_WINDOW_SIZE", "67108864", 1);
    libcuda_primary();
    module = libcuda_load("tests/fake-cuda/session-kernels.ptx");
    return 0;
}

static int end(void **state)
{
    const struct dirent *entry;
    DIR *d = opendir(directory);

    while (d && (entry = readdir(d)))
        (void) unlinkat(dirfd(d), entry->d_name, 0);
    if (d)
        closedir(d);
    (void) rmdir(directory);
    CALL(cuModuleUnload(module));
    fake_units_stop();
    return world_end(state);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_descriptor, begin_other, end_other),
        cmocka_unit_test(test_wrong_descriptors),
        cmocka_unit_test_setup_teardown(test_handle, begin_other, end_other),
        cmocka_unit_test(test_wrong_handles),
        cmocka_unit_test_setup_teardown(test_event, begin_other, end_other),
        cmocka_unit_test(test_wrong_events),
    };

    if (argc < 2) {
        fprintf(stderr, "usage: %s SOURCE-ROOT\n", argv[0]);
        return EXIT_FAILURE;
    }
    libcuda_sources = argv[1];
    if (argc == 3)
        return other_main(atoi(argv[2]));
    return cmocka_run_group_tests_name("libcuda-sharing", tests, start, end);
}
