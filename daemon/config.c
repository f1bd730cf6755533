/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fnmatch.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "busy-poll.h"
#include "cleanup.h"
#include "clock.h"
#include "config.h"
#include "executor-protocol.h"
#include "log.h"
#include "names.h"
#include "parse.h"
#include "settings-file.h"
#include "vgpu-ring.h"
#include "vm-settings.h"

/* The most bytes of a file. */
#define FILE_SIZE_MAX (1024u * 1024)

typedef struct Reader {
    Config *config;
    const char *path;
} Reader;

/* One key of a section: where it goes and how it is read. */
typedef struct Key {
    const char *section; /* NULL: [Pool X] */
    const char *name;
    bool (*parse)(const char *value, const struct Key *key, void *target);
    size_t offset; /* in Config, or in PoolConfig */
    unsigned min, max;
} Key;

const char *pool_backend_to_string(PoolBackend backend)
{
    static const char *const names[] = {
        [POOL_BACKEND_AUTO] = "auto",
        [POOL_BACKEND_CPU] = "cpu",
        [POOL_BACKEND_CUDA] = "cuda",
    };

    return names[backend];
}

const char *sched_policy_to_string(SchedPolicy policy)
{
    return policy == SCHED_FAIR ? "fair" : "fifo";
}

static bool parse_unsigned(const char *value, const Key *key, void *target)
{
    return parse_u32(value, key->min, key->max, target) == 0;
}

static bool parse_seconds(const char *value, const Key *key, void *target)
{
    unsigned seconds;

    if (strcmp(value, "infinity") == 0) {
        *(uint64_t *) target = UINT64_MAX;
        return true;
    }
    if (!parse_unsigned(value, key, &seconds))
        return false;

    *(uint64_t *) target = seconds * USEC_PER_SEC;
    return true;
}

/* Bytes, or with a suffix as systemd's settings have it. */
static bool parse_size(const char *value, const Key *key, void *target)
{
    static const char suffixes[] = "KMGT";
    size_t size = strlen(value);
    const char *suffix = size > 0 ? strchr(suffixes, value[size - 1]) : NULL;
    unsigned shift = suffix ? 10 * (unsigned) (suffix - suffixes + 1) : 0;
    char digits[24];
    uint64_t number;

    (void) key;

    if (size >= sizeof(digits))
        return false;
    memcpy(digits, value, size + 1);
    if (suffix)
        digits[size - 1] = '\0';
    if (parse_u64(digits, 0, VGPU_WINDOW_SIZE_MAX >> shift, &number) < 0 ||
        number << shift < VGPU_WINDOW_SIZE_MIN)
        return false;

    *(uint64_t *) target = number << shift;
    return true;
}

/* In millions. */
static bool parse_cost(const char *value, const Key *key, void *target)
{
    unsigned millions = 0;

    if (strcmp(value, "infinity") == 0) {
        *(uint64_t *) target = UINT64_MAX;
        return true;
    }
    if (strcmp(value, "auto") != 0 && !parse_unsigned(value, key, &millions))
        return false;

    *(uint64_t *) target = millions * UINT64_C(1000000);
    return true;
}

static bool parse_backend(const char *value, const Key *key, void *target)
{
    (void) key;

    for (PoolBackend b = POOL_BACKEND_AUTO; b <= POOL_BACKEND_CUDA; b++)
        if (strcmp(value, pool_backend_to_string(b)) == 0) {
            *(PoolBackend *) target = b;
            return true;
        }

    return false;
}

static bool devices_have(const PoolDevices *devices, const char *name)
{
    for (unsigned i = 0; i < devices->n; i++)
        if (strcmp(devices->name[i], name) == 0)
            return true;
    return false;
}

/* One or more, with blanks between them. */
static bool parse_devices(const char *value, const Key *key, void *target)
{
    static const char blanks[] = " \t";
    PoolDevices devices = {0};

    (void) key;

    for (const char *p = value + strspn(value, blanks); *p; p += strspn(p, blanks)) {
        char name[DEVICE_NAME_SIZE] = "";
        size_t size = strcspn(p, blanks);

        if (devices.n == POOL_DEVICES_MAX || !device_name_parse(p, size, name) ||
            devices_have(&devices, name))
            return false;
        memcpy(devices.name[devices.n++], name, sizeof(name));
        p += size;
    }
    if (devices.n == 0)
        return false;

    *(PoolDevices *) target = devices;
    return true;
}

static bool parse_policy(const char *value, const Key *key, void *target)
{
    (void) key;

    for (SchedPolicy p = SCHED_FIFO; p <= SCHED_FAIR; p++)
        if (strcmp(value, sched_policy_to_string(p)) == 0) {
            *(SchedPolicy *) target = p;
            return true;
        }

    return false;
}

static bool parse_unregistered(const char *value, const Key *key, void *target)
{
    (void) key;

    if (strcmp(value, "allow") != 0 && strcmp(value, "refuse") != 0)
        return false;

    *(UnregisteredPolicy *) target = value[0] == 'a' ? UNREGISTERED_ALLOW : UNREGISTERED_REFUSE;
    return true;
}

static bool parse_sharing(const char *value, const Key *key, void *target)
{
    (void) key;

    if (strcmp(value, "free") != 0 && strcmp(value, "turns") != 0)
        return false;

    *(PoolSharing *) target = value[0] == 'f' ? POOL_SHARING_FREE : POOL_SHARING_TURNS;
    return true;
}

/* An absolute path, or nothing. */
static bool parse_socket(const char *value, const Key *key, void *target)
{
    size_t size = strlen(value) + 1;

    (void) key;

    if (size > CONFIG_SOCKET_SIZE || (value[0] != '\0' && value[0] != '/'))
        return false;

    memcpy(target, value, size);
    return true;
}

static const Key keys[] = {
    {NULL, "Backend", parse_backend, offsetof(PoolConfig, backend), 0, 0},
    {NULL, "Device", parse_devices, offsetof(PoolConfig, devices), 0, 0},
    {NULL, "InFlight", parse_unsigned, offsetof(PoolConfig, in_flight), 1, EXECUTOR_SLOTS_MAX},
    {NULL, "BusyPollUSec", parse_unsigned, offsetof(PoolConfig, busy_poll_usec), 0,
     BUSY_POLL_MAX_USEC},
    {NULL, "QueueLimit", parse_unsigned, offsetof(PoolConfig, queue_limit), 1, 1000000},
    {NULL, "Policy", parse_policy, offsetof(PoolConfig, policy), 0, 0},
    {NULL, "StarvationLimitSec", parse_seconds, offsetof(PoolConfig, starvation_limit_usec), 1,
     UINT_MAX},
    {NULL, "RequestCostMax", parse_cost, offsetof(PoolConfig, request_cost_max), 1, UINT_MAX},
    {NULL, "KernelTimeoutSec", parse_seconds, offsetof(PoolConfig, kernel_timeout_usec), 1,
     UINT_MAX},
    {NULL, "WarmSpares", parse_unsigned, offsetof(PoolConfig, warm_spares), 0, 16},
    {NULL, "Sharing", parse_sharing, offsetof(PoolConfig, sharing), 0, 0},
    {NULL, "TurnUSec", parse_unsigned, offsetof(PoolConfig, turn_usec), 100, TURN_MAX_USEC},
    {NULL, "AheadUSec", parse_unsigned, offsetof(PoolConfig, ahead_usec), 100, TURN_MAX_USEC},
    {NULL, "PatienceUSec", parse_unsigned, offsetof(PoolConfig, patience_usec), 0, TURN_MAX_USEC},
    {"Unregistered", "Policy", parse_unregistered, offsetof(Config, unregistered), 0, 0},
    {"Limits", "MaxConnections", parse_unsigned, offsetof(Config, max_connections), 1, 65536},
    {"Limits", "ConnectionsPerProcess", parse_unsigned,
     offsetof(Config, max_connections_per_process), 1, 65536},
    {"Limits", "ConnectionsPerUser", parse_unsigned, offsetof(Config, max_connections_per_user), 1,
     65536},
    {"Limits", "WindowSizeMax", parse_size, offsetof(Config, window_size_max), 0, 0},
    {"Limits", "VMQueueLimit", parse_unsigned, offsetof(Config, vm_queue_limit), 1,
     VM_QUEUE_LIMIT_MAX},
    {"Limits", "FaultLimit", parse_unsigned, offsetof(Config, fault_limit.max), 0, FAULT_LIMIT_MAX},
    {"Limits", "FaultIntervalSec", parse_seconds, offsetof(Config, fault_limit.interval_usec), 1,
     UINT_MAX},
    {"Limits", "QuarantineSec", parse_seconds, offsetof(Config, fault_limit.wait_usec), 1,
     UINT_MAX},
    {"Timeouts", "HelloTimeoutSec", parse_seconds, offsetof(Config, hello_timeout_usec), 1,
     UINT_MAX},
    {"Timeouts", "QueueTimeoutSec", parse_seconds, offsetof(Config, queue_timeout_usec), 1,
     UINT_MAX},
    {"Timeouts", "RequestTimeoutSec", parse_seconds, offsetof(Config, request_timeout_usec), 1,
     UINT_MAX},
    {"Timeouts", "DrainTimeoutSec", parse_seconds, offsetof(Config, drain_timeout_usec), 0,
     UINT_MAX},
    {"Sessions", "MaxSessions", parse_unsigned, offsetof(Config, sessions_max), 1, 1024},
    {"Sessions", "ExecutorSocket", parse_socket, offsetof(Config, executor_socket), 0, 0},
};

static_assert(CONFIG_WARM_SPARES_MAX == 16 && CONFIG_SESSIONS_MAX == 1024, "as in the table");

/* "Pool X" names pool X; the answer is its place, or NULL. */
static PoolConfig *find_pool(Config *config, const char *section)
{
    if (strncmp(section, "Pool ", 5) != 0 || strlen(section) != 6 ||
        !vgpu_pool_is_valid((unsigned char) section[5]))
        return NULL;

    return &config->pools[section[5] - VGPU_POOL_FIRST];
}

/* Is there a section of this name, for pools or else? */
static bool is_section(const char *section, bool is_pool)
{
    for (size_t i = 0; i < ELEMENTSOF(keys) && !is_pool; i++)
        if (keys[i].section && strcmp(keys[i].section, section) == 0)
            return true;
    return is_pool;
}

/* The key of this name; NULL: the section has none. */
static const Key *find_key(const char *section, bool is_pool, const char *name)
{
    for (size_t i = 0; i < ELEMENTSOF(keys); i++)
        if ((is_pool ? !keys[i].section
                     : keys[i].section && strcmp(keys[i].section, section) == 0) &&
            strcmp(keys[i].name, name) == 0)
            return &keys[i];
    return NULL;
}

/* An empty section makes a pool, too. */
static void config_on_section(void *userdata, unsigned line, const char *section)
{
    const Reader *reader = userdata;
    PoolConfig *pool = find_pool(reader->config, section);

    if (pool)
        pool->configured = true;
    else if (!is_section(section, false))
        log_warning("%s:%u: unknown section [%s], ignoring it", reader->path, line, section);
}

static void config_on_setting(void *userdata, unsigned line, const char *section, const char *name,
                              const char *value)
{
    const Reader *reader = userdata;
    PoolConfig *pool = section ? find_pool(reader->config, section) : NULL;
    void *target = pool ? (void *) pool : (void *) reader->config;
    const Key *key;

    if (!section) {
        log_warning("%s:%u: %s=%s is in no section, ignoring it", reader->path, line, name, value);
        return;
    }
    if (!is_section(section, pool)) {
        log_warning("%s:%u: unknown section [%s], ignoring %s=%s", reader->path, line, section,
                    name, value);
        return;
    }

    key = find_key(section, pool, name);
    if (!key)
        log_warning("%s:%u: unknown setting %s=%s in [%s], ignoring it", reader->path, line, name,
                    value, section);
    else if (!key->parse(value, key, (char *) target + key->offset))
        log_warning("%s:%u: %s=%s is not a value this setting takes, ignoring it", reader->path,
                    line, name, value);
}

static void config_on_other(void *userdata, unsigned line, const char *reason)
{
    const Reader *reader = userdata;

    log_warning("%s:%u: %s, ignoring the line", reader->path, line, reason);
}

/* Logs what cannot be read, and leaves the same sentence for who asked. Returns @r. */
static int cannot_read(int r, const char *path, char **ret_error)
{
    const char *reason = settings_file_strerror(r);

    log_error("cannot read %s: %s", path, reason);
    if (ret_error && asprintf(ret_error, "Cannot read %s: %s.", path, reason) < 0)
        *ret_error = NULL;
    return r;
}

static int load_file(Config *config, const char *path, char **ret_error)
{
    Reader reader = {.config = config, .path = path};
    const SettingsFileHandler handler = {
        .section = config_on_section,
        .setting = config_on_setting,
        .other = config_on_other,
        .userdata = &reader,
    };
    int r = settings_file_read(path, 0, FILE_SIZE_MAX, &handler);

    return r < 0 ? cannot_read(r, path, ret_error) : 0;
}

static int is_drop_in(const struct dirent *entry)
{
    return fnmatch("?*.conf", entry->d_name, FNM_PERIOD) == 0;
}

static int load_drop_ins(Config *config, const char *path, char **ret_error)
{
    struct dirent **entries;
    char directory[PATH_MAX];
    int n, r = 0;

    if (snprintf(directory, sizeof(directory), "%s.d", path) >= (int) sizeof(directory))
        return cannot_read(-ENAMETOOLONG, path, ret_error);

    n = scandir(directory, &entries, is_drop_in, alphasort);
    if (n < 0)
        return errno == ENOENT ? 0 : cannot_read(-errno, directory, ret_error);

    for (int i = 0; i < n; i++) {
        char file[PATH_MAX + NAME_MAX + 2];

        snprintf(file, sizeof(file), "%s/%s", directory, entries[i]->d_name);
        if (r == 0)
            r = load_file(config, file, ret_error);
        free(entries[i]);
    }
    free(entries);

    return r;
}

static bool any_pool(const Config *config)
{
    for (unsigned i = 0; i < CONFIG_N_POOLS; i++)
        if (config->pools[i].configured)
            return true;
    return false;
}

int config_load(const char *path, Config *ret, char **ret_error)
{
    Config config = {
        .max_connections = 4096,
        .max_connections_per_process = 64,
        .max_connections_per_user = 1024,
        .window_size_max = UINT64_C(256) << 20,
        .hello_timeout_usec = 5 * USEC_PER_SEC,
        .vm_queue_limit = VM_QUEUE_LIMIT_DEFAULT,
        .fault_limit = {.max = 5,
                        .interval_usec = 600 * USEC_PER_SEC,
                        .wait_usec = 60 * USEC_PER_SEC},
        .queue_timeout_usec = UINT64_MAX,
        .request_timeout_usec = 30 * USEC_PER_SEC,
        .drain_timeout_usec = 5 * USEC_PER_SEC,
        .sessions_max = 64,
        .executor_socket = VGPU_EXECUTOR_SOCKET,
    };
    int r;

    for (unsigned i = 0; i < CONFIG_N_POOLS; i++)
        config.pools[i] = (PoolConfig){.devices = {.n = 1, .name = {"0"}},
                                       .in_flight = 16,
                                       .busy_poll_usec = BUSY_POLL_DEFAULT_USEC,
                                       .queue_limit = 16384,
                                       .starvation_limit_usec = UINT64_MAX,
                                       .kernel_timeout_usec = UINT64_MAX,
                                       .turn_usec = TURN_DEFAULT_USEC,
                                       .ahead_usec = AHEAD_DEFAULT_USEC,
                                       .patience_usec = PATIENCE_DEFAULT_USEC};

    r = load_file(&config, path, ret_error);
    if (r < 0)
        return r;
    r = load_drop_ins(&config, path, ret_error);
    if (r < 0)
        return r;

    if (!any_pool(&config))
        config.pools[0].configured = true;

    *ret = config;
    return 0;
}
