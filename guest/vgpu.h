/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libvgpu: the guest's side of vgpu-mediator.
 *
 * A virtual machine that has a vgpu-stub device uses this library to send
 * requests to the GPU pool behind it. The library finds the device through
 * sysfs, maps its registers and needs nothing but libc and the right to open
 * the device: its resource0 file in sysfs (root, as a rule) or, when the device is
 * bound to vfio-pci, the file of its IOMMU group in /dev/vfio.
 *
 *     vgpu_device *dev = NULL;
 *     uint32_t sum;
 *     int r;
 *
 *     r = vgpu_open(NULL, NULL, &dev);
 *     if (r == 0)
 *         r = vgpu_add(dev, 100, 200, 1000, &sum);
 *     if (r != 0)
 *         fprintf(stderr, "%s\n", vgpu_strerror(r));
 *     vgpu_close(dev);
 *
 * Results
 *
 *   0          success
 *   negative   -errno: this side failed; each function lists what it returns
 *   positive   VGPU_ERROR_* of vgpu-protocol.h: the device or the host answered
 *              the request with this error. A later host may return codes that
 *              this header does not know.
 *
 * Arguments named ret_ are written on success only, unless a function says
 * otherwise, and may be NULL where it says so.
 *
 * Time
 *
 *   timeout_ms is in milliseconds of CLOCK_MONOTONIC: 0 tests once and does not
 *   wait, a negative number waits for ever. A signal does not cut a wait short.
 *
 * Sharing a device
 *
 *   Requests of two programs must not mix in the one set of registers, so each
 *   device has a lock. It belongs to a handle: two handles exclude each other,
 *   in one process or in two. The kernel releases it when the handle is closed
 *   or its process ends, however it ends. The functions that do a whole
 *   request (vgpu_call() and the typed calls) take the lock for as long as the
 *   request lasts, unless the handle holds it already; the separate steps
 *   (vgpu_submit(), vgpu_wait(), vgpu_collect()) want it held. The lock is
 *   advisory: a program that maps the registers by itself is not kept out, but
 *   the library recognises its own answer by REQUEST_ID and returns -ESTALE
 *   for any other. The ring has a lock of its own: see vgpu_ring_open().
 *
 *   A device that is bound to vfio-pci has one handle at a time, because the kernel
 *   gives it to one open file: see vgpu_bind_vfio().
 *
 * Time-outs leave the device busy
 *
 *   A request cannot be taken back. When a wait ends with -ETIMEDOUT (or the
 *   holder of the lock dies), the device stays BUSY until the host has answered.
 *   The next submission, of whichever program, first waits for that within its
 *   own timeout, and fails with -EBUSY if the device is still BUSY then. The late
 *   answer is never taken for the next request's.
 *
 * Threads
 *
 *   A handle is for one thread at a time; threads that want to use the registers
 *   at the same time each open their own. A ring, and the memory of its window, are
 *   for any number of threads: see "Threads and the ring" below. One thread may use
 *   the handle while others use its ring. The library has no global state.
 *
 *   After fork() a handle and its ring belong to the parent. The child must not use
 *   them, nor close them: the lock is common to both, and vgpu_ring_close() turns
 *   off the ring of the parent. What the child starts with exec() inherits nothing.
 *   As long as a child that does not exec() lives, the locks outlive the parent.
 */
#ifndef VGPU_H
#define VGPU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vgpu-builtin.h"
#include "vgpu-protocol.h"

/* An open device. */
typedef struct vgpu_device vgpu_device;

/* ---- Finding devices ------------------------------------------------------ */

/*
 * Where the kernel's file systems are. Every function that takes a pointer to
 * this takes NULL for the running system's, and a NULL member stands for its
 * default. Meant for tests; nothing else should need it.
 */
typedef struct vgpu_paths {
    const char *sysfs; /* "/sys" */
    const char *dev;   /* "/dev" */
} vgpu_paths;

/* The longest PCI address, "0000:00:04.0" with a long domain, and its NUL. */
#define VGPU_ADDRESS_MAX 24

/* A device that was found. */
typedef struct vgpu_found {
    char address[VGPU_ADDRESS_MAX]; /* PCI address as in sysfs */
    bool enabled;                   /* is its PCI memory space enabled? */
    int uio;                        /* N of the /dev/uioN bound to it, or -1 */
} vgpu_found;

/*
 * vgpu_find() - list the devices of this machine
 * @paths: NULL
 * @ret_list: an array, sorted by PCI address; the index in it is the number that
 *            vgpu_open() takes. The caller frees it with free(). NULL when there
 *            is no device.
 * @ret_n: elements in the array, possibly 0
 *
 * The library recognises a device by vendor, device, class and revision, without
 * touching it. Only vgpu_open() sees whether it speaks this library's protocol.
 *
 * Returns 0, or a negative errno: -ENOMEM, or what reading sysfs gave. A machine
 * without PCI has no devices; that is no error.
 */
int vgpu_find(const vgpu_paths *paths, vgpu_found **ret_list, size_t *ret_n);

/* ---- Opening and closing -------------------------------------------------- */

/*
 * vgpu_open() - open a device
 * @paths: NULL
 * @name: which: NULL for the first, a decimal index as in vgpu_find() ("0"), or
 *        a PCI address ("0000:00:04.0", or "00:04.0" in domain 0)
 * @ret: a new handle; close it with vgpu_close()
 *
 * Enables the device's PCI memory space where that has not been done, and maps
 * its registers: through VFIO where the device is bound to vfio-pci, else through
 * its files in sysfs. By sysfs this changes no register; VFIO resets the device,
 * here and when the handle is closed.
 *
 * Returns 0, or a negative errno:
 *   -ENODEV           no such device, or it is something else
 *   -EINVAL           @name is neither an index nor an address
 *   -EPROTONOSUPPORT  it speaks another protocol version
 *   -EACCES           not allowed: needs root, or the right to open the group's file
 *   -EPERM            the kernel does not permit it: it is locked down, as with Secure
 *                     Boot, and the device is not bound to vfio-pci
 *   -EBUSY            by VFIO: another handle has the device
 *   -EXDEV            by VFIO: another device of the IOMMU group has a driver
 *   -ENOSYS           by VFIO: the IOMMU does not remap interrupts
 *   -ENOPKG           by VFIO: the module vfio_iommu_type1 is not loaded
 *   -ENOMEM and others from opening and mapping files
 */
int vgpu_open(const vgpu_paths *paths, const char *name, vgpu_device **ret);

/*
 * vgpu_close() - close a handle
 * @dev: a handle, or NULL
 *
 * Releases the lock and everything else that belongs to @dev. A request that is
 * still running goes on, but nobody gets its answer.
 *
 * Returns NULL, for `dev = vgpu_close(dev)`.
 */
vgpu_device *vgpu_close(vgpu_device *dev);

/*
 * vgpu_reset() - bring every register back to its power-on value
 * @dev: a handle that holds the lock
 *
 * A function level reset by the kernel. It frees a device that is BUSY for too
 * long: the answer to the request from before is dropped. Takes about a tenth
 * of a second. It ends a ring too, whoever has it: see vgpu_ring_submit(). But it does not
 * end the CUDA sessions of other processes.
 *
 * Returns 0, or a negative errno:
 *   -ENOLCK      the lock is not held
 *   -EBUSY       a process has a CUDA session
 *   -EOPNOTSUPP  the kernel knows no function level reset of this device
 *   -EACCES, -EPERM and others from writing to sysfs
 */
int vgpu_reset(vgpu_device *dev);

/*
 * vgpu_get_address() - the PCI address, as in sysfs
 *
 * Returns a string that lives as long as @dev.
 */
const char *vgpu_get_address(const vgpu_device *dev);

/*
 * vgpu_get_access() - the way on which this handle reaches its device
 *
 * Returns a static string, "sysfs" or "vfio".
 */
const char *vgpu_get_access(const vgpu_device *dev);

/*
 * vgpu_bind_vfio() - give the device to the kernel's vfio-pci driver
 * @paths: NULL
 * @address: PCI address, as vgpu_find() lists it
 *
 * VFIO is the way to the device in a kernel that is locked down, as it is with
 * Secure Boot, and the one that has MSI-X interrupts. It asks for more than sysfs:
 * the virtual machine has an IOMMU that remaps interrupts, or root has allowed VFIO
 * to do without (enable_unsafe_noiommu_mode=1 of the module vfio); and the device
 * has one handle at a time, in one process, so programs do not share it.
 *
 * Needs root and the module vfio-pci, loaded. The binding lasts until somebody
 * undoes it; for later vgpu_open()s. A handle that was opened before, by sysfs, is
 * of no use any more. Does nothing when the device is bound to vfio-pci already.
 *
 * Returns 0, or a negative errno:
 *   -EBUSY   another driver has the device
 *   -ENOENT  the module is not loaded (modprobe vfio-pci)
 *   -ENODEV  no such device
 *   -EINVAL  the driver did not take the device: it is behind no IOMMU
 *   and others from writing to sysfs
 */
int vgpu_bind_vfio(const vgpu_paths *paths, const char *address);

/* ---- The lock ------------------------------------------------------------- */

/*
 * vgpu_lock() - keep other handles away from the device
 * @dev: a handle
 * @timeout_ms: 0 to try once, negative to wait for ever
 *
 * The lock does not nest. Waiting handles are not queued in order, but one
 * that waits gets its turn before a handle that unlocks and locks again.
 *
 * Returns 0, or a negative errno:
 *   -EBUSY     another handle held it for the whole of @timeout_ms
 *   -EALREADY  this handle holds it already
 *   and others from fcntl(2)
 */
int vgpu_lock(vgpu_device *dev, int timeout_ms);

/*
 * vgpu_unlock() - let other handles in
 *
 * Does nothing when this handle does not hold the lock.
 */
void vgpu_unlock(vgpu_device *dev);

/* ---- Requests: the typed calls -------------------------------------------- */

/*
 * Each does one request (or several) and waits for the answer. @timeout_ms covers
 * the lock, an earlier request of somebody else's that is still running, and
 * the request itself. All of them return
 *
 *   0           success
 *   positive    VGPU_ERROR_*
 *   -ETIMEDOUT  submitted, and no answer within @timeout_ms: the device is BUSY
 *               now (see above)
 *   -EBUSY      not submitted: another handle had the lock, or an earlier request
 *               was still running, at the end of @timeout_ms
 *   -ECONNRESET the device was reset meanwhile; the request may have run
 *   -ESTALE     a program that ignores the lock used the device meanwhile
 *   -EPROTO     the answer is malformed, or is not one to this request
 *   -ENODEV     the device is gone
 */

/*
 * vgpu_nop() - a request that does nothing: there and back
 */
int vgpu_nop(vgpu_device *dev, int timeout_ms);

/*
 * vgpu_add() - the 32-bit sum of two numbers, by the vector-add kernel
 * @a, @b: any numbers
 * @timeout_ms: see above
 * @ret_sum: a + b modulo 2^32
 */
int vgpu_add(vgpu_device *dev, uint32_t a, uint32_t b, int timeout_ms, uint32_t *ret_sum);

/*
 * vgpu_get_device_info() - ask the host what runs this device's pool
 * @timeout_ms: see above
 * @ret: sizes in bytes; the strings in it are terminated, whatever the host sent
 */
int vgpu_get_device_info(vgpu_device *dev, int timeout_ms, VGPUDeviceInfo *ret);

/* What a vector is made of. There are VGPU_N_TYPES. */
typedef enum vgpu_type {
    VGPU_INT32 = VGPU_TYPE_INT32,
    VGPU_INT64 = VGPU_TYPE_INT64,
    VGPU_FLOAT32 = VGPU_TYPE_FLOAT32,
    VGPU_FLOAT64 = VGPU_TYPE_FLOAT64,
} vgpu_type;

/*
 * vgpu_type_to_string() - "int32", "int64", "float32" or "float64"
 *
 * Returns a static string, or NULL for any other number.
 */
const char *vgpu_type_to_string(vgpu_type type);

/*
 * vgpu_type_from_string() - the inverse
 *
 * Returns 0, or -EINVAL when @s (never NULL) names no type.
 */
int vgpu_type_from_string(const char *s, vgpu_type *ret);

/* vgpu_type_size() - bytes of one element: 4 or 8; 0 for a number that is no type */
size_t vgpu_type_size(vgpu_type type);

/*
 * vgpu_vector_add() - c[i] = a[i] + b[i]
 * @type: of the elements
 * @a, @b: @n elements each, little-endian, any alignment; never NULL unless @n is 0
 * @n: how many, any number; 0 does nothing
 * @timeout_ms: for each request, not for all of them together
 * @c: room for @n elements; may be @a or @b, but must not overlap them otherwise
 * @ret_done: may be NULL; how many elements of @c are complete. Written always,
 *            on failure too: the request that failed is the one that starts
 *            with element *ret_done
 *
 * Integers wrap; floating-point sums are IEEE 754, rounded to nearest even.
 * The vectors are cut into requests of at most vgpu_vector_max() elements. The
 * lock is taken for each of them, so that other programs get their turn in a
 * long vector. A request that the host turns away for the moment (QUEUE_FULL,
 * RATE_LIMITED) is repeated, ever more slowly, until @timeout_ms is over.
 *
 * Returns as the other calls; -EINVAL for a @type that is none.
 */
int vgpu_vector_add(vgpu_device *dev, vgpu_type type, const void *a, const void *b, size_t n,
                    int timeout_ms, void *c, size_t *ret_done);

/* vgpu_vector_max() - elements of @type that fit into one request; 0 if it is no type */
size_t vgpu_vector_max(vgpu_type type);

/* ---- Requests: the bytes -------------------------------------------------- */

/*
 * vgpu_call() - one request, as bytes, and its answer
 * @request: a VGPURequest and what follows it; any alignment, and not checked:
 *           the device and the host are the judges of what it says
 * @size: bytes, 1..VGPU_REQUEST_MAX
 * @timeout_ms: see the typed calls
 * @response: room for a VGPUResponse and what follows it
 * @response_size: bytes of that room; VGPU_RESPONSE_MAX takes any answer
 * @ret_size: bytes of the answer. Written (and @response with it) on success and
 *            also after a positive result, where it is 0 if the error came
 *            without an answer
 *
 * An answer that is handed over is well-formed: vgpu_response_check() holds.
 *
 * Returns as the typed calls, and
 *   -EMSGSIZE  @size is not in range (nothing was submitted)
 *   -ENOBUFS   the answer is larger than @response_size
 */
int vgpu_call(vgpu_device *dev, const void *request, size_t size, int timeout_ms, void *response,
              size_t response_size, size_t *ret_size);

/*
 * The same in three steps, for programs that do something else meanwhile. The
 * lock must be held from the first to the last: -ENOLCK otherwise.
 *
 * vgpu_submit() - write a request and ring the doorbell
 * @timeout_ms: how long to wait for an earlier request to end
 *
 * Returns 0, -EMSGSIZE, -ENOLCK, -EBUSY, -EPROTO or -ENODEV, as above.
 */
int vgpu_submit(vgpu_device *dev, const void *request, size_t size, int timeout_ms);

/*
 * vgpu_wait() - wait until what was submitted last is finished
 *
 * Waits by reading STATUS, first at once and then ever less often, up to a
 * millisecond apart, or by interrupt after vgpu_enable_interrupts(). After
 * -ETIMEDOUT the request is still there and can be waited for again.
 *
 * Returns 0 when there is an answer to collect, of whatever kind; -ETIMEDOUT,
 * -ECONNRESET, -EPROTO, -ENODEV, -ENOLCK as above; -ENOTCONN when nothing was
 * submitted since the lock was taken.
 */
int vgpu_wait(vgpu_device *dev, int timeout_ms);

/*
 * vgpu_collect() - take the answer after vgpu_wait() returned 0
 *
 * Returns as vgpu_call(); -ENOTCONN when there is nothing to collect. What was
 * submitted is forgotten then, so an answer can be collected once.
 */
int vgpu_collect(vgpu_device *dev, void *response, size_t response_size, size_t *ret_size);

/* ---- Interrupts ----------------------------------------------------------- */

/*
 * vgpu_bind_uio() - give the device to the kernel's uio_pci_generic driver
 * @paths: NULL
 * @address: PCI address, as vgpu_find() lists it
 *
 * Needs root and the module uio_pci_generic, loaded. The binding lasts until
 * somebody undoes it; handles that are open are not disturbed. Does nothing when
 * the device is bound to uio_pci_generic already.
 *
 * Returns 0, or a negative errno:
 *   -EBUSY   another driver has the device
 *   -ENOENT  the module is not loaded (modprobe uio_pci_generic)
 *   -ENODEV  the driver did not take the device: it has no INTx interrupt
 *   and others from writing to sysfs
 */
int vgpu_bind_uio(const vgpu_paths *paths, const char *address);

/*
 * vgpu_enable_interrupts() - wait by interrupt from now on
 *
 * The device must be bound to uio_pci_generic (INTx) or vfio-pci (MSI-X), by
 * vgpu_bind_uio(), vgpu_bind_vfio() or the administrator. Interrupts are switched
 * on in the device for the length of each wait only, so handles with and without
 * them can share it.
 *
 * Returns 0 (also when it was done before), or a negative errno:
 *   -ENXIO       the device is bound to neither of the two
 *   -EOPNOTSUPP  it is bound to vfio-pci and has no MSI-X
 *   -EACCES, -EPERM and others from opening /dev/uioN and the PCI configuration
 */
int vgpu_enable_interrupts(vgpu_device *dev);

/* vgpu_disable_interrupts() - wait by polling again, as after vgpu_open() */
void vgpu_disable_interrupts(vgpu_device *dev);

/* ---- The data window and the ring: what a device offers -------------------- */

/*
 * Beside the registers, through which one request of at most a kibibyte goes at a
 * time, a device can have a data window and a ring. The window is memory that the
 * guest shares with the host's executor: operands and results lie in it and are
 * copied by nobody. The ring holds up to 1024 requests on that memory, which are
 * computed by priority and completed in any order.
 *
 * A host or a mediator that is older has none of this. Programs that can do with
 * the registers fall back on them then.
 */

/* What the extension block of the registers says. */
typedef struct vgpu_extension {
    uint32_t version;     /* at least 1 */
    uint32_t features;    /* VGPU_EXT_FEATURE_* */
    uint64_t window_size; /* bytes; 0 without VGPU_EXT_FEATURE_WINDOW */
} vgpu_extension;

/*
 * vgpu_get_extension() - what the device offers beside protocol version 1
 *
 * Returns 0, or -EOPNOTSUPP: it offers nothing, and everything else works.
 */
int vgpu_get_extension(vgpu_device *dev, vgpu_extension *ret);

/* ---- The ring --------------------------------------------------------------- */

/* A ring that is on, and the window it lies in. */
typedef struct vgpu_ring vgpu_ring;

#define VGPU_RING_ENTRIES_DEFAULT 256u

/*
 * vgpu_ring_open() - map the window and turn the ring on
 * @dev: a handle; must stay open until the ring is closed. The lock is not needed,
 *       and the registers can be used by this handle and by others meanwhile
 * @entries: how many requests can be outstanding: a power of two from 4 to 1024,
 *           or 0 for VGPU_RING_ENTRIES_DEFAULT
 * @timeout_ms: for the ring of another handle to be closed, and for the host to
 *              agree
 * @ret: close it with vgpu_ring_close()
 *
 * There is one ring and one window to a device, for one handle at a time: they
 * have a lock of their own, which the kernel releases when the handle is closed or
 * its process ends. Requests that its last owner left running are dropped. The content
 * of the window is not cleared.
 *
 * Completions are waited for by interrupt if vgpu_enable_interrupts() was called
 * before, else by polling: see vgpu_ring_set_wait().
 *
 * Threads and the ring
 *
 *   All functions of a ring and its window can be called in several threads at the
 *   same time, except vgpu_ring_open() and vgpu_ring_close(): no other thread may be
 *   in a function of the ring by then, nor enter one afterwards. They take a lock of
 *   the ring's, which is free while they wait and while callbacks run; a program with
 *   one thread pays for a lock that nobody contends for.
 *
 *   Each thread that waits sleeps for itself, with its own time-out. Only one of them
 *   looks at memory or sleeps until the device interrupts; it wakes those whose
 *   requests have ended, and hands its place on when it has no more to wait for.
 *
 *   A completion goes to one thread: to the one that waits for this request in
 *   vgpu_ring_run() or vgpu_ring_wait_for(), else to its callback, else to whoever
 *   calls vgpu_ring_poll() first. So a thread that waits for its own requests, in a
 *   program of which another thread polls, uses vgpu_ring_run(): between
 *   vgpu_ring_submit() and vgpu_ring_wait_for() the other thread may take the
 *   completion. And where completions that another thread has yet to take fill the
 *   ring, -EAGAIN says so: that passes.
 *
 *   Callbacks run in the thread that finds them to be run, whichever thread has
 *   submitted. They never run at the same time: while one thread runs callbacks, it
 *   runs those that others find, too. They should be short, and must not wait for
 *   another thread that waits for callbacks. A thread must not be cancelled
 *   (pthread_cancel()) in a function of the ring.
 *
 * Returns 0; a positive VGPU_ERROR_* when the host refused, UNSUPPORTED_OP when the device has a
 * ring and an older mediator knows none; or a negative errno:
 *   -EOPNOTSUPP  the device has no window or no ring: an older host
 *   -EINVAL      @entries is not possible
 *   -ENOSPC      the window is too small for a ring of @entries
 *   -EALREADY    this handle has a ring already
 *   -EBUSY       another handle had it for the whole of @timeout_ms
 *   -ETIMEDOUT   the host has not answered in time
 *   -ECONNRESET  the device was reset meanwhile
 *   -EPROTO      what the device says about itself makes no sense
 *   -ENODEV, -ENOMEM, and others from opening and mapping files
 */
int vgpu_ring_open(vgpu_device *dev, uint32_t entries, int timeout_ms, vgpu_ring **ret);

/*
 * vgpu_ring_close() - turn the ring off and unmap the window
 * @ring: a ring, or NULL
 *
 * What is outstanding is dropped, whether the host has begun with it or not; its
 * callbacks run with -ECANCELED. Waits for the host to let go of the window, for a
 * second at most. Must not be called in a callback, nor while another thread is in a
 * function of this ring.
 *
 * Returns NULL.
 */
vgpu_ring *vgpu_ring_close(vgpu_ring *ring);

/* ---- Memory in the window ----------------------------------------------------- */

/*
 * vgpu_window_alloc() - get memory in the window
 * @size: bytes, not 0
 * @alignment: a power of two up to 4096; 0 for 64, which every type is content with
 * @ret: ordinary memory to this program, not cleared; free it with vgpu_window_free().
 *       It goes away with the ring
 *
 * The host can write anywhere in the window: what a program reads there it checks
 * as it would check a file. Where the hypervisor does not make the processor
 * cache the window, reading it is slower than other memory; copy what is needed
 * more than once.
 *
 * Returns 0, or -EINVAL, -ENOSPC when no free range is large enough, or -ENOMEM.
 */
int vgpu_window_alloc(vgpu_ring *ring, size_t size, size_t alignment, void **ret);

/*
 * vgpu_window_free() - give memory back
 * @memory: from vgpu_window_alloc(), or NULL; no outstanding request uses it
 *
 * After a ring has failed the host may still be at work on what was outstanding:
 * close the ring and open it anew before its memory is used again.
 *
 * Returns 0, or -EINVAL when it is nothing that vgpu_window_alloc() has returned.
 */
int vgpu_window_free(vgpu_ring *ring, void *memory);

/* vgpu_window_largest() - bytes of the largest range that is free */
uint64_t vgpu_window_largest(const vgpu_ring *ring);

/*
 * vgpu_window_offset() - where memory lies, as requests name it
 * @memory: a pointer into the window
 * @size: bytes from there on, possibly 0
 * @ret_offset: bytes from the beginning of the window
 *
 * Returns 0, or -ERANGE when that is not wholly in the window.
 */
int vgpu_window_offset(const vgpu_ring *ring, const void *memory, size_t size,
                       uint64_t *ret_offset);

/* ---- Requests on the window: what to do ----------------------------------------- */

/* A value of any type; that of the request says which member counts. */
typedef union vgpu_value {
    int32_t int32;
    int64_t int64;
    float float32;
    double float64;
    uint64_t bits;
} vgpu_value;

/* How a request ended. */
typedef struct vgpu_completion {
    uint64_t id;           /* as in its vgpu_job */
    void *userdata;        /* likewise */
    int result;            /* 0, VGPU_ERROR_*, or a negative errno: see vgpu_ring_submit() */
    uint32_t exec_time_us; /* on the device that computed it; 0xffffffff when longer */
    uint32_t cuda_result;  /* with VGPU_ERROR_CUDA_ERROR: the CUresult */
    vgpu_value value;      /* of DOT, SUM, MIN and MAX, when result is 0 */
} vgpu_completion;

/*
 * Called when a request has ended, by whichever function takes completions, in
 * its thread. It may submit, and use the window's memory; what takes or waits for
 * completions returns -EDEADLK in it. The callbacks of a ring never run at the same
 * time.
 */
typedef void (*vgpu_callback)(vgpu_ring *ring, const vgpu_completion *completion);

/* A request. */
typedef struct vgpu_job {
    VGPUSubmission submission; /* vgpu-builtin.h; the tag and the host's fields do not matter */
    vgpu_callback callback;    /* or NULL: its completion is taken by the functions below */
    void *userdata;            /* the program's own */
    uint64_t id;               /* set by vgpu_ring_submit(): never twice the same in a ring */
} vgpu_job;

/*
 * vgpu_job_vector() - fill in a request for c[i] = ... of @n elements
 * @opcode: VGPU_OP_RING_ADD: a[i] + b[i]; _MUL: a[i] * b[i]; _AXPY, of floating-point
 *          types: scalar * a[i] + b[i]
 * @scalar: for AXPY; rounded to the type
 * @a, @b, @c: packed elements in the window
 * @n: at least 1
 * @ret: without callback and userdata. For elements that are further apart, change
 *       submission.a.stride and so on afterwards: in elements, at least 1
 *
 * c may be a or b. A request that writes where it reads is not begun a second time
 * when the host's mediator is restarted in the middle of it, but ends with an error.
 *
 * Returns 0; -EINVAL for an @opcode or a @type that there is not, or that do not go
 * together; -ERANGE when an operand is not wholly in the window or not aligned to its
 * elements, or @n is 0.
 */
int vgpu_job_vector(const vgpu_ring *ring, uint32_t opcode, vgpu_type type, double scalar,
                    const void *a, const void *b, void *c, uint64_t n, vgpu_job *ret);

/*
 * vgpu_job_reduce() - fill in a request for one value from @n elements
 * @opcode: VGPU_OP_RING_DOT: the sum of a[i] * b[i]; _SUM, _MIN, _MAX: of a[i]
 * @b: NULL unless it is DOT
 *
 * As vgpu_job_vector() otherwise.
 */
int vgpu_job_reduce(const vgpu_ring *ring, uint32_t opcode, vgpu_type type, const void *a,
                    const void *b, uint64_t n, vgpu_job *ret);

/*
 * vgpu_job_matmul() - fill in a request for a product of matrices, c = a b
 * @type: floating
 * @a: @m rows of @k elements
 * @b: @k rows of @n elements
 * @c: @m rows of @n elements
 *
 * Rows follow each other without a gap; for longer rows change submission.a.stride
 * and so on: elements from row to row. As vgpu_job_vector() otherwise.
 */
int vgpu_job_matmul(const vgpu_ring *ring, vgpu_type type, const void *a, const void *b, void *c,
                    uint64_t m, uint32_t n, uint32_t k, vgpu_job *ret);

/* vgpu_job_nop() - fill in a request that does nothing: there and back */
void vgpu_job_nop(vgpu_job *ret);

/* ---- Requests on the window: submitting and waiting ------------------------------- */

/*
 * vgpu_ring_submit() - put requests on the ring
 * @jobs: the id of each that is taken is filled in; may be freed at once
 * @n: how many
 * @ret_n: how many of them were taken, from the first on: fewer than @n when there
 *         is no room for more. NULL: all or none. Written also with -EAGAIN, as 0
 *
 * All of them together cost one doorbell at most, and none while the host is awake.
 * Room is one entry for each request from its submission until its completion was
 * taken: by its callback, vgpu_ring_poll() or vgpu_ring_wait_for().
 *
 * This function checks no request. One that the host refuses ends with
 *   VGPU_ERROR_UNSUPPORTED_OP   it does not know this opcode for this type
 *   VGPU_ERROR_INVALID_REQUEST  an operand is not in the window, misaligned, or its
 *                               stride too narrow
 *   other VGPU_ERROR_*          as in the registers
 * When the ring ends under a request, it ends with the reason for that:
 *   -ECONNRESET  the device was reset
 *   -EPROTO      the host broke the rules of the ring
 *   -ENODEV      the device is gone
 *   -ECANCELED   vgpu_ring_close()
 *   VGPU_ERROR_* what the host said when it turned the ring off
 *
 * Returns 0; -EAGAIN when there is no room, nothing was submitted then; or, for a
 * ring that has ended, the reason for that. Only vgpu_ring_close() is left to call.
 */
int vgpu_ring_submit(vgpu_ring *ring, vgpu_job *jobs, size_t n, size_t *ret_n);

/*
 * vgpu_ring_poll() - take completions, without waiting
 * @ret: room for @max completions of requests without callback, in the order in
 *       which they ended
 * @max: may be 0, with @ret NULL: only callbacks are run then
 * @ret_n: how many were taken
 *
 * Runs the callbacks of requests that have them, unless another thread is at it.
 * Completions that other threads wait for go to those.
 *
 * Returns 0, also when the ring has ended: every outstanding request then has a
 * completion; or -EDEADLK.
 */
int vgpu_ring_poll(vgpu_ring *ring, vgpu_completion *ret, size_t max, size_t *ret_n);

/*
 * vgpu_ring_wait() - wait until completions can be taken
 * @n: how many: at least that many requests have ended that vgpu_ring_poll() has not
 *     handed over yet, or had callbacks that ran during this call. SIZE_MAX waits
 *     for all that are outstanding, those of other threads among them
 *
 * Takes none, but runs callbacks, or waits until another thread has run them. With
 * interrupts the host is asked for one when the last of @n is complete, not for one
 * each, unless other threads wait too.
 *
 * Returns 0, also at once when nothing is outstanding; -ETIMEDOUT; -EDEADLK; or
 * another negative errno from waiting for interrupts.
 */
int vgpu_ring_wait(vgpu_ring *ring, size_t n, int timeout_ms);

/*
 * vgpu_ring_wait_for() - wait for one request, and take its completion
 * @id: of a vgpu_job that was submitted without callback
 *
 * Completions of others stay for vgpu_ring_poll(); callbacks run. After -ETIMEDOUT the
 * request is still outstanding and uses its memory.
 *
 * Returns 0 when @ret is filled in, whatever is in it; -ENOENT when no such request is
 * outstanding or waits to be taken, or another thread waits for it; otherwise as
 * vgpu_ring_wait().
 */
int vgpu_ring_wait_for(vgpu_ring *ring, uint64_t id, int timeout_ms, vgpu_completion *ret);

/*
 * vgpu_ring_wait_room() - wait until at least one request can be submitted
 *
 * Runs callbacks. Returns 0; -ETIMEDOUT; -EAGAIN when room comes only by taking
 * completions that are there; the reason, for a ring that has ended; otherwise as
 * vgpu_ring_wait().
 */
int vgpu_ring_wait_room(vgpu_ring *ring, int timeout_ms);

/*
 * vgpu_ring_run() - one request, and how it ended
 * @job: its callback must be NULL
 * @ret: may be NULL
 *
 * Returns the completion's result, or as vgpu_ring_wait_room() and vgpu_ring_wait_for().
 */
int vgpu_ring_run(vgpu_ring *ring, vgpu_job *job, int timeout_ms, vgpu_completion *ret);

/* How to wait. */
typedef enum vgpu_wait_mode {
    VGPU_WAIT_POLL, /* look at memory, with pauses of up to a quarter of the wait so far, and of
                       ten milliseconds at most */
    VGPU_WAIT_INTERRUPT, /* sleep until the device interrupts */
} vgpu_wait_mode;

#define VGPU_SPIN_DEFAULT_US 20u

/*
 * vgpu_ring_set_wait() - choose how to wait
 * @spin_us: look at memory without a pause for that long first, in microseconds. A short
 *           request ends sooner than a pause or an interrupt would be over; in a longer
 *           wait the time is lost. After vgpu_ring_open() it is VGPU_SPIN_DEFAULT_US,
 *           and 0 with interrupts
 *
 * In both modes a ring that has ended is noticed after a quarter of a second.
 *
 * Returns 0; -EBUSY while another thread waits; or, for VGPU_WAIT_INTERRUPT, as
 * vgpu_enable_interrupts(), which need not have been called.
 */
int vgpu_ring_set_wait(vgpu_ring *ring, vgpu_wait_mode mode, uint32_t spin_us);

/*
 * vgpu_ring_get_fd() - a descriptor for a program's own event loop
 *
 * Becomes readable when completions may be there: /dev/uioN or an eventfd, so it is
 * level-triggered for poll(2) and epoll(7), and reading it is vgpu_ring_arm()'s
 * business. The loop is:
 *
 *     for (;;) {
 *         do
 *             vgpu_ring_poll(ring, ...);
 *         while (vgpu_ring_arm(ring) == -EAGAIN);
 *         poll() on the descriptor, among others
 *     }
 *
 * A ring that the host ends interrupts too; one that ends by a reset of the device does
 * not. A loop that has to notice that calls vgpu_ring_poll() from time to time.
 *
 * An interrupt wakes either this loop or a thread that waits. So a program sleeps on the
 * descriptor in one thread only, and its other threads submit, but do not wait: they have
 * callbacks instead, which this loop runs.
 *
 * Returns the descriptor, which belongs to @ring, or -ENXIO without VGPU_WAIT_INTERRUPT.
 */
int vgpu_ring_get_fd(const vgpu_ring *ring);

/*
 * vgpu_ring_arm() - ask for an interrupt at the next completion
 *
 * Returns 0: it is safe to sleep on the descriptor; -EAGAIN: there are completions to
 * take, or callbacks to run, so do not sleep; -EBUSY: another thread waits; -ENXIO as
 * above; or another negative errno.
 */
int vgpu_ring_arm(vgpu_ring *ring);

/* vgpu_ring_get_outstanding() - requests that were submitted and have not ended */
uint32_t vgpu_ring_get_outstanding(const vgpu_ring *ring);

/* What a ring did since it was opened. */
typedef struct vgpu_ring_counters {
    uint64_t submitted;  /* requests */
    uint64_t completed;  /* completions that the host wrote */
    uint64_t doorbells;  /* register writes: each wakes the host */
    uint64_t interrupts; /* that woke this side; each takes one register write */
} vgpu_ring_counters;

void vgpu_ring_get_counters(const vgpu_ring *ring, vgpu_ring_counters *ret);

/* ---- Computing on ordinary memory --------------------------------------------------- */

/*
 * These copy operands into the window and results out of it, piece by piece, while
 * the host computes other pieces; they take whatever is free in the window for the
 * time of the call, so threads that call them at the same time share it. Callbacks of
 * other requests run meanwhile. Pieces that the host turns away for the moment
 * (QUEUE_FULL, RATE_LIMITED) are repeated. They return as the typed calls do, and
 *   -ENOSPC     the window has too little memory free
 *   -EINVAL     as vgpu_job_vector()
 *   -EAGAIN     completions that vgpu_ring_poll() would take fill the ring
 *   -EDEADLK    called in a callback
 *   -ETIMEDOUT  the host made no progress for @timeout_ms. What it still has is left
 *               to it, and the memory is given back when it has ended
 */

/*
 * vgpu_compute_vector() - c[i] = ... of @n elements
 * @opcode, @type, @scalar: as in vgpu_job_vector()
 * @a, @b: any alignment; never NULL unless @n is 0
 * @n: any number; 0 does nothing
 * @c: may be @a or @b, but must not overlap them otherwise
 * @ret_done: may be NULL; how many elements of @c are complete, on failure too
 */
int vgpu_compute_vector(vgpu_ring *ring, uint32_t opcode, vgpu_type type, double scalar,
                        const void *a, const void *b, size_t n, int timeout_ms, void *c,
                        size_t *ret_done);

/*
 * vgpu_compute_reduce() - one value from @n elements
 * @opcode, @type, @b: as in vgpu_job_reduce()
 * @n: at least 1, else -ERANGE
 *
 * Integers wrap. Sums of floating-point pieces are added in the order of the pieces, in
 * double precision.
 */
int vgpu_compute_reduce(vgpu_ring *ring, uint32_t opcode, vgpu_type type, const void *a,
                        const void *b, size_t n, int timeout_ms, vgpu_value *ret);

/*
 * vgpu_compute_matmul() - c (m x n) = a (m x k) times b (k x n), packed by rows
 * @type: floating
 * @m, @n, @k: at least 1, else -ERANGE
 * @c: must not overlap @a or @b
 *
 * Matrices that are larger than the window are cut into blocks of whole rows of a and
 * whole columns of b; one of each and its result have to fit, else -ENOSPC.
 */
int vgpu_compute_matmul(vgpu_ring *ring, vgpu_type type, const void *a, const void *b, size_t m,
                        size_t n, size_t k, int timeout_ms, void *c);

/* ---- Registers ------------------------------------------------------------ */

/*
 * vgpu_read_register(), vgpu_write_register() - one 4-byte access
 * @offset: in BAR0, a multiple of 4, below VGPU_BAR0_SIZE
 *
 * These are for programs that show or test the device. They do not check that the
 * lock is held; a program that writes should hold it.
 *
 * Returns 0, or -EINVAL for a bad @offset.
 */
int vgpu_read_register(vgpu_device *dev, uint32_t offset, uint32_t *ret_value);
int vgpu_write_register(vgpu_device *dev, uint32_t offset, uint32_t value);

/* Register accesses of a handle since it was opened. */
typedef struct vgpu_counters {
    uint64_t requests; /* doorbells rung by vgpu_submit() and what uses it */
    uint64_t reads;    /* all reads, polls included */
    uint64_t writes;   /* all writes */
    uint64_t polls;    /* reads of STATUS that found the device still BUSY */
} vgpu_counters;

/*
 * vgpu_get_counters() - how many register accesses this handle made
 *
 * On a virtual machine each is an exit to the host, so reads + writes - polls for
 * each request is what the protocol itself costs. A scalar add takes 26: the
 * doorbell, its length and tag, 10 words of request; STATUS before and after,
 * the tag, the length and 9 words of answer.
 */
void vgpu_get_counters(const vgpu_device *dev, vgpu_counters *ret);

/* ---- Errors --------------------------------------------------------------- */

/*
 * vgpu_strerror() - a result in words
 * @result: what a function of this library returned
 *
 * Returns a string that is static, or libc's for a negative errno: not to be
 * freed, without a full stop or newline.
 */
const char *vgpu_strerror(int result);

#endif
