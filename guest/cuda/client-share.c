/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Memory that processes share. What one gives to another is a token, as bytes or in a descriptor.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cleanup.h"
#include "client-internal.h"

#define HANDLE_MAGIC UINT64_C(0x656c646e61487056)     /* "VpHandle" */
#define DESCRIPTOR_MAGIC UINT64_C(0x6c61636973796850) /* "Physical" */
#define DESCRIPTOR_SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

typedef struct share_handle {
    uint64_t magic;
    uint64_t token[2];
    uint64_t size;   /* bytes of the allocation */
    uint64_t offset; /* of the pointer in it */
    uint64_t reserved[3];
} share_handle;

_Static_assert(sizeof(share_handle) == sizeof(vgpu_session_handle), "a handle's bytes");

static void fill(share_handle *handle, uint64_t magic, const VGPUSessionReply *reply,
                 uint64_t offset)
{
    *handle = (share_handle){
        .magic = magic,
        .token = {reply->value[0], reply->value[1]},
        .size = reply->value[2],
        .offset = offset,
    };
}

/* What another process gave may be anything. */
static bool is_good(const share_handle *handle, uint64_t magic)
{
    return handle->magic == magic && handle->offset <= handle->size && handle->reserved[0] == 0 &&
           handle->reserved[1] == 0 && handle->reserved[2] == 0;
}

/* ---- Allocated memory ------------------------------------------------------------ */

int vgpu_session_share_memory(vgpu_session *s, const vgpu_session_from *from, uint64_t address,
                              uint64_t offset, vgpu_session_handle *ret)
{
    const VGPUSessionShare parameters = {.address = address};
    VGPUSessionReply reply;
    share_handle handle;
    int r = vgpu_session_call(s, VGPU_SESSION_OP_SHARE_MEMORY, from, &parameters,
                              sizeof(parameters), NULL, 0, &reply);

    if (r != 0)
        return r;
    if (offset > reply.value[2])
        return VGPU_CUDA_ERROR_INVALID_VALUE;
    fill(&handle, HANDLE_MAGIC, &reply, offset);
    memcpy(ret->bytes, &handle, sizeof(ret->bytes));
    return 0;
}

int vgpu_session_taken_free(vgpu_session *s, const vgpu_session_from *from, uint64_t address)
{
    const VGPUSessionShare parameters = {.address = address};

    client_disclaim_address(s, address);
    return vgpu_session_call(s, VGPU_SESSION_OP_TAKEN_FREE, from, &parameters, sizeof(parameters),
                             NULL, 0, NULL);
}

int vgpu_session_take_memory(vgpu_session *s, const vgpu_session_from *from,
                             const vgpu_session_handle *bytes, vgpu_session_taken *ret)
{
    VGPUSessionShare parameters = {0};
    VGPUSessionReply reply;
    share_handle handle;
    int r;

    memcpy(&handle, bytes->bytes, sizeof(handle));
    if (!is_good(&handle, HANDLE_MAGIC))
        return VGPU_CUDA_ERROR_INVALID_VALUE;
    memcpy(parameters.token, handle.token, sizeof(parameters.token));
    r = vgpu_session_call(s, VGPU_SESSION_OP_TAKE_MEMORY, from, &parameters, sizeof(parameters),
                          NULL, 0, &reply);
    if (r != 0)
        return r;
    r = VGPU_CUDA_ERROR_INVALID_VALUE;
    if (handle.offset <= reply.value[1])
        r = client_claim_address(s, reply.value[0], reply.value[1], from ? from->context : 0, 0);
    if (r != 0) {
        const VGPUSessionShare unused = {.address = reply.value[0]};

        vgpu_session_post(s, VGPU_SESSION_OP_TAKEN_FREE, from, &unused, sizeof(unused), NULL, 0);
        return r;
    }
    *ret = (vgpu_session_taken){
        .address = reply.value[0], .size = reply.value[1], .offset = handle.offset};
    return 0;
}

/* ---- Physical memory ------------------------------------------------------------- */

/* Returns a descriptor with these bytes, which nobody can change, or -1. */
static int make_descriptor(const share_handle *handle)
{
    CLEANUP_CLOSE int fd = memfd_create("vgpu-memory", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    if (fd < 0 || pwrite(fd, handle, sizeof(*handle), 0) != sizeof(*handle) ||
        fcntl(fd, F_ADD_SEALS, DESCRIPTOR_SEALS) < 0)
        return -1;
    return TAKE_FD(fd);
}

static bool read_descriptor(int fd, share_handle *ret)
{
    /* Of no other kind of file there are seals. */
    return (fcntl(fd, F_GET_SEALS) & DESCRIPTOR_SEALS) == DESCRIPTOR_SEALS &&
           pread(fd, ret, sizeof(*ret), 0) == sizeof(*ret) && is_good(ret, DESCRIPTOR_MAGIC);
}

int vgpu_session_share_physical(vgpu_session *s, const vgpu_session_from *from, uint32_t id,
                                int *ret_fd)
{
    const VGPUSessionShare parameters = {.id = id};
    VGPUSessionReply reply;
    share_handle handle;
    int r = vgpu_session_call(s, VGPU_SESSION_OP_SHARE_PHYSICAL, from, &parameters,
                              sizeof(parameters), NULL, 0, &reply);
    int fd;

    if (r != 0)
        return r;
    fill(&handle, DESCRIPTOR_MAGIC, &reply, 0);
    fd = make_descriptor(&handle);
    if (fd < 0)
        return VGPU_CUDA_ERROR_OUT_OF_MEMORY;
    *ret_fd = fd;
    return 0;
}

int vgpu_session_take_physical(vgpu_session *s, const vgpu_session_from *from, int fd,
                               uint32_t *ret_id, uint64_t *ret_size, uint32_t *ret_flags)
{
    VGPUSessionShare parameters = {0};
    VGPUSessionReply reply;
    share_handle handle;
    int r;

    if (!read_descriptor(fd, &handle))
        return VGPU_CUDA_ERROR_INVALID_VALUE;
    memcpy(parameters.token, handle.token, sizeof(parameters.token));
    r = vgpu_session_id_take(s, VGPU_SESSION_PHYSICALS, &parameters.id);
    if (r != 0)
        return r;
    r = vgpu_session_call(s, VGPU_SESSION_OP_TAKE_PHYSICAL, from, &parameters, sizeof(parameters),
                          NULL, 0, &reply);
    if (r != 0) {
        vgpu_session_id_give(s, VGPU_SESSION_PHYSICALS, parameters.id);
        return r;
    }
    *ret_id = parameters.id;
    *ret_size = reply.value[1];
    *ret_flags = (uint32_t) reply.value[2];
    return 0;
}
