/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Linkers. */
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "session-link.h"
#include "session-store.h"

static void link_freep(SessionLink **link)
{
    if (*link)
        session_link_free(*link);
}

/* ---- Life --------------------------------------------------------------------------------------
 */

void session_link_free(SessionLink *link)
{
    jit_logs_close(&link->logs);
    free(link);
}

CUresult session_link_end(Session *s, SessionLink *link)
{
    SessionStore *store = session_store(s);
    CUresult result;

    session_store_remove(s, SESSION_LINK, link->id, link);
    LIST_REMOVE(link, link);
    store->n_links--;
    store->links_size -= link->size;
    result = session_driver(s)->link_destroy(link->handle);
    session_link_free(link);
    return result;
}

static CUresult link_find(Session *s, uint32_t id, SessionLink **ret)
{
    void *link;
    CUresult result = session_find(s, SESSION_LINK, id, &link);

    if (result == CUDA_SUCCESS)
        *ret = link;
    return result;
}

static CUresult link_read_options(const VGPUSessionLink *p, JitOptions *ret)
{
    CUresult result = CUDA_SUCCESS;

    if (p->n_options > VGPU_SESSION_JIT_OPTIONS)
        return CUDA_ERROR_INVALID_VALUE;
    for (uint32_t i = 0; result == CUDA_SUCCESS && i < p->n_options; i++)
        result = jit_options_add(ret, p->option[i].option, p->option[i].value);
    return result;
}

CUresult session_op_LINK_CREATE(Session *s, SessionCall *call)
{
    const VGPUSessionLink *p = call->parameters;
    const CudaSessionDriver *driver = session_driver(s);
    SessionStore *store = session_store(s);
    CLEANUP(link_freep) SessionLink *link = NULL;
    CUresult result;

    if (store->n_links >= SESSION_LINKS_MAX)
        return CUDA_ERROR_OUT_OF_MEMORY;
    link = calloc(1, sizeof(*link));
    if (!link)
        return CUDA_ERROR_OUT_OF_MEMORY;
    link->id = p->id;
    link->context = call->record.context;
    result = link_read_options(p, &link->options);
    if (result == CUDA_SUCCESS)
        result = jit_logs_open(&link->logs, p->info_log.size, p->error_log.size);
    if (result != CUDA_SUCCESS)
        return result;
    jit_options_add_logs(&link->options, &link->logs);
    result = driver->link_create(link->options.n, link->options.option, link->options.value,
                                 &link->handle);
    if (result != CUDA_SUCCESS)
        return result;
    result = session_add(s, SESSION_LINK, p->id, link);
    if (result != CUDA_SUCCESS) {
        (void) driver->link_destroy(link->handle);
        return result;
    }
    LIST_INSERT_HEAD(&store->links, link, link);
    store->n_links++;
    (void) TAKE_PTR(link);
    return CUDA_SUCCESS;
}

CUresult session_op_LINK_DESTROY(Session *s, SessionCall *call)
{
    const VGPUSessionLink *p = call->parameters;
    SessionLink *link;
    CUresult result = link_find(s, p->id, &link);

    return result == CUDA_SUCCESS ? session_link_end(s, link) : result;
}

/* ---- Linking -----------------------------------------------------------------------------------
 */

/* A name, with its 0 at its end and nowhere else; or none */
static CUresult link_read_name(const SessionCall *call, const char **ret)
{
    const VGPUSessionLink *p = call->parameters;

    *ret = NULL;
    if (p->name_size == 0)
        return CUDA_SUCCESS;
    if (p->name_size > VGPU_SESSION_NAME_MAX || p->name_size > call->more_size ||
        memchr(call->more, 0, p->name_size) != call->more + p->name_size - 1)
        return CUDA_ERROR_INVALID_VALUE;
    *ret = (const char *) call->more;
    return CUDA_SUCCESS;
}

/* All that LINK_ADD and LINK_COMPLETE have in common */
static CUresult link_begin(Session *s, const VGPUSessionLink *p, SessionLink **ret)
{
    CUresult result = link_find(s, p->id, ret);

    if (result == CUDA_SUCCESS)
        result = jit_logs_may_go(s, &p->info_log, &p->error_log);
    /* The driver has given all that there is to have. */
    if (result == CUDA_SUCCESS && (*ret)->is_complete)
        result = CUDA_ERROR_INVALID_VALUE;
    return result;
}

CUresult session_op_LINK_ADD(Session *s, SessionCall *call)
{
    const VGPUSessionLink *p = call->parameters;
    SessionStore *store = session_store(s);
    JitOptions options = {0};
    SessionImage *image;
    SessionLink *link;
    const char *name;
    CUresult result;

    if (p->type > CU_JIT_INPUT_LIBRARY)
        return CUDA_ERROR_INVALID_VALUE;
    result = link_begin(s, p, &link);
    if (result == CUDA_SUCCESS)
        result = link_read_name(call, &name);
    if (result == CUDA_SUCCESS)
        result = link_read_options(p, &options);
    if (result == CUDA_SUCCESS)
        result = session_images_find(&store->images, p->key, &image);
    if (result != CUDA_SUCCESS)
        return result;
    if (image->size > SESSION_LINK_BYTES_MAX - store->links_size)
        return CUDA_ERROR_OUT_OF_MEMORY;

    link->size += image->size;
    store->links_size += image->size;
    result = session_driver(s)->link_add_data(link->handle, (int) p->type, image->data,
                                              (size_t) image->size, name, options.n, options.option,
                                              options.value);
    jit_logs_deliver(s, call, &link->logs, &p->info_log, &p->error_log);
    return result;
}

CUresult session_op_LINK_COMPLETE(Session *s, SessionCall *call)
{
    const VGPUSessionLink *p = call->parameters;
    SessionLink *link;
    void *cubin;
    size_t size;
    CUresult result = link_begin(s, p, &link);

    if (result != CUDA_SUCCESS)
        return result;
    result = session_driver(s)->link_complete(link->handle, &cubin, &size);
    jit_logs_deliver(s, call, &link->logs, &p->info_log, &p->error_log);
    if (result != CUDA_SUCCESS)
        return result;
    link->is_complete = true;
    result = session_images_add(&session_store(s)->images, p->key, cubin, size);
    if (result != CUDA_SUCCESS)
        return result;
    link->result_size = size;
    memcpy(link->key, p->key, sizeof(link->key));
    call->value[2] = size;
    return CUDA_SUCCESS;
}

CUresult session_op_LINK_READ(Session *s, SessionCall *call)
{
    const VGPUSessionLink *p = call->parameters;
    unsigned char *into = session_window(s, p->into.offset, p->into.size);
    SessionImage *image;
    SessionLink *link;
    CUresult result = link_find(s, p->id, &link);

    if (result != CUDA_SUCCESS)
        return result;
    if (!link->is_complete || !into || p->into.size == 0 || p->at > link->result_size ||
        p->into.size > link->result_size - p->at)
        return CUDA_ERROR_INVALID_VALUE;
    result = session_images_find(&session_store(s)->images, link->key, &image);
    if (result == CUDA_SUCCESS)
        memcpy(into, image->data + p->at, p->into.size);
    return result;
}
