/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "manager.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "cleanup.h"
#include "closer.h"
#include "container-of.h"
#include "log.h"
#include "vm-quarantine.h"

/* Descriptors that are not connections: executors, bus, loop, log; what waits to be closed; and
 * what one message may bring. */
#define RESERVED_FDS 512

#define ACCEPT_PAUSE_USEC UINT64_C(1000000)

/* Descriptors of connections that are over are closed much faster than this. */
#define CLOSER_PAUSE_USEC UINT64_C(2000)

struct Manager {
    sd_event *event;
    Config config;
    const char *config_path;

    Pools pools;
    VMRegistry vms;
    RingSources rings;
    Sessions sessions;
    Peers peers;
    VMQuarantine quarantine;

    sd_event_source *listen;
    sd_event_source *accept_pause;

    sd_event_source *drain; /* while draining: looks whether all is done */
    sd_event_source *drain_timeout;
    bool draining;
};

sd_event *manager_event(Manager *m)
{
    return m->event;
}

Pools *manager_pools(Manager *m)
{
    return &m->pools;
}

VMRegistry *manager_vms(Manager *m)
{
    return &m->vms;
}

Peers *manager_peers(Manager *m)
{
    return &m->peers;
}

RingSources *manager_rings(Manager *m)
{
    return &m->rings;
}

Sessions *manager_sessions(Manager *m)
{
    return &m->sessions;
}

bool manager_is_draining(const Manager *m)
{
    return m->draining;
}

/* ---- The end ----------------------------------------------------------------------- */

/* Ends the loop when nothing runs and nothing is queued but what somebody has paused. */
static int manager_exit_if_drained(Manager *m)
{
    if (!pools_are_at_rest(&m->pools))
        return 0;

    if (!pools_are_idle(&m->pools))
        log_notice("paused requests are left; their devices will send them again");
    return sd_event_exit(m->event, 0);
}

/* After every event while the service ends. */
static int manager_on_drain(sd_event_source *source, void *userdata)
{
    (void) source;

    return manager_exit_if_drained(userdata);
}

static int manager_on_drain_timeout(sd_event_source *source, uint64_t usec, void *userdata)
{
    Manager *m = userdata;

    (void) source;
    (void) usec;

    log_notice("requests are left after the drain timeout; their devices will send them again");
    return sd_event_exit(m->event, 0);
}

/* What was accepted is finished, unless it is paused. What still stands in the sockets stays there:
 * the devices see the hang-up and send it to the next mediator. */
static int manager_on_terminate(sd_event_source *source, const struct signalfd_siginfo *si,
                                void *userdata)
{
    Manager *m = userdata;

    (void) source;
    (void) si;

    if (m->draining)
        return sd_event_exit(m->event, 0);

    m->draining = true;
    (void) sd_notify(false, "STOPPING=1\nSTATUS=Finishing what is queued.");
    m->listen = sd_event_source_disable_unref(m->listen);
    connections_stop_reading(&m->peers.connections);
    ring_sources_stop(&m->rings);
    (void) sd_event_add_time_relative(m->event, &m->drain_timeout, CLOCK_MONOTONIC,
                                      m->config.drain_timeout_usec, 0, manager_on_drain_timeout, m);
    (void) sd_event_add_post(m->event, &m->drain, manager_on_drain, m);
    return manager_exit_if_drained(m);
}

/* ---- The socket ----------------------------------------------------------------------- */

static int manager_on_accept_pause_over(sd_event_source *source, uint64_t usec, void *userdata)
{
    Manager *m = userdata;

    (void) source;
    (void) usec;

    return m->listen ? sd_event_source_set_enabled(m->listen, SD_EVENT_ON) : 0;
}

static int manager_pause_accept(Manager *m, uint64_t usec)
{
    (void) sd_event_source_set_enabled(m->listen, SD_EVENT_OFF);
    (void) sd_event_source_set_time_relative(m->accept_pause, usec);
    return sd_event_source_set_enabled(m->accept_pause, SD_EVENT_ONESHOT);
}

/* A host out of descriptors or memory: the queue of connections stays readable,
 * so looking away for a while is what keeps the loop from spinning. */
static int manager_cannot_accept(Manager *m, int error)
{
    log_errno(-error, "cannot accept connections for now");
    return manager_pause_accept(m, ACCEPT_PAUSE_USEC);
}

static int manager_on_accept(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
    Manager *m = userdata;
    int peer, r;

    (void) source;
    (void) revents;

    if (closer_is_late())
        return manager_pause_accept(m, CLOSER_PAUSE_USEC);
    peer = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (peer < 0)
        return errno == EAGAIN || errno == EINTR || errno == ECONNABORTED
                   ? 0
                   : manager_cannot_accept(m, errno);

    r = peers_add(&m->peers, peer);
    if (r < 0)
        log_errno(r, "cannot take a connection");
    return 0;
}

int manager_listen(Manager *m, int fd)
{
    int r = sd_event_add_io(m->event, &m->listen, fd, EPOLLIN, manager_on_accept, m);

    if (r < 0) {
        close(fd);
        return r;
    }
    return sd_event_source_set_io_fd_own(m->listen, true);
}

/* ---- The beginning ---------------------------------------------------------------------- */

/* Every connection costs a descriptor, with a ring those of the ring, with a RING_SETUP that has
 * not come whole yet those of another ring, one to see the end of its process, and its VM, once it
 * has had a session, the account of these. The limit of connections keeps within that of
 * descriptors. */
#define FDS_PER_CONNECTION (1 + 2 * VGPU_RING_N_FDS + 1 + 1)

/* Every session costs its window, its executor's connection and process, and its gate; while it
 * is opened, what its device and its executor share, too. */
#define FDS_PER_SESSION (4 + 3)

/* Returns the limit of descriptors, which is as high as it can be. */
static rlim_t raise_rlimit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return RLIM_INFINITY;

    limit.rlim_cur = limit.rlim_max;
    (void) setrlimit(RLIMIT_NOFILE, &limit);
    return limit.rlim_cur;
}

static unsigned connections_within_rlimit(unsigned wanted, rlim_t limit)
{
    rlim_t needed = (rlim_t) wanted * FDS_PER_CONNECTION + RESERVED_FDS;
    unsigned possible;

    if (limit >= needed)
        return wanted;
    possible = limit > 2 * RESERVED_FDS ? (unsigned) (limit - RESERVED_FDS) / FDS_PER_CONNECTION
                                        : RESERVED_FDS / FDS_PER_CONNECTION;
    log_warning("MaxConnections=%u would need %llu open files, and this process may have %llu: "
                "at most %u devices can be connected",
                wanted, (unsigned long long) needed, (unsigned long long) limit, possible);
    return possible;
}

/* A quarter of the descriptors is for sessions. */
static unsigned sessions_within_rlimit(unsigned wanted, rlim_t limit)
{
    rlim_t needed = (rlim_t) wanted * FDS_PER_SESSION;
    unsigned possible = (unsigned) (limit / 4) / FDS_PER_SESSION;

    if (limit / 4 >= needed)
        return wanted;
    log_warning("MaxSessions=%u would need %llu open files, and this process may have %llu for "
                "sessions: at most %u can be open",
                wanted, (unsigned long long) needed, (unsigned long long) limit / 4, possible);
    return possible;
}

/* Both in one. */
/* And an eighth, at most, for memory that sessions share by descriptors */
#define SHARED_FDS_MAX 4096u

static void manager_set_limits(Manager *m)
{
    const rlim_t limit = raise_rlimit();
    const unsigned shared = (unsigned) (limit / 8 < SHARED_FDS_MAX ? limit / 8 : SHARED_FDS_MAX);

    session_shares_limit_fds(shared);

    m->sessions.n_max = sessions_within_rlimit(m->config.sessions_max, limit);
    m->peers.n_max = connections_within_rlimit(
        m->config.max_connections, limit - shared - (rlim_t) m->sessions.n_max * FDS_PER_SESSION);
}

int manager_reload(Manager *m, char **ret_error)
{
    Config config;
    int r;

    r = config_load(m->config_path, &config, ret_error);
    if (r < 0)
        return r;

    m->config = config;
    manager_set_limits(m);
    peers_reload(&m->peers);
    r = pools_configure(&m->pools, &m->config);
    sessions_reload(&m->sessions);
    if (r >= 0)
        log_info("configuration read again");
    return r;
}

static int manager_on_reload(sd_event_source *source, const struct signalfd_siginfo *si,
                             void *userdata)
{
    Manager *m = userdata;

    (void) source;
    (void) si;

    (void) sd_notify(false, "RELOADING=1");
    (void) manager_reload(m, NULL);
    (void) sd_notify(false, "READY=1");
    return 0;
}

static int manager_add_sources(Manager *m)
{
    int r = sd_event_set_watchdog(m->event, true);

    if (r >= 0)
        r = sd_event_add_signal(m->event, NULL, SIGTERM, manager_on_terminate, m);
    if (r >= 0)
        r = sd_event_add_signal(m->event, NULL, SIGINT, manager_on_terminate, m);
    if (r >= 0)
        r = sd_event_add_signal(m->event, NULL, SIGHUP, manager_on_reload, m);
    if (r >= 0)
        r = sd_event_add_time_relative(m->event, &m->accept_pause, CLOCK_MONOTONIC, UINT64_MAX / 2,
                                       CLOSER_PAUSE_USEC / 2, manager_on_accept_pause_over, m);
    if (r >= 0)
        r = sd_event_source_set_enabled(m->accept_pause, SD_EVENT_OFF);
    return r;
}

/* An executor's answers make room, and rings may have more to do at once. */
static void manager_on_round(Pool *p, void *userdata)
{
    Manager *m = userdata;

    (void) p;

    ring_sources_run(&m->rings);
}

static void manager_on_fault(Pool *p, Client *client, void *userdata)
{
    Manager *m = userdata;

    (void) p;

    vm_quarantine_fault(&m->quarantine, CONTAINER_OF(client, VM, client));
}

static void manager_on_paused(Pool *p, void *userdata)
{
    Manager *m = userdata;

    sessions_update_gates(&m->sessions, p);
}

static bool manager_has_work(const Pool *p, void *userdata)
{
    const Manager *m = userdata;

    (void) p;

    return ring_sources_have_work(&m->rings);
}

static void manager_freep(Manager **m)
{
    manager_free(*m);
}

int manager_new(const Config *config, const char *config_path, const char *executor_path,
                Manager **ret)
{
    CLEANUP(manager_freep) Manager *m = calloc(1, sizeof(*m));
    int r;

    if (!m)
        return -ENOMEM;

    m->config = *config;
    m->config_path = config_path;
    manager_set_limits(m);
    vm_registry_init(&m->vms, &m->pools, &m->config);
    r = sd_event_default(&m->event);
    if (r < 0)
        return r;

    m->pools.context = (PoolContext){
        .event = m->event,
        .executor_path = executor_path,
        .round = manager_on_round,
        .has_work = manager_has_work,
        .fault = manager_on_fault,
        .paused = manager_on_paused,
        .userdata = m,
    };
    r = vm_quarantine_init(&m->quarantine, m->event, &m->vms, &m->config);
    if (r < 0)
        return r;
    r = ring_sources_init(&m->rings, m->event, &m->pools, &m->config);
    if (r >= 0)
        r = sessions_init(&m->sessions, m->event, &m->pools, &m->rings, &m->quarantine, &m->config,
                          executor_path);
    if (r >= 0)
        r = peers_init(&m->peers, m->event, &m->pools, &m->vms, &m->rings, &m->sessions,
                       &m->quarantine, &m->config);
    if (r >= 0)
        r = manager_add_sources(m);
    if (r >= 0)
        r = pools_configure(&m->pools, &m->config);
    if (r < 0)
        return r;
    sessions_reload(&m->sessions);
    vm_registry_load(&m->vms);
    vm_quarantine_resume(&m->quarantine);

    *ret = TAKE_PTR(m);
    return 0;
}

/* The peers end first, so that no request has anybody to answer, and no session. The pools end
 * before the memory that their requests run in. */
Manager *manager_free(Manager *m)
{
    if (!m)
        return NULL;

    sessions_stop(&m->sessions);
    peers_clear(&m->peers);
    sessions_clear(&m->sessions);
    pools_clear(&m->pools);
    ring_sources_clear(&m->rings);
    peers_forget(&m->peers);
    vm_quarantine_clear(&m->quarantine);
    vm_registry_clear(&m->vms);
    sd_event_source_disable_unref(m->listen);
    sd_event_source_disable_unref(m->accept_pause);
    sd_event_source_disable_unref(m->drain);
    sd_event_source_disable_unref(m->drain_timeout);
    sd_event_unref(m->event);
    free(m);
    return NULL;
}
