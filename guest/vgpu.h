/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libvgpu: the guest's side of vgpu-mediator.
 *
 * A virtual machine that has a vgpu-stub device uses this library to send
 * requests to the GPU pool behind it. The library finds the device through
 * sysfs, maps its registers and needs nothing but libc and the right to open
 * the device's resource0 file (root, as a rule).
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
 *   for any other.
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
 *   A handle is for one thread at a time. Threads that want to work at the same
 *   time each open their own. The library has no global state, and a handle must
 *   not be used on both sides of a fork(): the lock would be common to both.
 */
#ifndef VGPU_H
#define VGPU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vgpu-protocol.h"
#include "vgpu-ring.h"

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
 * A device is told by vendor, device, class and revision, without touching it:
 * whether it speaks this library's protocol is seen by vgpu_open().
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
 * its registers. Changes no register.
 *
 * Returns 0, or a negative errno:
 *   -ENODEV           no such device, or it is something else
 *   -EINVAL           @name is neither an index nor an address
 *   -EPROTONOSUPPORT  it speaks another protocol version
 *   -EACCES, -EPERM   not allowed: needs root, or the kernel is locked down
 *   -ENOMEM and others from opening and mapping files
 */
int vgpu_open(const vgpu_paths *paths, const char *name, vgpu_device **ret);

/*
 * vgpu_close() - close a handle
 * @dev: a handle, or NULL
 *
 * Releases the lock and everything else that belongs to @dev. A request that
 * is still running goes on, and nobody gets its answer.
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
 * of a second.
 *
 * Returns 0, or a negative errno:
 *   -ENOLCK      the lock is not held
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
 * The device must be bound to uio_pci_generic, by vgpu_bind_uio() or by the
 * administrator. Interrupts are switched on in the device for the length of each
 * wait only, so handles with and without them can share it.
 *
 * Returns 0 (also when it was done before), or a negative errno:
 *   -ENXIO   the device is not bound to uio_pci_generic
 *   -EACCES, -EPERM and others from opening /dev/uioN and the PCI configuration
 */
int vgpu_enable_interrupts(vgpu_device *dev);

/* vgpu_disable_interrupts() - wait by polling again, as after vgpu_open() */
void vgpu_disable_interrupts(vgpu_device *dev);

/* ---- Registers ------------------------------------------------------------ */

/*
 * vgpu_read_register(), vgpu_write_register() - one 4-byte access
 * @offset: in BAR0, a multiple of 4, below VGPU_BAR0_SIZE
 *
 * For programs that show or test the device. They do not ask for the lock: who
 * writes should hold it.
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
