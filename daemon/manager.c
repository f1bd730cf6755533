/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "manager.h"
#include "pool-bus.h"
#include "vm-state.h"

/* Descriptors that are not connections: executors, bus, loop, log. */
#define RESERVED_FDS 128

#define ACCEPT_PAUSE_USEC UINT64_C(1000000)

Pool *manager_pool(Manager *m, uint32_t name)
{
    return vgpu_pool_is_valid(name) ? m->pools[name - VGPU_POOL_FIRST] : NULL;
}

uint64_t manager_counter(const Manager *m, size_t offset)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < CONFIG_N_POOLS; i++)
        if (m->pools[i])
            sum += *(const uint64_t *) ((const char *) &m->pools[i]->queue.statistics + offset);
    return sum;
}

void manager_dispatch(Manager *m)
{
    for (unsigned i = 0; i < CONFIG_N_POOLS; i++)
        if (m->pools[i])
            pool_dispatch(m->pools[i]);
}

/* ---- The end ----------------------------------------------------------------------- */

/* Ends the loop when nothing runs and nothing is queued but what somebody has paused. */
static int manager_exit_if_drained(Manager *m)
{
    bool idle = true;

    for (unsigned i = 0; i < CONFIG_N_POOLS; i++) {
        const Pool *p = m->pools[i];

        if (p && !pool_is_at_rest(p))
            return 0;
        idle = idle && (!p || pool_is_idle(p));
    }

    if (!idle)
        log_notice("paused requests are left; their devices will send them again");
    return sd_event_exit(m->event, 0);
}

/* After every event while the service ends. */
static int manager_on_drain(sd_event_source *source, void *userdata)
{
    (void) source;

    return manager_exit_if_drained(userdata);
}

static int on_drain_timeout(sd_event_source *source, uint64_t usec, void *userdata)
{
    Manager *m = userdata;

    (void) source;
    (void) usec;

    log_notice("requests are left after the drain timeout; their devices will send them again");
    return sd_event_exit(m->event, 0);
}

/* What was accepted is finished, unless it is paused. What still stands in the sockets stays there:
 * the devices see the hang-up and send it to the next mediator. */
static int on_terminate(sd_event_source *source, const struct signalfd_siginfo *si, void *userdata)
{
    Manager *m = userdata;

    (void) source;
    (void) si;

    if (m->draining)
        return sd_event_exit(m->event, 0);

    m->draining = true;
    (void) sd_notify(false, "STOPPING=1\nSTATUS=Finishing what is queued.");
    m->listen = sd_event_source_disable_unref(m->listen);
    connection_stop_reading_all(m);
    (void) sd_event_add_time_relative(m->event, &m->drain_timeout, CLOCK_MONOTONIC,
                                      m->config.drain_timeout_usec, 0, on_drain_timeout, m);
    (void) sd_event_add_post(m->event, &m->drain, manager_on_drain, m);
    return manager_exit_if_drained(m);
}

/* ---- The socket ----------------------------------------------------------------------- */

static int on_accept_pause_over(sd_event_source *source, uint64_t usec, void *userdata)
{
    Manager *m = userdata;

    (void) source;
    (void) usec;

    return m->listen ? sd_event_source_set_enabled(m->listen, SD_EVENT_ON) : 0;
}

/* A host out of descriptors or memory: the queue of connections stays readable,
 * so looking away for a while is what keeps the loop from spinning. */
static int pause_accept(Manager *m, int error)
{
    log_errno(-error, "cannot accept connections for now");
    (void) sd_event_source_set_enabled(m->listen, SD_EVENT_OFF);
    (void) sd_event_source_set_time_relative(m->accept_pause, ACCEPT_PAUSE_USEC);
    return sd_event_source_set_enabled(m->accept_pause, SD_EVENT_ONESHOT);
}

static int on_accept(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
    Manager *m = userdata;
    int peer, r;

    (void) source;
    (void) revents;

    peer = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (peer < 0)
        return errno == EAGAIN || errno == EINTR || errno == ECONNABORTED ? 0
                                                                          : pause_accept(m, errno);

    if (m->n_connections >= m->max_connections) {
        if (!m->accept_warned)
            log_warning("turning connections away: there are %u, the limit", m->n_connections);
        m->accept_warned = true;
        close(peer);
        return 0;
    }

    r = connection_new(m, peer);
    if (r < 0)
        log_errno(r, "cannot take a connection");
    return 0;
}

int manager_listen(Manager *m, int fd)
{
    int r = sd_event_add_io(m->event, &m->listen, fd, EPOLLIN, on_accept, m);

    if (r < 0) {
        close(fd);
        return r;
    }
    return sd_event_source_set_io_fd_own(m->listen, true);
}

/* ---- The beginning ---------------------------------------------------------------------- */

/* Every connection costs a descriptor, and with a ring those of the ring, so the
 * limit of connections keeps within that of descriptors. */
#define FDS_PER_CONNECTION (1 + VGPU_RING_N_FDS)

static unsigned connections_within_rlimit(unsigned wanted)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return wanted;

    limit.rlim_cur = limit.rlim_max;
    (void) setrlimit(RLIMIT_NOFILE, &limit);

    if (limit.rlim_cur >= (rlim_t) wanted * FDS_PER_CONNECTION + RESERVED_FDS)
        return wanted;
    log_warning("MaxConnections=%u does not fit into this process's limit of %llu open files",
                wanted, (unsigned long long) limit.rlim_cur);
    return limit.rlim_cur > 2 * RESERVED_FDS
               ? (unsigned) (limit.rlim_cur - RESERVED_FDS) / FDS_PER_CONNECTION
               : RESERVED_FDS / FDS_PER_CONNECTION;
}

/* Also for a configuration that was read again: a pool that is in it no longer
 * stays, since VMs may be in it. */
static int apply_pools(Manager *m)
{
    m->pool_context.queue_timeout_usec = m->config.queue_timeout_usec;
    m->pool_context.request_timeout_usec = m->config.request_timeout_usec;
    for (unsigned i = 0; i < CONFIG_N_POOLS; i++) {
        const PoolConfig *config = &m->config.pools[i];
        char name = (char) (VGPU_POOL_FIRST + i);
        int r;

        if (m->pools[i] && config->configured) {
            pool_reconfigure(m->pools[i], config);
        } else if (m->pools[i]) {
            log_warning("pool %c is not configured any more; it stays until the service restarts",
                        name);
        } else if (config->configured) {
            r = pool_new(&m->pool_context, name, config, &m->pools[i]);
            if (r < 0)
                return r;
        }
    }
    return 0;
}

int manager_reload(Manager *m)
{
    Config config;
    int r;

    r = config_load(m->config_path, &config);
    if (r < 0)
        return r;

    m->config = config;
    m->max_connections = connections_within_rlimit(config.max_connections);
    r = apply_pools(m);
    if (r >= 0)
        log_info("configuration read again");
    return r;
}

static int on_reload(sd_event_source *source, const struct signalfd_siginfo *si, void *userdata)
{
    Manager *m = userdata;

    (void) source;
    (void) si;

    (void) sd_notify(false, "RELOADING=1");
    (void) manager_reload(m);
    (void) sd_notify(false, "READY=1");
    return 0;
}

static int add_sources(Manager *m)
{
    int r = sd_event_default(&m->event);

    if (r >= 0)
        r = sd_event_set_watchdog(m->event, true);
    if (r >= 0)
        r = peers_new(m->event, connection_on_ready, &m->peers);
    if (r >= 0)
        r = sd_event_add_signal(m->event, NULL, SIGTERM, on_terminate, m);
    if (r >= 0)
        r = sd_event_add_signal(m->event, NULL, SIGINT, on_terminate, m);
    if (r >= 0)
        r = sd_event_add_signal(m->event, NULL, SIGHUP, on_reload, m);
    if (r >= 0)
        r = sd_event_add_time_relative(m->event, &m->accept_pause, CLOCK_MONOTONIC, UINT64_MAX / 2,
                                       0, on_accept_pause_over, m);
    if (r >= 0)
        r = sd_event_source_set_enabled(m->accept_pause, SD_EVENT_OFF);
    return r;
}

static void manager_on_round(Pool *p, void *userdata)
{
    (void) p;

    lanes_run(userdata);
}

static bool manager_has_work(const Pool *p, void *userdata)
{
    const Manager *m = userdata;

    (void) p;

    return !TAILQ_EMPTY(&m->lanes_kicked);
}

/* Where the service manager gives several, none is meant for us. */
static const char *directory_of(const char *variable)
{
    const char *value = getenv(variable);

    return value && value[0] == '/' && !strchr(value, ':') ? value : NULL;
}

int manager_new(const Config *config, const char *config_path, const char *executor_path,
                Manager **ret)
{
    Manager *m = calloc(1, sizeof(*m));
    int r;

    if (!m)
        return -ENOMEM;

    m->config = *config;
    m->config_path = config_path;
    m->executor_path = executor_path;
    m->runtime_directory = directory_of("RUNTIME_DIRECTORY");
    m->state_directory = directory_of("STATE_DIRECTORY");
    TAILQ_INIT(&m->accesses);
    TAILQ_INIT(&m->vms);
    TAILQ_INIT(&m->connections);
    m->max_connections = connections_within_rlimit(config->max_connections);

    windows_init(&m->windows);
    r = add_sources(m);
    m->pool_context.event = m->event;
    m->pool_context.executor_path = executor_path;
    m->pool_context.round = manager_on_round;
    m->pool_context.has_work = manager_has_work;
    m->pool_context.changed = pool_bus_properties_changed;
    m->pool_context.userdata = m->pool_context.changed_userdata = m;
    if (r >= 0)
        r = lanes_init(m);
    if (r >= 0)
        r = apply_pools(m);
    if (r >= 0)
        vm_state_load_all(m);
    if (r < 0) {
        manager_free(m);
        return r;
    }

    *ret = m;
    return 0;
}

Manager *manager_free(Manager *m)
{
    if (!m)
        return NULL;

    access_free_all(m);
    connection_free_all(m);
    for (unsigned i = 0; i < CONFIG_N_POOLS; i++)
        m->pools[i] = pool_free(m->pools[i]);
    sd_event_source_disable_unref(m->listen);
    sd_event_source_disable_unref(m->accept_pause);
    sd_event_source_disable_unref(m->drain);
    sd_event_source_disable_unref(m->drain_timeout);
    sd_event_source_disable_unref(m->lanes_source);
    eventfd_signaller_free(m->signaller);
    manager_bus_close(m);
    vm_free_all(m);
    request_cache_clear(&m->request_cache);
    peers_free(m->peers);
    sd_event_unref(m->event);
    free(m);
    return NULL;
}
