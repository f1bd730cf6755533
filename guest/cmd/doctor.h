/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* "vgpu doctor": what was looked at, and what was found. */
#ifndef VGPU_GUEST_DOCTOR_H
#define VGPU_GUEST_DOCTOR_H

#include <limits.h>
#include <pthread.h>

#include "session-command.h"
#include "session-device.h"

typedef enum doctor_state {
    DOCTOR_OK,
    DOCTOR_WARN, /* programs run, but something keeps them from all that there is */
    DOCTOR_FAIL, /* it keeps programs from the GPU */
    DOCTOR_N_STATES,
} doctor_state;

typedef struct doctor_finding {
    const char *what; /* was looked at: "device", "window", … */
    doctor_state state;
    char *text; /* a sentence or two */
    char *mend; /* what to do; "": nothing */
} doctor_finding;

typedef struct doctor {
    const options *o;
    const char *root; /* the directory that is taken for /; "": that one itself */
    char sysfs[PATH_MAX], dev[PATH_MAX];
    vgpu_paths paths; /* the two */

    /* Set by doctor_way(): programs go by this socket, or by the device of this address; with
     * neither there is no way. */
    const char *socket;
    char usual_socket[PATH_MAX];
    char address[VGPU_ADDRESS_MAX];
    bool is_container;

    bool is_reached;                   /* so far nothing keeps a session from being opened */
    int n_sessions;                    /* of this machine; negative: not known */
    uint32_t driver_version;           /* of the host, as CUDA counts; 0: not known */
    char uuid[SESSION_UUID_TEXT_SIZE]; /* of the GPU, with driver_version */

    pthread_t owner;      /* the thread that looks, and prints */
    pthread_mutex_t lock; /* of all below */
    bool is_closed;       /* nothing more is taken from other threads */
    doctor_finding *findings;
    size_t n, n_states[DOCTOR_N_STATES];
    bool out_of_memory;
} doctor;

/*
 * doctor_add() - a finding. For any thread.
 * @what: a literal
 * @mend: what to do about it; NULL: nothing
 * @format: the text
 */
void doctor_add(doctor *d, const char *what, doctor_state state, const char *mend,
                const char *format, ...) __attribute__((format(printf, 5, 6)));

/* doctor_path() - @path below the root. Returns @buffer, of PATH_MAX bytes. */
const char *doctor_path(const doctor *d, const char *path, char *buffer);

/* doctor_run() - look at everything below @root, and print. Returns an exit code. */
int doctor_run(const options *o, const char *root);

/* ---- What there is to look at, in this order --------------------------------------------------
 */

/* doctor_way() - by which way programs reach the host. Returns an exit code: EXIT_USAGE for a name
 * of a device that is none. */
int doctor_way(doctor *d);

/* doctor_device() - the device's driver, rights, rings and window, and who answers behind it */
void doctor_device(doctor *d);

/* doctor_access() - may this process open the device's files? Adds nothing where it may. */
bool doctor_access(doctor *d, const char *driver);

/* doctor_rings() - the rings and the window of an open device. Returns whether a session can be. */
bool doctor_rings(doctor *d, vgpu_device *dev);

/* doctor_session() - open a session, and compute in it, within the time that the options give */
void doctor_session(doctor *d);

/* doctor_libraries() - which libraries a program here is given */
void doctor_libraries(doctor *d);

/* doctor_machine() - kernel modules, limits, and the environment */
void doctor_machine(doctor *d);

/* ---- Parts of these ---------------------------------------------------------------------------
 */

/* doctor_user() - who this process is, for a message. @ret: "root", or "user NAME" */
void doctor_user(const doctor *d, char ret[static 64]);

/* doctor_refused() - how to get the right to open @path, which exists. Returns @mend. */
const char *doctor_refused(const doctor *d, const char *path, char mend[static 256]);

/* Where the library that a program names is. */
typedef struct doctor_library {
    const char *name;
    char path[PATH_MAX]; /* "": there is none */
} doctor_library;

/*
 * doctor_find_libraries() - ask the system's own loader
 * @with_environment: with LD_LIBRARY_PATH and LD_PRELOAD as they are
 *
 * Returns 0 or a negative errno: -EOPNOTSUPP when the loader is not that of glibc.
 */
int doctor_find_libraries(doctor_library *libraries, size_t n, bool with_environment);

#endif
