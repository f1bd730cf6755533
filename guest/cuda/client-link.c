/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The linker. The host keeps what it makes as an image under a key of this process's choosing, and
 * the program gets the bytes. When it loads a module from these, they are not sent: their key is
 * translated to the one that the host has them by.
 */
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "client-internal.h"

/* An image that the host has made. */
struct client_linked {
    LIST_ENTRY(client_linked) link;
    uint8_t key[32];  /* of its bytes (vgpu_session_image_key()) */
    uint8_t host[32]; /* what the host has it by */
};

static VGPUSessionLink parameters_of(uint32_t id, const VGPUSessionLink *options)
{
    VGPUSessionLink p = {.id = id};

    if (options) {
        p.n_options = options->n_options;
        memcpy(p.option, options->option, sizeof(p.option));
    }
    return p;
}

/* A call that writes the linker's logs so far */
static int call_with_logs(vgpu_session *s, uint16_t opcode, const vgpu_session_from *from,
                          VGPUSessionLink *p, const char *name, vgpu_session_logs *logs,
                          VGPUSessionReply *ret)
{
    client_logs room;
    int r = client_logs_open(s, logs, &room);

    if (r == 0) {
        p->info_log = room.info_bytes;
        p->error_log = room.error_bytes;
        r = vgpu_session_call(s, opcode, from, p, sizeof(*p), name, p->name_size, ret);
        client_logs_take(&room, ret);
    }
    client_logs_close(s, &room);
    return r;
}

int vgpu_session_link_create(vgpu_session *s, const vgpu_session_from *from,
                             const VGPUSessionLink *options, const vgpu_session_logs *logs,
                             uint32_t *ret_id)
{
    VGPUSessionLink p = parameters_of(0, options);
    int r = vgpu_session_id_take(s, VGPU_SESSION_LINKS, &p.id);

    if (r != 0)
        return r;
    if (logs && logs->info)
        p.info_log.size = logs->info_size;
    if (logs && logs->error)
        p.error_log.size = logs->error_size;
    r = vgpu_session_call(s, VGPU_SESSION_OP_LINK_CREATE, from, &p, sizeof(p), NULL, 0, NULL);
    if (r != 0)
        vgpu_session_id_give(s, VGPU_SESSION_LINKS, p.id);
    else
        *ret_id = p.id;
    return r;
}

int vgpu_session_link_add(vgpu_session *s, const vgpu_session_from *from, uint32_t id,
                          uint32_t type, const void *data, size_t size, const char *name,
                          const VGPUSessionLink *options, vgpu_session_logs *logs)
{
    VGPUSessionLink p = parameters_of(id, options);
    VGPUSessionReply reply = {0};
    int r;

    p.type = type;
    if (name && strlen(name) < VGPU_SESSION_NAME_MAX)
        p.name_size = (uint32_t) strlen(name) + 1;
    r = vgpu_session_image_offer(s, data, size, p.key);
    return r == 0 ? call_with_logs(s, VGPU_SESSION_OP_LINK_ADD, from, &p, name, logs, &reply) : r;
}

/* ---- The result -------------------------------------------------------------------- */

/* No image of this process has such a key by its bytes, for that has its size at the end. */
static void make_key(vgpu_session *s, uint8_t key[static 32])
{
    uint64_t number = __atomic_add_fetch(&s->n_linked, 1, __ATOMIC_RELAXED);

    memset(key, 0xff, 32);
    memcpy(key, &number, sizeof(number));
}

static int read_result(vgpu_session *s, const vgpu_session_from *from, uint32_t id, uint8_t *to,
                       size_t size)
{
    VGPUSessionLink p = {.id = id};
    client_piece *piece;
    size_t room;
    int r = client_piece_take(s, &piece, &room);

    if (r != 0)
        return r;
    while (r == 0 && p.at < size) {
        size_t n = size - p.at < room ? (size_t) (size - p.at) : room;

        (void) vgpu_session_window_bytes(s, piece->memory, n, &p.into);
        r = vgpu_session_call(s, VGPU_SESSION_OP_LINK_READ, from, &p, sizeof(p), NULL, 0, NULL);
        if (r == 0)
            memcpy(to + p.at, piece->memory, n);
        p.at += n;
    }
    client_piece_give(s, piece);
    return r;
}

static int remember(vgpu_session *s, const uint8_t host[static 32], const void *cubin, size_t size)
{
    struct client_linked *linked = calloc(1, sizeof(*linked));

    if (!linked)
        return VGPU_CUDA_ERROR_OUT_OF_MEMORY;
    vgpu_session_image_key(cubin, size, linked->key);
    memcpy(linked->host, host, sizeof(linked->host));
    pthread_mutex_lock(&s->memory_lock);
    LIST_INSERT_HEAD(&s->linked, linked, link);
    pthread_mutex_unlock(&s->memory_lock);
    return 0;
}

int vgpu_session_link_complete(vgpu_session *s, const vgpu_session_from *from, uint32_t id,
                               vgpu_session_logs *logs, void **ret_cubin, size_t *ret_size)
{
    CLEANUP_FREE uint8_t *cubin = NULL;
    VGPUSessionLink p = {.id = id};
    VGPUSessionReply reply = {0};
    size_t size;
    int r;

    make_key(s, p.key);
    r = call_with_logs(s, VGPU_SESSION_OP_LINK_COMPLETE, from, &p, NULL, logs, &reply);
    if (r != 0)
        return r;
    if (reply.value[2] == 0 || reply.value[2] > VGPU_SESSION_LINKED_MAX)
        return VGPU_CUDA_ERROR_UNKNOWN;
    size = (size_t) reply.value[2];
    cubin = malloc(size);
    if (!cubin)
        return VGPU_CUDA_ERROR_OUT_OF_MEMORY;
    r = read_result(s, from, id, cubin, size);
    if (r == 0)
        r = remember(s, p.key, cubin, size);
    if (r != 0)
        return r;
    *ret_cubin = TAKE_PTR(cubin);
    *ret_size = size;
    return 0;
}

int vgpu_session_link_destroy(vgpu_session *s, const vgpu_session_from *from, uint32_t id)
{
    const VGPUSessionLink p = {.id = id};
    int r = vgpu_session_call(s, VGPU_SESSION_OP_LINK_DESTROY, from, &p, sizeof(p), NULL, 0, NULL);

    if (r == 0)
        vgpu_session_id_give(s, VGPU_SESSION_LINKS, id);
    return r;
}

bool client_linked_translate(vgpu_session *s, uint8_t key[static 32])
{
    const struct client_linked *linked;
    bool found = false;

    pthread_mutex_lock(&s->memory_lock);
    LIST_FOREACH(linked, &s->linked, link)
    if (memcmp(linked->key, key, sizeof(linked->key)) == 0) {
        memcpy(key, linked->host, sizeof(linked->host));
        found = true;
        break;
    }
    pthread_mutex_unlock(&s->memory_lock);
    return found;
}

void client_linked_destroy(vgpu_session *s)
{
    struct client_linked *linked;

    while ((linked = LIST_FIRST(&s->linked))) {
        LIST_REMOVE(linked, link);
        free(linked);
    }
}
