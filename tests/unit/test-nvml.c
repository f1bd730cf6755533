/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The libnvidia-ml.so.1 for guests, as a program sees it that also has CUDA.
 *
 *   test-nvml SOURCE-ROOT   the tests
 *   test-nvml watch         look at the device again and again, as a monitor does
 */
#include <dlfcn.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libcuda-version.h"
#include "nvml-api.h"
#include "nvml-symbols.h"
#include "test-libcuda.h"

#define MIB (UINT64_C(1) << 20)

static nvmlDevice_t the_device(void)
{
    nvmlDevice_t device;

    assert_int_equal(nvmlDeviceGetHandleByIndex_v2(0, &device), NVML_SUCCESS);
    return device;
}

static int start(void **state)
{
    (void) state;
    return nvmlInit_v2();
}

static int stop(void **state)
{
    (void) state;
    return nvmlShutdown();
}

/* ---- The library ---------------------------------------------------------------------------- */

static void *symbol_of(const char *name)
{
    void *symbol = dlsym(RTLD_DEFAULT, name);

    if (!symbol)
        fail_msg("%s is not exported", name);
    return symbol;
}

static int call(const char *name)
{
    int (*function)(void *, void *, void *, void *);

    *(void **) &function = symbol_of(name);
    return function(NULL, NULL, NULL, NULL);
}

#define CHECK_(symbol, kind) CHECK_##kind(#symbol)

/* What there is, is there; nothing works before the beginning; what is refused says why. */
TEST(test_names)
{
#define CHECK_SERVED(name) assert_non_null(symbol_of(name));
#define CHECK_NOT_SUPPORTED(name) assert_int_equal(call(name), NVML_ERROR_UNINITIALIZED);
#define CHECK_NO_PERMISSION(name) assert_int_equal(call(name), NVML_ERROR_UNINITIALIZED);
    NVML_SYMBOLS(CHECK_)
#undef CHECK_NOT_SUPPORTED
#undef CHECK_NO_PERMISSION
#define CHECK_NOT_SUPPORTED(name) assert_int_equal(call(name), NVML_ERROR_NOT_SUPPORTED);
#define CHECK_NO_PERMISSION(name) assert_int_equal(call(name), NVML_ERROR_NO_PERMISSION);
    assert_int_equal(nvmlInit_v2(), NVML_SUCCESS);
    NVML_SYMBOLS(CHECK_)
    assert_int_equal(nvmlShutdown(), NVML_SUCCESS);
}

TEST(test_init)
{
    unsigned n;

    assert_int_equal(nvmlShutdown(), NVML_ERROR_UNINITIALIZED);
    assert_int_equal(nvmlDeviceGetCount_v2(&n), NVML_ERROR_UNINITIALIZED);
    assert_int_equal(nvmlInit(), NVML_SUCCESS);
    assert_int_equal(nvmlInit_v2(), NVML_SUCCESS);
    assert_int_equal(nvmlInitWithFlags(NVML_INIT_FLAG_NO_ATTACH), NVML_SUCCESS);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(nvmlDeviceGetCount_v2(&n), NVML_SUCCESS);
        assert_int_equal(n, 1);
        assert_int_equal(nvmlShutdown(), NVML_SUCCESS);
    }
    assert_int_equal(nvmlDeviceGetCount_v2(&n), NVML_ERROR_UNINITIALIZED);
    assert_string_equal(nvmlErrorString(NVML_ERROR_NOT_SUPPORTED), "Not Supported");
    assert_string_equal(nvmlErrorString(1234), "Unknown Error");
    assert_string_equal(nvmlErrorString(-1), "Unknown Error");
}

TEST(test_no_way)
{
    char *socket = strdup(getenv("VGPU_SOCKET"));
    unsigned n;

    setenv("VGPU_SOCKET", "/nowhere", 1);
    assert_int_equal(nvmlInit_v2(), NVML_ERROR_DRIVER_NOT_LOADED);
    assert_int_equal(nvmlInitWithFlags(NVML_INIT_FLAG_NO_GPUS), NVML_SUCCESS);
    assert_int_not_equal(nvmlDeviceGetCount_v2(&n), NVML_SUCCESS);
    assert_int_equal(nvmlShutdown(), NVML_SUCCESS);
    setenv("VGPU_SOCKET", socket, 1);
    free(socket);
}

/* ---- What it says of the system and the device ---------------------------------------------- */

TEST(test_system)
{
    char text[96], short_text[5];
    nvmlUnit_t unit;
    unsigned n = 7;
    int version;

    assert_int_equal(nvmlSystemGetDriverVersion(text, sizeof(text)), NVML_SUCCESS);
    assert_string_equal(text, "580.65.06"); /* the fake library's */
    assert_int_equal(nvmlSystemGetDriverVersion(text, 4), NVML_ERROR_INSUFFICIENT_SIZE);
    assert_int_equal(nvmlSystemGetDriverVersion(NULL, 4), NVML_ERROR_INVALID_ARGUMENT);
    assert_int_equal(nvmlSystemGetNVMLVersion(text, sizeof(text)), NVML_SUCCESS);
    assert_string_equal(text, "13.580.65.06");
    assert_int_equal(nvmlSystemGetCudaDriverVersion(&version), NVML_SUCCESS);
    assert_int_equal(version, LIBCUDA_VERSION);

    assert_int_equal(nvmlSystemGetProcessName((unsigned) getpid(), text, sizeof(text)),
                     NVML_SUCCESS);
    assert_non_null(strstr(text, "test-nvml"));
    assert_int_equal(nvmlSystemGetProcessName((unsigned) getpid(), short_text, sizeof(short_text)),
                     NVML_SUCCESS);
    assert_memory_equal(text, short_text, 4);
    assert_int_equal(short_text[4], '\0');
    assert_int_equal(nvmlSystemGetProcessName(0x7fffffff, text, sizeof(text)),
                     NVML_ERROR_NOT_FOUND);
    assert_int_equal(nvmlSystemGetProcessName(1, text, 0), NVML_ERROR_INVALID_ARGUMENT);

    assert_int_equal(nvmlUnitGetCount(&n), NVML_SUCCESS);
    assert_int_equal(n, 0);
    assert_int_equal(nvmlUnitGetHandleByIndex(0, &unit), NVML_ERROR_INVALID_ARGUMENT);
    assert_int_equal(nvmlGetExcludedDeviceCount(&n), NVML_SUCCESS);
    assert_int_equal(n, 0);
}

TEST(test_handles)
{
    nvmlDevice_t device = the_device(), other;
    nvmlPciInfo_t pci;
    char uuid[96];

    assert_int_equal(nvmlDeviceGetHandleByIndex_v2(1, &other), NVML_ERROR_INVALID_ARGUMENT);
    assert_int_equal(nvmlDeviceGetHandleByIndex_v2(0, NULL), NVML_ERROR_INVALID_ARGUMENT);
    assert_int_equal(nvmlDeviceGetUUID(device, uuid, sizeof(uuid)), NVML_SUCCESS);
    assert_int_equal(nvmlDeviceGetHandleByUUID(uuid, &other), NVML_SUCCESS);
    assert_ptr_equal(other, device);
    assert_int_equal(nvmlDeviceGetHandleByUUID("GPU-0", &other), NVML_ERROR_NOT_FOUND);
    assert_int_equal(nvmlDeviceGetPciInfo_v3(device, &pci), NVML_SUCCESS);
    assert_int_equal(nvmlDeviceGetHandleByPciBusId_v2(pci.busId, &other), NVML_SUCCESS);
    assert_ptr_equal(other, device);
    assert_int_equal(nvmlDeviceGetHandleByPciBusId(pci.busIdLegacy, &other), NVML_SUCCESS);
    assert_int_equal(nvmlDeviceGetHandleByPciBusId_v2("ff:1f.0", &other), NVML_ERROR_NOT_FOUND);
    assert_int_equal(nvmlDeviceGetHandleByPciBusId_v2("here", &other), NVML_ERROR_INVALID_ARGUMENT);
    assert_int_equal(nvmlDeviceGetName(NULL, uuid, sizeof(uuid)), NVML_ERROR_INVALID_ARGUMENT);
    assert_int_equal(nvmlDeviceGetName((nvmlDevice_t) uuid, uuid, sizeof(uuid)),
                     NVML_ERROR_INVALID_ARGUMENT);
}

/* As libcuda.so.1 has it, of the same process */
TEST(test_agreement)
{
    nvmlDevice_t device = the_device();
    char nvml_text[96], text[96];
    int major, nvml_major, minor, value;
    nvmlPciInfo_t pci;
    nvmlMemory_t memory;
    CUuuid uuid;
    size_t total;
    unsigned n;

    CALL(cuInit(0));
    assert_int_equal(nvmlDeviceGetName(device, nvml_text, sizeof(nvml_text)), NVML_SUCCESS);
    CALL(cuDeviceGetName(text, sizeof(text), 0));
    assert_string_equal(nvml_text, text);
    assert_int_equal(nvmlDeviceGetName(device, text, 4), NVML_ERROR_INSUFFICIENT_SIZE);

    CALL(cuDeviceGetUuid_v2(&uuid, 0));
    n = (unsigned) snprintf(text, sizeof(text), "GPU-");
    for (int i = 0; i < 16; i++)
        n += (unsigned) snprintf(text + n, sizeof(text) - n, "%s%02x",
                                 i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", uuid.bytes[i]);
    assert_int_equal(nvmlDeviceGetUUID(device, nvml_text, sizeof(nvml_text)), NVML_SUCCESS);
    assert_string_equal(nvml_text, text);

    CALL(cuDeviceGetPCIBusId(text, sizeof(text), 0));
    assert_int_equal(nvmlDeviceGetPciInfo_v3(device, &pci), NVML_SUCCESS);
    assert_string_equal(pci.busIdLegacy, text);
    assert_int_equal(strlen(pci.busId), 16);
    assert_string_equal(pci.busId + 4, text);
    assert_int_equal(pci.bus, 1);

    CALL(cuDeviceTotalMem_v2(&total, 0));
    assert_int_equal(nvmlDeviceGetMemoryInfo(device, &memory), NVML_SUCCESS);
    assert_int_equal(memory.total, total);
    CALL(cuDeviceComputeCapability(&major, &value, 0));
    assert_int_equal(nvmlDeviceGetCudaComputeCapability(device, &nvml_major, &minor), NVML_SUCCESS);
    assert_int_equal(nvml_major, major);
    assert_int_equal(minor, value);
    CALL(cuDriverGetVersion(&value));
    assert_int_equal(nvmlSystemGetCudaDriverVersion_v2(&minor), NVML_SUCCESS);
    assert_int_equal(minor, value);
}

TEST(test_identity)
{
    nvmlDevice_t device = the_device();
    nvmlDeviceAttributes_t attributes;
    unsigned n = 7;
    int value;

    assert_int_equal(nvmlDeviceGetIndex(device, &n), NVML_SUCCESS);
    assert_int_equal(n, 0);
    assert_int_equal(nvmlDeviceGetIndex(device, NULL), NVML_ERROR_INVALID_ARGUMENT);
    assert_int_equal(nvmlDeviceGetMinorNumber(device, &n), NVML_SUCCESS);
    assert_int_equal(n, 0);
    assert_int_equal(nvmlDeviceGetMultiGpuBoard(device, &n), NVML_SUCCESS);
    assert_int_equal(n, 0);
    assert_int_equal(nvmlDeviceGetBoardId(device, &n), NVML_SUCCESS);
    assert_int_equal(n, 0x100);
    assert_int_equal(nvmlDeviceGetBrand(device, &value), NVML_SUCCESS);
    assert_int_equal(value, 14);
    assert_int_equal(nvmlDeviceGetArchitecture(device, &n), NVML_SUCCESS);
    assert_int_equal(n, 9);
    assert_int_equal(nvmlDeviceGetArchitecture(device, NULL), NVML_ERROR_INVALID_ARGUMENT);
    assert_int_equal(nvmlDeviceGetBusType(device, &n), NVML_SUCCESS);
    assert_int_equal(n, NVML_BUS_TYPE_PCIE);
    assert_int_equal(nvmlDeviceGetMaxPcieLinkGeneration(device, &n), NVML_SUCCESS);
    assert_int_equal(n, 5);
    assert_int_equal(nvmlDeviceGetMaxPcieLinkWidth(device, &n), NVML_SUCCESS);
    assert_int_equal(n, 16);
    assert_int_equal(nvmlDeviceGetAttributes_v2(device, &attributes), NVML_SUCCESS);
    assert_int_equal(attributes.multiprocessorCount, 4);
    assert_int_equal(attributes.memorySizeMB, 8192);
}

/* A number of the device is CUDA's, in another unit. */
TEST(test_clocks)
{
    nvmlDevice_t device = the_device();
    unsigned n;
    int khz;

    CALL(cuInit(0));
    CALL(cuDeviceGetAttribute(&khz, 13, 0));
    assert_int_equal(nvmlDeviceGetMaxClockInfo(device, NVML_CLOCK_SM, &n), NVML_SUCCESS);
    assert_int_equal(n, khz / 1000);
    CALL(cuDeviceGetAttribute(&khz, 36, 0));
    assert_int_equal(nvmlDeviceGetMaxClockInfo(device, NVML_CLOCK_MEM, &n), NVML_SUCCESS);
    assert_int_equal(n, khz / 1000);
    assert_int_equal(nvmlDeviceGetMaxClockInfo(device, 3, &n), NVML_ERROR_NOT_SUPPORTED);
    assert_int_equal(nvmlDeviceGetMaxClockInfo(device, 4, &n), NVML_ERROR_INVALID_ARGUMENT);
    assert_int_equal(nvmlDeviceGetMaxClockInfo(device, 0, NULL), NVML_ERROR_INVALID_ARGUMENT);
}

/* Older versions of a struct are shorter: nothing is written behind them. */
TEST(test_pci_versions)
{
    nvmlDevice_t device = the_device();
    nvmlPciInfo_t whole, pci;
    nvmlPciInfoExt_t ext = {.version = NVML_STRUCT_VERSION(ext, 1)};

    assert_int_equal(nvmlDeviceGetPciInfo_v3(device, &whole), NVML_SUCCESS);
    memset(&pci, 0x5a, sizeof(pci));
    assert_int_equal(nvmlDeviceGetPciInfo(device, &pci), NVML_SUCCESS);
    assert_memory_equal(&pci, &whole, offsetof(nvmlPciInfo_t, pciSubSystemId));
    assert_int_equal(pci.pciSubSystemId, 0x5a5a5a5a);
    assert_int_equal(nvmlDeviceGetPciInfo_v2(device, &pci), NVML_SUCCESS);
    assert_int_equal(pci.pciSubSystemId, whole.pciSubSystemId);
    assert_int_equal(pci.busId[0], 0x5a);

    assert_int_equal(nvmlDeviceGetPciInfoExt(device, &ext), NVML_SUCCESS);
    assert_string_equal(ext.busId, whole.busId);
    assert_int_equal(ext.bus, whole.bus);
    ext.version++;
    assert_int_equal(nvmlDeviceGetPciInfoExt(device, &ext), NVML_ERROR_ARGUMENT_VERSION_MISMATCH);
}

TEST(test_modes)
{
    nvmlDevice_t device = the_device();
    nvmlFieldValue_t fields[] = {{.fieldId = NVML_FI_DEV_ECC_CURRENT}, {.fieldId = 9999}};
    int value = 7, pending = 7, ecc;
    unsigned n = 7;

    assert_int_equal(nvmlDeviceGetComputeMode(device, &value), NVML_SUCCESS);
    assert_int_equal(value, NVML_COMPUTEMODE_DEFAULT);
    assert_int_equal(nvmlDeviceGetPersistenceMode(device, &value), NVML_SUCCESS);
    assert_int_equal(value, NVML_FEATURE_ENABLED);
    assert_int_equal(nvmlDeviceGetDisplayMode(device, &value), NVML_SUCCESS);
    assert_int_equal(value, NVML_FEATURE_DISABLED);
    value = 7;
    assert_int_equal(nvmlDeviceGetDisplayActive(device, &value), NVML_SUCCESS);
    assert_int_equal(value, NVML_FEATURE_DISABLED);
    assert_int_equal(nvmlDeviceGetVirtualizationMode(device, &value), NVML_SUCCESS);
    assert_int_equal(value, NVML_GPU_VIRTUALIZATION_MODE_NONE);
    assert_int_equal(nvmlDeviceIsMigDeviceHandle(device, &n), NVML_SUCCESS);
    assert_int_equal(n, 0);
    assert_int_equal(nvmlDeviceGetMaxMigDeviceCount(device, &n), NVML_SUCCESS);
    assert_int_equal(n, 0);

    CALL(cuInit(0));
    CALL(cuDeviceGetAttribute(&ecc, 32, 0));
    assert_int_equal(nvmlDeviceGetEccMode(device, &value, &pending), NVML_SUCCESS);
    assert_int_equal(value, ecc);
    assert_int_equal(pending, ecc);
    assert_int_equal(nvmlDeviceGetFieldValues(device, 2, fields), NVML_SUCCESS);
    assert_int_equal(fields[0].nvmlReturn, NVML_SUCCESS);
    assert_int_equal(fields[0].value.uiVal, ecc);
    assert_true(fields[0].timestamp > 0);
    assert_int_equal(fields[1].nvmlReturn, NVML_ERROR_NOT_SUPPORTED);
    assert_int_equal(nvmlDeviceGetFieldValues(device, 0, fields), NVML_ERROR_INVALID_ARGUMENT);
}

TEST(test_topology)
{
    nvmlDevice_t device = the_device(), found = NULL;
    unsigned long set[16];
    cpu_set_t before, after;
    int value = 7;
    unsigned n = 1;

    assert_int_equal(nvmlDeviceGetCpuAffinity(device, 16, set), NVML_SUCCESS);
    assert_true(set[0] & 1);
    assert_int_equal(__builtin_popcountl(set[0]), sysconf(_SC_NPROCESSORS_ONLN));
    assert_int_equal(nvmlDeviceGetCpuAffinity(device, 0, set), NVML_ERROR_INVALID_ARGUMENT);
    assert_int_equal(nvmlDeviceGetCpuAffinityWithinScope(device, 1, set, 2),
                     NVML_ERROR_INVALID_ARGUMENT);
    assert_int_equal(nvmlDeviceGetMemoryAffinity(device, 16, set, NVML_AFFINITY_SCOPE_NODE),
                     NVML_SUCCESS);
    assert_true(set[0] & 1);
    assert_int_equal(sched_getaffinity(0, sizeof(before), &before), 0);
    assert_int_equal(nvmlDeviceSetCpuAffinity(device), NVML_SUCCESS);
    assert_int_equal(sched_getaffinity(0, sizeof(after), &after), 0);
    assert_true(CPU_COUNT(&after) >= CPU_COUNT(&before));
    assert_int_equal(nvmlDeviceClearCpuAffinity(device), NVML_SUCCESS);

    assert_int_equal(nvmlDeviceGetTopologyCommonAncestor(device, device, &value), NVML_SUCCESS);
    assert_int_equal(value, NVML_TOPOLOGY_INTERNAL);
    assert_int_equal(nvmlDeviceOnSameBoard(device, device, &value), NVML_SUCCESS);
    assert_int_equal(value, 1);
    assert_int_equal(nvmlDeviceGetP2PStatus(device, device, 0, &value), NVML_SUCCESS);
    assert_int_equal(value, NVML_P2P_STATUS_NOT_SUPPORTED);
    assert_int_equal(nvmlDeviceGetP2PStatus(device, device, 5, &value),
                     NVML_ERROR_INVALID_ARGUMENT);
    assert_int_equal(nvmlDeviceOnSameBoard(device, NULL, &value), NVML_ERROR_INVALID_ARGUMENT);
    assert_int_equal(nvmlSystemGetTopologyGpuSet(0, &n, &found), NVML_SUCCESS);
    assert_int_equal(n, 1);
    assert_ptr_equal(found, device);
    assert_int_equal(nvmlDeviceGetTopologyNearestGpus(device, NVML_TOPOLOGY_SYSTEM, &n, &found),
                     NVML_SUCCESS);
    assert_int_equal(n, 0);
}

/* None ever comes: a wait lasts as long as it may. */
TEST(test_events)
{
    nvmlDevice_t device = the_device();
    unsigned long long types = 7;
    nvmlEventSet_t set;
    char data[256];

    assert_int_equal(nvmlDeviceGetSupportedEventTypes(device, &types), NVML_SUCCESS);
    assert_int_equal(types, 0);
    assert_int_equal(nvmlEventSetCreate(NULL), NVML_ERROR_INVALID_ARGUMENT);
    assert_int_equal(nvmlEventSetCreate(&set), NVML_SUCCESS);
    assert_int_equal(nvmlDeviceRegisterEvents(device, 8, set), NVML_ERROR_NOT_SUPPORTED);
    assert_int_equal(nvmlEventSetWait_v2(set, (nvmlEventData_t *) data, 20), NVML_ERROR_TIMEOUT);
    assert_int_equal(nvmlEventSetFree(set), NVML_SUCCESS);
}

/* ---- What is used --------------------------------------------------------------------------- */

static void expect_used(nvmlDevice_t device, uint64_t used)
{
    nvmlMemory_v2_t more = {.version = NVML_STRUCT_VERSION(more, 2)};
    nvmlMemory_t memory;

    assert_int_equal(nvmlDeviceGetMemoryInfo(device, &memory), NVML_SUCCESS);
    assert_int_equal(memory.used, used);
    assert_int_equal(memory.free, memory.total - used);
    assert_int_equal(nvmlDeviceGetMemoryInfo_v2(device, &more), NVML_SUCCESS);
    assert_int_equal(more.used, used);
    assert_int_equal(more.free, more.total - used);
    assert_int_equal(more.reserved, 0);
}

/* cuMemGetInfo() says the same. */
TEST(test_memory)
{
    nvmlDevice_t device = the_device();
    nvmlMemory_v2_t wrong = {0};
    size_t free_bytes, total;
    CUdeviceptr address;

    libcuda_primary();
    expect_used(device, 0);
    CALL(cuMemAlloc_v2(&address, (size_t) (64 * MIB)));
    expect_used(device, 64 * MIB);
    CALL(cuMemGetInfo_v2(&free_bytes, &total));
    assert_int_equal(total - free_bytes, 64 * MIB);
    CALL(cuMemFree_v2(address));
    expect_used(device, 0);
    assert_int_equal(nvmlDeviceGetMemoryInfo_v2(device, &wrong),
                     NVML_ERROR_ARGUMENT_VERSION_MISMATCH);
    assert_int_equal(nvmlDeviceGetMemoryInfo(device, NULL), NVML_ERROR_INVALID_ARGUMENT);
}

TEST(test_processes)
{
    nvmlDevice_t device = the_device();
    nvmlProcessInfo_v1_t old = {0};
    nvmlProcessInfo_v2_t info = {0};
    CUdeviceptr address;
    unsigned n = 0;

    libcuda_primary();
    CALL(cuMemAlloc_v2(&address, (size_t) MIB));
    assert_int_equal(nvmlDeviceGetComputeRunningProcesses_v3(device, &n, NULL),
                     NVML_ERROR_INSUFFICIENT_SIZE);
    assert_int_equal(n, 1);
    assert_int_equal(nvmlDeviceGetComputeRunningProcesses_v3(device, &n, &info), NVML_SUCCESS);
    assert_int_equal(n, 1);
    assert_int_equal(info.pid, getpid());
    assert_int_equal(info.usedGpuMemory, MIB);
    assert_int_equal(info.gpuInstanceId, NVML_NO_INSTANCE);
    assert_int_equal(nvmlDeviceGetComputeRunningProcesses(device, &n, &old), NVML_SUCCESS);
    assert_int_equal(old.pid, getpid());
    assert_int_equal(old.usedGpuMemory, MIB);
    assert_int_equal(nvmlDeviceGetComputeRunningProcesses_v2(device, NULL, &info),
                     NVML_ERROR_INVALID_ARGUMENT);

    assert_int_equal(nvmlDeviceGetGraphicsRunningProcesses_v3(device, &n, &info), NVML_SUCCESS);
    assert_int_equal(n, 0);
    n = 1;
    assert_int_equal(nvmlDeviceGetMPSComputeRunningProcesses_v3(device, &n, &info), NVML_SUCCESS);
    assert_int_equal(n, 0);
    CALL(cuMemFree_v2(address));
}

/* The device has work for as long as it waits for a word of the program's. */
TEST(test_utilization)
{
    nvmlDevice_t device = the_device();
    nvmlProcessUtilizationSample_t sample = {0};
    nvmlUtilization_t use;
    CUdeviceptr address;
    CUstream stream;
    uint32_t *word;
    unsigned n = 1;

    libcuda_primary();
    CALL(cuStreamCreate(&stream, 0));
    CALL(cuMemHostAlloc((void **) &word, sizeof(*word), 0));
    *word = 0;
    CALL(cuMemHostGetDevicePointer_v2(&address, word, 0));
    assert_int_equal(nvmlDeviceGetUtilizationRates(device, &use), NVML_SUCCESS);

    CALL(cuStreamWaitValue32_v2(stream, address, 1, 0));
    usleep(400000);
    assert_int_equal(nvmlDeviceGetUtilizationRates(device, &use), NVML_SUCCESS);
    assert_in_range(use.gpu, 10, 100);
    assert_int_equal(use.memory, 0);
    assert_int_equal(nvmlDeviceGetProcessUtilization(device, &sample, &n, 0), NVML_SUCCESS);
    assert_int_equal(n, 1);
    assert_int_equal(sample.pid, getpid());
    assert_in_range(sample.smUtil, 10, 100);
    assert_int_equal(nvmlDeviceGetProcessUtilization(device, NULL, &n, 0),
                     NVML_ERROR_INSUFFICIENT_SIZE);
    n = 1;
    assert_int_equal(nvmlDeviceGetProcessUtilization(device, &sample, &n, UINT64_MAX),
                     NVML_ERROR_NOT_FOUND);
    __atomic_store_n(word, 1, __ATOMIC_SEQ_CST);
    CALL(cuStreamSynchronize(stream));
    CALL(cuStreamDestroy_v2(stream));
    CALL(cuMemFreeHost(word));

    for (int i = 0; i < 2; i++) { /* the end of the work may be in the first */
        usleep(150000);
        assert_int_equal(nvmlDeviceGetUtilizationRates(device, &use), NVML_SUCCESS);
    }
    assert_int_equal(use.gpu, 0);
    assert_int_equal(nvmlDeviceGetUtilizationRates(NULL, &use), NVML_ERROR_INVALID_ARGUMENT);
}

/* A child goes on by itself, and takes nothing from its parent. */
TEST(test_child)
{
    nvmlDevice_t device = the_device();
    nvmlMemory_t memory;
    int status;
    pid_t pid;

    expect_used(device, 0);
    pid = fork();
    assert_return_code(pid, errno);
    if (pid == 0)
        _exit(nvmlDeviceGetMemoryInfo(device, &memory));
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), NVML_SUCCESS);
    expect_used(device, 0);
}

static void *look(void *data)
{
    nvmlDevice_t device = data;
    nvmlProcessInfo_v2_t infos[4];
    nvmlMemory_t memory;
    uintptr_t n_wrong = 0;

    for (int i = 0; i < 50; i++) {
        unsigned n = 4;

        n_wrong += nvmlDeviceGetMemoryInfo(device, &memory) != NVML_SUCCESS;
        n_wrong += nvmlDeviceGetComputeRunningProcesses_v3(device, &n, infos) != NVML_SUCCESS;
        n_wrong += n != 1 || infos[0].pid != (unsigned) getpid();
    }
    return (void *) n_wrong;
}

TEST(test_threads)
{
    pthread_t threads[4];
    void *n_wrong;

    libcuda_primary();
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, look, the_device()), 0);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(pthread_join(threads[i], &n_wrong), 0);
        assert_null(n_wrong);
    }
}

/* ---- The table of nvidia-smi ---------------------------------------------------------------- */

static const unsigned char table_id[16] = {0xc4, 0xfe, 0x3e, 0x6c, 0xc9, 0x8f, 0x6c, 0x4e,
                                           0xa3, 0x27, 0xee, 0x69, 0x6e, 0x12, 0xf7, 0xc4};

typedef struct row {
    nvmlProcessInfo_v2_t info;
    unsigned long long protected_memory;
    char name[4096];
} row;

/* Other tables are not there, nor are other functions. */
TEST(test_table)
{
    int (*get_handle)(unsigned index, nvmlDevice_t *ret, unsigned flags);
    int (*list)(nvmlDevice_t device, unsigned *n, row *rows);
    int (*refuse)(void);
    const void *const *table = NULL;
    nvmlDevice_t device;
    row rows[2] = {0};
    unsigned n = 2;
    int r = nvmlInternalGetExportTable((const void **) &table, table_id);

    if (r == NVML_ERROR_NOT_SUPPORTED)
        skip();
    assert_int_equal(r, NVML_SUCCESS);
    assert_true((uintptr_t) table[0] > 215 * sizeof(void *));
    *(const void **) &get_handle = table[81];
    assert_int_equal(get_handle(0, &device, 0x22), NVML_SUCCESS);
    assert_ptr_equal(device, the_device());
    *(const void **) &refuse = table[1];
    assert_int_equal(refuse(), NVML_ERROR_NOT_SUPPORTED);
    assert_int_equal(nvmlInternalGetExportTable((const void **) &table, "another id here"),
                     NVML_ERROR_NOT_FOUND);

    libcuda_primary();
    *(const void **) &list = table[213];
    assert_int_equal(list(device, &n, rows), NVML_SUCCESS);
    assert_int_equal(n, 1);
    assert_int_equal(rows[0].info.pid, getpid());
    assert_non_null(strstr(rows[0].name, "test-nvml"));
    assert_int_equal(rows[1].info.pid, 0);
    n = 0;
    assert_int_equal(list(device, &n, rows), NVML_ERROR_INSUFFICIENT_SIZE);
    assert_int_equal(n, 1);
    *(const void **) &list = table[215];
    assert_int_equal(list(device, &n, rows), NVML_SUCCESS);
    assert_int_equal(n, 0);
}

/* ---- A monitor ------------------------------------------------------------------------------ */

static int watch(void)
{
    nvmlDevice_t device;
    nvmlMemory_t memory;
    nvmlUtilization_t use;
    nvmlProcessInfo_v2_t infos[4];

    if (nvmlInit_v2() != NVML_SUCCESS || nvmlDeviceGetHandleByIndex_v2(0, &device) != NVML_SUCCESS)
        return EXIT_FAILURE;
    for (int i = 0; i < 30; i++) {
        unsigned n = 4;

        if (nvmlDeviceGetMemoryInfo(device, &memory) != NVML_SUCCESS ||
            nvmlDeviceGetUtilizationRates(device, &use) != NVML_SUCCESS ||
            nvmlDeviceGetComputeRunningProcesses_v3(device, &n, infos) != NVML_SUCCESS)
            return EXIT_FAILURE;
        usleep(10000);
    }
    puts("looked 30 times");
    return nvmlShutdown() == NVML_SUCCESS ? EXIT_SUCCESS : EXIT_FAILURE;
}

int main(int argc, char **argv)
{
#define CASE(function) cmocka_unit_test_setup_teardown(function, start, stop)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_init),
        cmocka_unit_test(test_no_way),
        CASE(test_system),
        CASE(test_handles),
        CASE(test_agreement),
        CASE(test_identity),
        CASE(test_clocks),
        CASE(test_pci_versions),
        CASE(test_modes),
        CASE(test_topology),
        CASE(test_events),
        CASE(test_memory),
        CASE(test_processes),
        CASE(test_utilization),
        CASE(test_child),
        CASE(test_threads),
        CASE(test_table),
    };

    if (argc == 2 && strcmp(argv[1], "watch") == 0)
        return watch();
    return libcuda_test_main(argc, argv, tests);
}
