/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A session as any program opens it, and a computation in it. A host that does not answer must not
 * keep the rest from being told: a thread does this, and is left alone when its time is over.
 */
#include "doctor-session.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "clock.h"

/* What vgpu_session_open() needs of NVIDIA's driver: 550 */
#define DRIVER_MIN 12040u
#define DRIVER_LIBRARY 13000u /* the newest that our libcuda.so.1 stands for */
#define MIB (UINT64_C(1) << 20)
/* With less free memory a program gets no further than its first buffers. */
#define MEMORY_LOW (256 * MIB)

/* ---- Opening -------------------------------------------------------------------- */

static const char *session_mend(int result)
{
    switch (result) {
    case VGPU_ERROR_QUEUE_FULL:
        return "end a program that has a session ('vgpu smi' lists a machine's), or on the host: "
               "'vgpuctl set-limits NAME SessionsMax=N', and MaxSessions= in mediator.conf(5)";
    case VGPU_ERROR_UNSUPPORTED_OP:
    case -EOPNOTSUPP:
        return "update vgpu-mediator on the host, and start this machine again";
    case VGPU_ERROR_MEDIATOR_UNAVAILABLE:
        return "on the host: 'vgpuctl check'; 'journalctl -u vgpu-mediator.service'";
    case VGPU_ERROR_VM_QUARANTINED:
    case -ECONNRESET:
        return "on the host: 'vgpuctl' says whether it knows this machine; 'vgpuctl register' and "
               "'vgpuctl release' let it in; see vgpu-containers(7)";
    case VGPU_ERROR_INVALID_POOL:
        return "on the host: give the pool a section in /etc/vgpu/mediator.conf";
    case -ENOENT:
        return "on the host: 'systemctl enable --now vgpu-mediator.socket'; a container wants the "
               "socket mounted, see vgpu-containers(7)";
    case -ECONNREFUSED:
        return "on the host: 'systemctl restart vgpu-mediator.socket'; a container that ran "
               "meanwhile has the old socket until it is started again";
    case -EBUSY:
        return "end a program that has a session, 'vgpu smi' lists them; or wait";
    case -ENOSPC:
        return "end a program that has the window's memory; see WINDOWS in vgpu-sessions(7)";
    case -ENOMEM:
        return "'ulimit -v unlimited': a session reserves 5.5 TiB of addresses, and no memory";
    case -EFBIG:
        return "'ulimit -f unlimited', or a smaller VGPU_WINDOW_SIZE: the window is a file in "
               "memory";
    default:
        return "on the host: 'journalctl -t vgpu-executor' and 'journalctl -u "
               "vgpu-mediator.service'";
    }
}

static void session_refused(doctor *d, int result, int cuda)
{
    const char *name = vgpu_cuda_result_name(cuda);
    char mend[256], user[64];

    if (result == VGPU_ERROR_CUDA_ERROR && cuda == VGPU_CUDA_ERROR_NO_DEVICE) {
        doctor_add(d, "session", DOCTOR_FAIL,
                   "on the host: 'vgpuctl check' says why the pool has no GPU; or give this "
                   "machine a pool that has one",
                   "The pool of this machine has no GPU.");
    } else if (result == VGPU_ERROR_CUDA_ERROR) {
        doctor_add(d, "session", DOCTOR_FAIL, session_mend(result),
                   "The host cannot open a CUDA session: CUDA error %d, %s.", cuda,
                   name ? name : "which has no name here");
    } else if (result == -EACCES && d->socket) {
        doctor_user(d, user);
        doctor_add(d, "permission", DOCTOR_FAIL, doctor_refused(d, d->socket, mend),
                   "The socket %s is not for %s.", d->socket, user);
    } else if (result == VGPU_ERROR_QUEUE_FULL && d->n_sessions >= 0) {
        doctor_add(d, "session", DOCTOR_FAIL, session_mend(result),
                   "The host allows no session more; this machine has %d (SessionsMax=).",
                   d->n_sessions);
    } else {
        doctor_add(d, "session", DOCTOR_FAIL, session_mend(result), "No CUDA session by %s: %s.",
                   d->socket ? d->socket : d->address, vgpu_strerror(result));
    }
}

static vgpu_session *doctor_open_session(doctor *d)
{
    const vgpu_session_options wanted = {
        .paths = &d->paths,
        .device = d->socket ? NULL : d->address,
        .socket = d->socket,
        .timeout_ms = d->o->timeout_ms == 0 ? 1 : d->o->timeout_ms,
        .keeper = "/proc/self/exe",
    };
    uint64_t before = now_nsec();
    vgpu_session *s = NULL;
    int cuda = 0, r = vgpu_session_open(&wanted, &s, &cuda);

    if (r != 0) {
        session_refused(d, r, cuda);
        return NULL;
    }
    doctor_add(d, "session", DOCTOR_OK, NULL, "A CUDA session opens in %" PRIu64 " ms.",
               (now_nsec() - before) / NSEC_PER_MSEC);
    return s;
}

/* ---- What is behind it ----------------------------------------------------------- */

static void doctor_driver_version(doctor *d, uint32_t version)
{
    const uint32_t major = version / 1000, minor = version % 1000 / 10;

    if (version < DRIVER_MIN)
        doctor_add(d, "cuda", DOCTOR_FAIL,
                   "update NVIDIA's driver on the host to 550 or later; 580 has CUDA 13",
                   "The host's driver is too old: it is for CUDA %" PRIu32 ".%" PRIu32 ".", major,
                   minor);
    else if (version < DRIVER_LIBRARY)
        doctor_add(d, "cuda", DOCTOR_OK, NULL,
                   "The host's driver is for CUDA %" PRIu32 ".%" PRIu32
                   ": programs made with CUDA 13 want driver 580 there, and say that the driver is "
                   "insufficient.",
                   major, minor);
    else
        doctor_add(d, "cuda", DOCTOR_OK, NULL,
                   "The host's driver is for CUDA %" PRIu32 ".%" PRIu32
                   ", and the library for programs of up to CUDA 13.",
                   major, minor);
}

static bool doctor_gpu(doctor *d, vgpu_session *s)
{
    VGPUSessionDevice device;
    int r = vgpu_session_device_get(s, &device);

    if (r != 0) {
        doctor_add(d, "gpu", DOCTOR_FAIL, session_mend(r),
                   "The GPU does not answer: CUDA error %d.", r);
        return false;
    }
    doctor_add(d, "gpu", DOCTOR_OK, NULL,
               "The GPU is %s, of whose memory this machine may have %" PRIu64 " MiB.", device.name,
               device.total_memory / MIB);
    doctor_driver_version(d, device.driver_version);
    session_device_uuid_text(&device, d->uuid);
    __atomic_store_n(&d->driver_version, device.driver_version, __ATOMIC_RELEASE);
    return device.driver_version >= DRIVER_MIN;
}

static void doctor_memory(doctor *d, vgpu_session *s, const vgpu_session_from *from)
{
    const VGPUSessionMemory all = {0};
    VGPUSessionReply reply;
    uint64_t free_mib, total_mib;

    if (vgpu_session_call(s, VGPU_SESSION_OP_MEMORY_INFO, from, &all, sizeof(all), NULL, 0,
                          &reply) != 0)
        return;
    free_mib = reply.value[0] / MIB;
    total_mib = reply.value[1] / MIB;
    if (reply.value[0] < MEMORY_LOW)
        doctor_add(d, "memory", DOCTOR_WARN,
                   "end a program that has much of it ('vgpu smi'), or on the host: 'vgpuctl "
                   "set-limits NAME SessionMemoryMax=BYTES'",
                   "Only %" PRIu64 " of %" PRIu64 " MiB of the GPU's memory are free.", free_mib,
                   total_mib);
    else
        doctor_add(d, "memory", DOCTOR_OK, NULL,
                   "%" PRIu64 " of %" PRIu64 " MiB of the GPU's memory are free.", free_mib,
                   total_mib);
}

static void doctor_compute(doctor *d, vgpu_session *s)
{
    const VGPUSessionContext primary = {.id = 1, .primary = 1};
    const vgpu_session_from from = {.context = 1};
    const char *step = "make a context";
    uint64_t before;
    int r;

    if (!doctor_gpu(d, s))
        return;
    r = vgpu_session_call(s, VGPU_SESSION_OP_CONTEXT_CREATE, NULL, &primary, sizeof(primary), NULL,
                          0, NULL);
    before = now_nsec();
    if (r == 0) {
        doctor_memory(d, s, &from);
        r = doctor_saxpy(s, &from, &step);
    }
    if (r != 0)
        doctor_add(d, "kernel", DOCTOR_FAIL, "on the host: 'journalctl -t vgpu-executor'",
                   "The GPU cannot %s: CUDA error %d, %s.", step, r,
                   vgpu_cuda_result_name(r) ? vgpu_cuda_result_name(r) : "which has no name here");
    else if (step)
        doctor_add(d, "kernel", DOCTOR_FAIL,
                   "stop using this GPU, and look at the host's journal for Xid",
                   "The GPU computes wrong: %s.", step);
    else
        doctor_add(d, "kernel", DOCTOR_OK, NULL,
                   "A kernel computes right; compiling and running it took %" PRIu64 " ms.",
                   (now_nsec() - before) / NSEC_PER_MSEC);
}

/* ---- In its time ------------------------------------------------------------------ */

static void *session_thread(void *userdata)
{
    doctor *d = userdata;
    vgpu_session *s = doctor_open_session(d);

    if (s)
        doctor_compute(d, s);
    vgpu_session_close(s);
    return NULL;
}

/* Opening has its own time-out; the rest has the same again. Returns 0 or an errno. */
static int join_in_time(const doctor *d, pthread_t thread)
{
    struct timespec until;
    uint64_t wait = (uint64_t) (d->o->timeout_ms > 0 ? d->o->timeout_ms : 1) * 2 + 1000;

    if (d->o->timeout_ms < 0)
        return pthread_join(thread, NULL);
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += (time_t) (wait / 1000);
    return pthread_timedjoin_np(thread, NULL, &until);
}

void doctor_session(doctor *d)
{
    pthread_t thread;

    if (!d->is_reached)
        return;
    if (pthread_create(&thread, NULL, session_thread, d) != 0) {
        d->out_of_memory = true;
        return;
    }
    if (join_in_time(d, thread) == 0)
        return;
    pthread_detach(thread);
    pthread_mutex_lock(&d->lock);
    d->is_closed = true;
    pthread_mutex_unlock(&d->lock);
    doctor_add(d, "session", DOCTOR_FAIL,
               "on the host: 'vgpuctl sessions' and 'journalctl -t vgpu-executor'",
               "The host's executor does not answer in time.");
}
