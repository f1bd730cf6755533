/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The linker, which is the executor's. Its results and texts come here. */
#include <stdlib.h>
#include <string.h>

#include "cuda-api-streams.h"
#include "image-size.h"
#include "module.h"

/* CUjitInputType */
enum { LINK_PTX = 1, LINK_LIBRARY = 4 };

typedef struct LibLink {
    CUlinkState handle;
    LibContext *context;
    uint64_t opened; /* of the context: it ends with that */
    uint32_t number;
    pthread_mutex_t lock; /* one call at a time */
    ModuleOptions options;
    void *cubin; /* the program's until it destroys the linker */
} LibLink;

static CUresult link_of(CUlinkState handle, LibCall *call, LibLink **ret)
{
    LibLink *link;
    CUresult r = libcuda_enter(call);

    if (r != CUDA_SUCCESS)
        return r;
    link = handle_object(HANDLE_LINK, handle);
    if (!link)
        return CUDA_ERROR_INVALID_HANDLE;
    call->context = link->context;
    call->from.context = __atomic_load_n(&link->context->number, __ATOMIC_ACQUIRE);
    if (call->from.context != 0 &&
        __atomic_load_n(&link->context->opened, __ATOMIC_RELAXED) != link->opened)
        call->from.context = 0;
    *ret = link;
    return CUDA_SUCCESS;
}

static CUresult link_of_alive(CUlinkState handle, LibCall *call, LibLink **ret)
{
    CUresult r = link_of(handle, call, ret);

    return r == CUDA_SUCCESS && call->from.context == 0 ? CUDA_ERROR_CONTEXT_IS_DESTROYED : r;
}

static void link_free(LibLink *link)
{
    handle_end(link->handle);
    pthread_mutex_destroy(&link->lock);
    free(link->cubin);
    free(link);
}

static LibLink *link_new(LibContext *c)
{
    LibLink *link = calloc(1, sizeof(*link));

    if (!link)
        return NULL;
    link->handle = handle_new(HANDLE_LINK, link);
    if (!link->handle) {
        free(link);
        return NULL;
    }
    link->context = c;
    link->opened = c->opened;
    pthread_mutex_init(&link->lock, NULL);
    return link;
}

CUresult cuLinkCreate_v2(unsigned n, int *options, void **values, CUlinkState *ret)
{
    VGPUSessionLink numbers;
    ModuleOptions read;
    LibLink *link;
    LibCall call;
    CUresult r = libcuda_enter_context(&call);

    if (r != CUDA_SUCCESS)
        return r;
    if (!ret || (n > 0 && (!options || !values)))
        return CUDA_ERROR_INVALID_VALUE;
    r = module_options_read(n, options, values, &read);
    if (r != CUDA_SUCCESS)
        return r;
    link = link_new(call.context);
    if (!link)
        return CUDA_ERROR_OUT_OF_MEMORY;
    link->options = read;
    numbers = module_options_link(&read);
    r = vgpu_session_link_create(call.session, &call.from, &numbers, &link->options.logs,
                                 &link->number);
    module_options_answer(&link->options);
    if (r != CUDA_SUCCESS) {
        link_free(link);
        return r;
    }
    *ret = link->handle;
    return CUDA_SUCCESS;
}

CUresult cuLinkCreate(unsigned n, int *options, void **values, CUlinkState *ret)
{
    return cuLinkCreate_v2(n, options, values, ret);
}

CUresult cuLinkDestroy(CUlinkState handle)
{
    LibLink *link;
    LibCall call;
    CUresult r = link_of(handle, &call, &link);

    if (r != CUDA_SUCCESS)
        return r;
    if (call.from.context != 0)
        r = vgpu_session_link_destroy(call.session, &call.from, link->number);
    link_free(link);
    return r;
}

/* ---- Inputs ------------------------------------------------------------------------------------
 */

typedef struct LinkInput {
    int type;
    const void *data;
    size_t size;
    const char *name;
    ModuleOptions options; /* for it alone */
} LinkInput;

/* Texts and times are of the whole linker. */
static CUresult link_read_options(unsigned n, int *options, void **values, LinkInput *input)
{
    const ModuleOptions *o = &input->options;
    CUresult r;

    if (n > 0 && (!options || !values))
        return CUDA_ERROR_INVALID_VALUE;
    r = module_options_read(n, options, values, &input->options);
    return r == CUDA_SUCCESS && (o->logs.info || o->logs.error || o->wall_time)
               ? CUDA_ERROR_INVALID_VALUE
               : r;
}

static CUresult link_add(const LibCall *call, LibLink *link, const LinkInput *input)
{
    const VGPUSessionLink numbers = module_options_link(&input->options);
    CUresult r;

    pthread_mutex_lock(&link->lock);
    module_options_begin(&link->options);
    r = vgpu_session_link_add(call->session, &call->from, link->number, (uint32_t) input->type,
                              input->data, input->size, input->name, &numbers, &link->options.logs);
    module_options_answer(&link->options);
    pthread_mutex_unlock(&link->lock);
    return r;
}

/* A text ends with 0, which a program may not count. */
static CUresult link_add_text(const LibCall *call, LibLink *link, const LinkInput *input)
{
    LinkInput whole = *input;
    char *text = malloc(input->size + 1);
    CUresult r;

    if (!text)
        return CUDA_ERROR_OUT_OF_MEMORY;
    memcpy(text, input->data, input->size);
    text[input->size] = '\0';
    whole.data = text;
    whole.size = input->size + 1;
    r = link_add(call, link, &whole);
    free(text);
    return r;
}

static bool link_lacks_end(const LinkInput *input)
{
    return input->type == LINK_PTX && ((const char *) input->data)[input->size - 1] != '\0';
}

CUresult cuLinkAddData_v2(CUlinkState handle, int type, void *data, size_t size, const char *name,
                          unsigned n, int *options, void **values)
{
    LinkInput input = {.type = type, .data = data, .size = size, .name = name};
    LibLink *link;
    LibCall call;
    CUresult r = link_of_alive(handle, &call, &link);

    if (r != CUDA_SUCCESS)
        return r;
    if (type < 0 || type > LINK_LIBRARY || !data || size == 0)
        return CUDA_ERROR_INVALID_VALUE;
    r = link_read_options(n, options, values, &input);
    if (r != CUDA_SUCCESS)
        return r;
    return link_lacks_end(&input) ? link_add_text(&call, link, &input)
                                  : link_add(&call, link, &input);
}

CUresult cuLinkAddData(CUlinkState state, int type, void *data, size_t size, const char *name,
                       unsigned n, int *options, void **values)
{
    return cuLinkAddData_v2(state, type, data, size, name, n, options, values);
}

/* The file is the guest's. */
CUresult cuLinkAddFile_v2(CUlinkState handle, int type, const char *path, unsigned n, int *options,
                          void **values)
{
    LibLink *link;
    LibCall call;
    void *bytes;
    size_t size;
    CUresult r = link_of_alive(handle, &call, &link);

    if (r != CUDA_SUCCESS)
        return r;
    if (!path || type < 0 || type > LINK_LIBRARY)
        return CUDA_ERROR_INVALID_VALUE;
    r = image_read(path, &bytes, &size);
    if (r != CUDA_SUCCESS)
        return r;
    r = cuLinkAddData_v2(handle, type, bytes, size, path, n, options, values);
    free(bytes);
    return r;
}

CUresult cuLinkAddFile(CUlinkState state, int type, const char *path, unsigned n, int *options,
                       void **values)
{
    return cuLinkAddFile_v2(state, type, path, n, options, values);
}

/* ---- The result --------------------------------------------------------------------------------
 */

static CUresult link_complete(const LibCall *call, LibLink *link, void **ret, size_t *ret_size)
{
    CUresult r;

    if (link->cubin)
        return CUDA_ERROR_INVALID_VALUE;
    module_options_begin(&link->options);
    r = vgpu_session_link_complete(call->session, &call->from, link->number, &link->options.logs,
                                   &link->cubin, ret_size);
    module_options_answer(&link->options);
    if (r == CUDA_SUCCESS)
        *ret = link->cubin;
    return r;
}

CUresult cuLinkComplete(CUlinkState handle, void **ret, size_t *ret_size)
{
    size_t size;
    LibLink *link;
    LibCall call;
    CUresult r = link_of_alive(handle, &call, &link);

    if (r != CUDA_SUCCESS)
        return r;
    if (!ret)
        return CUDA_ERROR_INVALID_VALUE;
    pthread_mutex_lock(&link->lock);
    r = link_complete(&call, link, ret, &size);
    pthread_mutex_unlock(&link->lock);
    if (r == CUDA_SUCCESS && ret_size)
        *ret_size = size;
    return r;
}
