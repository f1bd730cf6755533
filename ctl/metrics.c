/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* metrics: everything that the mediator counts, for a collector. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "ctl.h"
#include "metrics-text.h"
#include "names.h"
#include "snapshot.h"
#include "text.h"

#define FILE_MODE 0644 /* the collector runs as another user */

/* ---- Fetching ----------------------------------------------------------------------------- */

static int read_distribution(sd_bus_message *m, MetricsDistribution *ret)
{
    uint64_t limit, count;
    int r;

    r = sd_bus_message_enter_container(m, 'a', "(tt)");
    if (r < 0)
        return r;
    while ((r = sd_bus_message_read(m, "(tt)", &limit, &count)) > 0)
        metrics_distribution_add(ret, limit, count);
    return r < 0 ? r : sd_bus_message_exit_container(m);
}

static int fetch_histograms(sd_bus *bus, const char *path, const char *interface,
                            sd_bus_error *error, MetricsDistribution *wait,
                            MetricsDistribution *execution)
{
    CLEANUP_MESSAGE sd_bus_message *reply = NULL;
    int r;

    r = sd_bus_call_method(bus, VGPU_BUS_NAME, path, interface, "GetHistograms", error, &reply,
                           NULL);
    if (r >= 0)
        r = read_distribution(reply, wait);
    return r < 0 ? r : read_distribution(reply, execution);
}

/* A VM may be gone since the snapshot was taken. Then it is taken out of the snapshot. */
static int fetch_vms(sd_bus *bus, Snapshot *s, sd_bus_error *error, MetricsDistribution *waits,
                     MetricsDistribution *executions)
{
    for (size_t i = 0; i < s->n_vms;) {
        int r = fetch_histograms(bus, s->vms[i].object.path, VGPU_INTERFACE_VM, error, &waits[i],
                                 &executions[i]);

        if (r >= 0) {
            i++;
            continue;
        }
        if (!sd_bus_error_has_name(error, SD_BUS_ERROR_UNKNOWN_OBJECT))
            return r;
        sd_bus_error_free(error);
        vm_info_release(&s->vms[i]);
        memmove(&s->vms[i], &s->vms[i + 1], (--s->n_vms - i) * sizeof(s->vms[0]));
    }
    return 0;
}

static int fetch_mediator(sd_bus *bus, sd_bus_error *error, char **ret_version,
                          uint32_t *ret_connections)
{
    int r;

    r = sd_bus_get_property_string(bus, VGPU_BUS_NAME, VGPU_OBJECT_MANAGER, VGPU_INTERFACE_MANAGER,
                                   "Version", error, ret_version);
    return r < 0 ? r
                 : sd_bus_get_property_trivial(bus, VGPU_BUS_NAME, VGPU_OBJECT_MANAGER,
                                               VGPU_INTERFACE_MANAGER, "NConnections", error, 'u',
                                               ret_connections);
}

/* Fetches what the snapshot lacks, and writes everything. */
static int metrics_write(sd_bus *bus, Snapshot *s, MetricsFormat format, FILE *f,
                         sd_bus_error *error)
{
    size_t pools = s->n_vms, n = pools + s->n_pools + 1; /* the pools' come behind the VMs' */
    CLEANUP_FREE MetricsDistribution *waits = calloc(n, sizeof(*waits));
    CLEANUP_FREE MetricsDistribution *executions = calloc(n, sizeof(*executions));
    CLEANUP_FREE char *version = NULL;
    Metrics m = {.snapshot = s};
    int r;

    if (!waits || !executions)
        return -ENOMEM;
    m.vm_waits = waits;
    m.vm_executions = executions;
    m.pool_waits = waits + pools;
    m.pool_executions = executions + pools;

    r = fetch_mediator(bus, error, &version, &m.connections);
    if (r >= 0)
        r = fetch_vms(bus, s, error, waits, executions);
    for (size_t i = 0; i < s->n_pools && r >= 0; i++)
        r = fetch_histograms(bus, s->pools[i].object.path, VGPU_INTERFACE_POOL, error,
                             &waits[pools + i], &executions[pools + i]);
    if (r < 0)
        return r;

    m.version = version;
    metrics_text_write(f, format, &m);
    return 0;
}

static int metrics_fetch(sd_bus *bus, MetricsFormat format, sd_bus_error *error, char **ret)
{
    CLEANUP(cleanup_snapshot) Snapshot *s = NULL;
    CLEANUP_FREE char *text = NULL;
    size_t size;
    FILE *f;
    int r;

    r = snapshot_get(bus, error, &s);
    if (r < 0)
        return r;
    f = open_memstream(&text, &size);
    if (!f)
        return -ENOMEM;
    r = metrics_write(bus, s, format, f, error);
    if (fclose(f) != 0 && r >= 0)
        r = -ENOMEM;
    if (r >= 0)
        *ret = TAKE_PTR(text);
    return r;
}

/* ---- Saving ------------------------------------------------------------------------------- */

/* Writes all of it, and closes the file. */
static int save_contents(int fd, const char *text)
{
    FILE *f = fdopen(fd, "w");
    int r = 0;

    if (!f) {
        r = -errno;
        close(fd);
        return r;
    }
    if (fchmod(fd, FILE_MODE) < 0 || fputs(text, f) < 0 || fflush(f) != 0 || fsync(fd) < 0)
        r = -errno;
    if (fclose(f) != 0 && r == 0)
        r = -errno;
    return r;
}

/* What is there must not be replaced where it is a device, say. */
static int check_target(const char *path)
{
    struct stat st;

    if (stat(path, &st) < 0)
        return errno == ENOENT ? 0 : -errno;
    return S_ISREG(st.st_mode) ? 0 : S_ISDIR(st.st_mode) ? -EISDIR : -EINVAL;
}

/*
 * Puts a file with this text in the place of @path. Who reads that sees the old one or the new
 * one as a whole: the new one is made under another name, which begins with a dot and does not
 * end in ".prom".
 */
static int save(const char *path, const char *text)
{
    const char *slash = strrchr(path, '/');
    int directory = slash ? (int) (slash - path) + 1 : 0;
    CLEANUP_FREE char *temporary = NULL;
    int r, fd;

    r = check_target(path);
    if (r < 0)
        return r;
    if (asprintf(&temporary, "%.*s.%s.XXXXXX", directory, path, path + directory) < 0) {
        temporary = NULL;
        return -ENOMEM;
    }
    fd = mkostemp(temporary, O_CLOEXEC);
    if (fd < 0)
        return -errno;

    r = save_contents(fd, text);
    if (r >= 0 && rename(temporary, path) < 0)
        r = -errno;
    if (r < 0)
        (void) unlink(temporary);
    return r;
}

/* ---- The verb ----------------------------------------------------------------------------- */

static int parse_format(const char *value, MetricsFormat *ret)
{
    if (!value || strcmp(value, "prometheus") == 0)
        *ret = METRICS_PROMETHEUS;
    else if (strcmp(value, "openmetrics") == 0)
        *ret = METRICS_OPENMETRICS;
    else {
        print_error("--format= takes prometheus or openmetrics, not '%s'.", value);
        return -EINVAL;
    }
    return 0;
}

int verb_metrics(Context *c, int argc, char **argv)
{
    CLEANUP_ERROR sd_bus_error error = SD_BUS_ERROR_NULL;
    CLEANUP_FREE char *text = NULL;
    const char *path = c->options.output;
    MetricsFormat format;
    int r;

    (void) argc, (void) argv;

    if (c->options.table.json != JSON_OFF) {
        print_error("'metrics' has a format of its own, and takes no --json=.");
        return -EINVAL;
    }
    r = parse_format(c->options.format, &format);
    if (r < 0)
        return r;

    r = metrics_fetch(bus_client_bus(c->client), format, &error, &text);
    if (r < 0) {
        print_error("Failed to get metrics: %s", bus_client_strerror(&error, r));
        return r;
    }
    if (!path) {
        fputs(text, stdout);
        return 0;
    }
    r = save(path, text);
    if (r == -EINVAL)
        print_error("Failed to write metrics to %s: it is no regular file.", path);
    else if (r < 0)
        print_error("Failed to write metrics to %s: %s", path, strerror(-r));
    return r;
}
