/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* CUDA sessions from a device to the driver: the mediator with the real executor, over the fake
 * driver. */
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "session-peer.h"
#include "test.h"
#include "world.h"

#define MIB (UINT64_C(1) << 20)

#define SESSION(id) VGPU_OBJECT_SESSION "/" id

/* Numbers of functions */
enum { NOTHING = 1, ENDLESS, TRAP };

/* CUDA_ERROR_INVALID_HANDLE */
#define INVALID_HANDLE 400

static char directory[200], plan[256];

static int start(void **state)
{
    setenv("LD_LIBRARY_PATH", getenv("VGPU_FAKE_CUDA_DIR"), 1);
    if (!getenv("VGPU_REAL_EXECUTOR"))
        setenv("VGPU_REAL_EXECUTOR", getenv("VGPU_EXECUTOR"), 1);
    setenv("VGPU_EXECUTOR", getenv("VGPU_FAKE_CUDA_EXECUTOR"), 1);
    /* Where executors leave the bytes that they share: they can write nowhere else. */
    if (!getenv("TMPDIR"))
        setenv("TMPDIR", "/tmp", 1);
    if (directory[0] == '\0') {
        snprintf(directory, sizeof(directory), "%s/vgpu-shared.XXXXXX", getenv("TMPDIR"));
        assert_non_null(mkdtemp(directory));
        snprintf(plan, sizeof(plan), "share=%s", directory);
        setenv("VGPU_FAKE_CUDA", plan, 1);
    }
    return world_start(*state);
}

/* What executors have left there */
static int clean(void **state)
{
    const struct dirent *entry;
    DIR *d = opendir(directory);

    (void) state;
    while (d && (entry = readdir(d)))
        (void) unlinkat(dirfd(d), entry->d_name, 0);
    if (d)
        closedir(d);
    return rmdir(directory);
}

/* Connects as the device of the VM that was registered by that number. */
static int connect_vm(uint8_t uuid)
{
    VGPUHello message = {.features = VGPU_FEATURE_SESSIONS};
    VGPUSocketHeader h = wire_header(VGPU_MSG_HELLO, uuid, 70, 0, sizeof(message));
    int fd = dial();

    memset(message.uuid, uuid, sizeof(message.uuid));
    assert_true(wire_send(fd, &h, &message));
    assert_int_equal(expect_welcome(fd).features, VGPU_FEATURE_SESSIONS);
    return fd;
}

/* The same of a new VM "web" */
static int connect_web(void)
{
    register_vm("web", 1, "A", "low");
    return connect_vm(1);
}

/* With context 1 and some functions in it; as soon as it has taken an operation. */
static void open_session(int fd, SessionGuest *g, uint32_t ring)
{
    static const char *const names[] = {
        [NOTHING] = "nothing", [ENDLESS] = "endless", [TRAP] = "trap"};

    session_guest_open(g, &(SessionGuestOptions){.window_base = UINT64_C(0x300000000000) +
                                                                ring * UINT64_C(0x40000000)});
    session_peer_open(fd, g, ring);
    expect_session_ready(fd, ring, VGPU_ERROR_NONE, 0);
    session_guest_context(g, 1, true);
    session_guest_load(g, 1, getenv("VGPU_FAKE_SESSION_KERNELS"), 1);
    for (uint32_t id = NOTHING; id <= TRAP; id++)
        session_guest_function(g, 1, 1, names[id], id);
}

static uint32_t allocate(SessionGuest *g, uint64_t size)
{
    const VGPUSessionMemory p = {.size = size};

    return session_guest_call(g, VGPU_SESSION_OP_MEMORY_ALLOC, 1, &p, sizeof(p));
}

static uint32_t take(SessionGuest *g, const VGPUSessionShare *share)
{
    return session_guest_call(g, VGPU_SESSION_OP_TAKE_MEMORY, 1, share, sizeof(*share));
}

static uint64_t session_u64(const char *path, const char *property)
{
    return get_u64(path, VGPU_INTERFACE_SESSION, property);
}

static uint64_t vm_u64(const char *property)
{
    return get_u64(VM("web"), VGPU_INTERFACE_VM, property);
}

/* What the guest does is what the administrator sees; the limit of its memory is the driver's. */
TEST(test_life)
{
    int fd = connect_web();
    SessionGuest g;
    uint64_t module;

    call_manager(NULL, "SetVMLimits", "sa{sv}b", "web", 1, "SessionMemoryMax", "t", 4 * MIB, 1);
    open_session(fd, &g, 1);
    expect_text(SESSION("1"), VGPU_INTERFACE_SESSION, "Command", "session-guest");
    module = session_u64(SESSION("1"), "MemoryBytes");
    assert_in_range(module, 1, MIB - 1);
    assert_int_equal(allocate(&g, 3 * MIB), 0);
    assert_int_equal(allocate(&g, 2 * MIB), 2); /* CUDA_ERROR_OUT_OF_MEMORY */
    assert_int_equal(session_u64(SESSION("1"), "MemoryBytes"), module + 3 * MIB);
    assert_true(session_u64(SESSION("1"), "ImagesBytes") > 0);
    assert_true(session_u64(SESSION("1"), "Operations") > 3);

    for (unsigned i = 0; i < 5; i++)
        session_guest_launch(&g, 1, 0, NOTHING, NULL, 0);
    session_guest_synchronize(&g, 1, 0);
    assert_int_equal(session_u64(SESSION("1"), "Launches"), 5);
    assert_int_equal(vm_u64("SessionLaunches"), 5);

    session_peer_down(fd, &g, 1);
    assert_int_equal(session_peer_children(NULL, 0), 0);
    assert_int_equal(vm_u64("SessionLaunches"), 5);
    assert_int_equal(vm_u64("SessionMemoryBytes"), 0);
    assert_int_equal(vm_u64("SessionFaults"), 0);
    close(fd);
}

static void limit_memory(uint64_t max)
{
    call_manager(NULL, "SetVMLimits", "sa{sv}b", "web", 1, "SessionMemoryMax", "t", max, 1);
}

/* What SessionMemoryMax= allows is for all sessions of the VM. That of one whose executor is gone,
 * in whatever way, is there for the others. */
TEST(test_memory_of_all)
{
    int fd = connect_web();
    SessionGuest g, other;
    uint64_t modules;

    open_session(fd, &g, 1);
    open_session(fd, &other, 2);
    modules = vm_u64("SessionMemoryBytes");
    limit_memory(modules + 4 * MIB);
    assert_int_equal(allocate(&g, 3 * MIB), 0);
    assert_int_equal(allocate(&other, 2 * MIB), 2); /* CUDA_ERROR_OUT_OF_MEMORY */
    assert_int_equal(allocate(&other, MIB), 0);
    assert_int_equal(vm_u64("SessionMemoryBytes"), modules + 4 * MIB);
    limit_memory(modules + 5 * MIB);
    assert_int_equal(allocate(&other, MIB), 0);

    assert_int_equal(
        kill((pid_t) get_u32(SESSION("1"), VGPU_INTERFACE_SESSION, "ExecutorPID"), SIGKILL), 0);
    expect_session_ready(fd, 1, VGPU_ERROR_MEDIATOR_UNAVAILABLE, 0);
    assert_int_equal(allocate(&other, 3 * MIB), 0);
    assert_int_equal(allocate(&other, MIB), 2);
    session_guest_close(&g);
    session_peer_down(fd, &other, 2);
    close(fd);
}

/* Processes of a VM share memory by a token, which is worth nothing to another VM, and nothing
 * after the session that gave it. */
TEST(test_shared_memory)
{
    const VGPUSessionMemory memory = {.size = MIB};
    VGPUSessionShare share = {0};
    int fd = connect_web(), other_fd;
    SessionGuest g, taker, stranger;
    uint64_t value[6], module;

    register_vm("other", 2, "A", "low");
    other_fd = connect_vm(2);
    open_session(fd, &g, 1);
    open_session(fd, &taker, 2);
    open_session(other_fd, &stranger, 3);
    assert_int_equal(session_guest_call_with(&g, VGPU_SESSION_OP_MEMORY_ALLOC, 1, &memory,
                                             sizeof(memory), NULL, 0, value),
                     0);
    share.address = value[0];
    assert_int_equal(session_guest_call_with(&g, VGPU_SESSION_OP_SHARE_MEMORY, 1, &share,
                                             sizeof(share), NULL, 0, value),
                     0);
    share = (VGPUSessionShare){.token = {value[0], value[1]}};
    assert_int_equal(take(&stranger, &share), INVALID_HANDLE);
    module = session_u64(SESSION("2"), "MemoryBytes");
    assert_int_equal(take(&taker, &share), 0);
    assert_int_equal(session_u64(SESSION("2"), "MemoryBytes"), module + MIB);

    session_peer_down(fd, &g, 1);
    assert_int_equal(take(&taker, &share), INVALID_HANDLE);
    session_peer_down(fd, &taker, 2);
    session_peer_down(other_fd, &stranger, 3);
    close(fd);
    close(other_fd);
}

/* Work waits while the VM is paused. */
TEST(test_pause)
{
    int fd = connect_web();
    SessionGuest g;
    uint64_t word;

    open_session(fd, &g, 1);
    word = session_guest_alloc(&g, 8);
    call_manager(NULL, "PauseVM", "s", "web");
    session_guest_fence(&g, 1, 0, word, 7);
    assert_false(session_guest_wait_word(&g, word, 7, 200));
    call_manager(NULL, "ResumeVM", "s", "web");
    assert_true(session_guest_wait_word(&g, word, 7, SESSION_GUEST_TIMEOUT_MSEC));
    session_peer_down(fd, &g, 1);
    close(fd);
}

/* Each way in which a guest can end its session; a neighbour does not notice. */
TEST(test_ends)
{
    static const unsigned char nonsense[64] = {0xff};
    int fd = connect_web();
    SessionGuest g, neighbour;
    uint64_t never;

    open_session(fd, &neighbour, 15);

    open_session(fd, &g, 1);
    session_guest_put_bytes(&g, nonsense, sizeof(nonsense));
    (void) session_guest_publish(&g);
    expect_session_ready(fd, 1, VGPU_ERROR_INVALID_REQUEST, 0);
    session_guest_close(&g);

    open_session(fd, &g, 2);
    never = (uint64_t) (uintptr_t) (g.window + session_guest_alloc(&g, 8));
    session_guest_launch(&g, 1, 0, ENDLESS, &never, sizeof(never));
    expect_session_ready(fd, 2, VGPU_ERROR_CUDA_ERROR, 702);
    assert_int_equal(g.header->sticky, 702);
    session_guest_close(&g);
    assert_int_equal(vm_u64("SessionFaults"), 2);

    /* An error that the context does not survive, and the guest closes. */
    open_session(fd, &g, 3);
    session_guest_launch(&g, 1, 0, TRAP, NULL, 0);
    for (uint64_t end = now_usec() + 20 * USEC_PER_SEC; g.header->sticky == 0; usleep(1000)) {
        const VGPUSessionNone none = {{0}};

        assert_true(now_usec() < end);
        (void) session_guest_call(&g, VGPU_SESSION_OP_NOP, 0, &none, sizeof(none));
    }
    session_peer_down(fd, &g, 3);
    assert_int_equal(vm_u64("SessionFaults"), 3);

    /* A process that is killed. */
    open_session(fd, &g, 4);
    call_manager(NULL, "EndSession", "u", 5);
    expect_session_ready(fd, 4, VGPU_ERROR_MEDIATOR_UNAVAILABLE, 0);
    assert_int_equal(g.header->state, VGPU_SESSION_STATE_ENDED);
    session_guest_close(&g);

    session_guest_launch(&neighbour, 1, 0, NOTHING, NULL, 0);
    session_guest_synchronize(&neighbour, 1, 0);
    session_peer_down(fd, &neighbour, 15);
    close(fd);
}

/* An area that is none, and a session of an executor that waited for it. */
TEST(test_spare)
{
    int fd = connect_web();
    SessionGuest g;
    pid_t spare;

    wait_for_children(1, WIRE_TIMEOUT_MSEC);
    assert_int_equal(session_peer_children(&spare, 1), 1);
    open_session(fd, &g, 1);
    assert_int_equal(get_u32(SESSION("1"), VGPU_INTERFACE_SESSION, "ExecutorPID"), spare);
    wait_for_children(2, WIRE_TIMEOUT_MSEC);
    session_peer_down(fd, &g, 1);

    session_guest_open(&g, NULL);
    g.header->magic++;
    session_peer_open(fd, &g, 1);
    expect_session_ready(fd, 1, VGPU_ERROR_INVALID_REQUEST, 0);
    session_guest_close(&g);
    close(fd);
}

#define WITH_BUS(config, test)                           \
    {                                                    \
#test, test, start, world_end, (void *) (config) \
    }

#define CONFIG "[Pool A]\nBackend=cuda\nKernelTimeoutSec=1\n[Limits]\nFaultLimit=0\n"

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_BUS(CONFIG, test_life),
        WITH_BUS(CONFIG, test_memory_of_all),
        WITH_BUS(CONFIG, test_shared_memory),
        WITH_BUS(CONFIG, test_pause),
        WITH_BUS(CONFIG, test_ends),
        WITH_BUS("[Pool A]\nBackend=cuda\nWarmSpares=1\n", test_spare),
    };

    return cmocka_run_group_tests_name("session-mediated", tests, NULL, clean);
}
