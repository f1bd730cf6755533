/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Images, and what is in them. */
#include <stdlib.h>
#include <string.h>

#include "client-internal.h"

/* ---- Keys ------------------------------------------------------------------------ */

/*
 * Two hashes of 64 bits, made in one pass, each of all the bytes: each has four lanes, which take
 * every fourth word, by an odd factor of its own and a turn. An image is at most a few gigabytes of
 * code that the process has itself: the key has to tell its images apart, and to resist nobody.
 */
#define LANES 4u

typedef struct image_hash {
    uint64_t lane[2][LANES];
} image_hash;

static const uint64_t factor[2][LANES] = {
    {UINT64_C(0x9e3779b97f4a7c15), UINT64_C(0xd1b54a32d192ed03), UINT64_C(0x8cb92ba72f3d8dd7),
     UINT64_C(0xaef17502108ef2d9)},
    {UINT64_C(0xf1357aea2e62a9c5), UINT64_C(0xc6a4a7935bd1e995), UINT64_C(0xda942042e4dd58b5),
     UINT64_C(0xbf58476d1ce4e5b9)},
};

static uint64_t turn(uint64_t x, unsigned int bits)
{
    return x << bits | x >> (64 - bits);
}

/* Each bit of the result depends on each bit of @x. */
static uint64_t finish(uint64_t x)
{
    x = (x ^ x >> 32) * factor[0][0];
    x = (x ^ x >> 29) * factor[1][2];
    return x ^ x >> 32;
}

static void hash_block(image_hash *h, const uint8_t block[static 8 * LANES])
{
    uint64_t word[LANES];

    memcpy(word, block, sizeof(word));
    for (unsigned int i = 0; i < LANES; i++) {
        h->lane[0][i] = turn((h->lane[0][i] ^ word[i]) * factor[0][i], 29);
        h->lane[1][i] = turn((h->lane[1][i] + word[i]) * factor[1][i], 41) ^ word[i];
    }
}

static uint64_t hash_end(const uint64_t lane[static LANES], uint64_t seed)
{
    uint64_t x = seed;

    for (unsigned int i = 0; i < LANES; i++)
        x = finish(x ^ lane[i]) + lane[i];
    return x;
}

void vgpu_session_image_key(const void *image, size_t size, uint8_t ret[static 32])
{
    const uint8_t *bytes = image;
    uint8_t last[8 * LANES] = {0};
    size_t whole = size - size % sizeof(last);
    uint64_t key[4];
    image_hash h;

    memcpy(h.lane, factor, sizeof(h.lane));
    for (size_t at = 0; at < whole; at += sizeof(last))
        hash_block(&h, bytes + at);
    if (size > whole) {
        memcpy(last, bytes + whole, size - whole);
        hash_block(&h, last);
    }

    key[0] = hash_end(h.lane[0], size);
    key[1] = hash_end(h.lane[1], ~(uint64_t) size);
    key[2] = finish(turn(key[0], 17) + key[1]);
    key[3] = size;
    memcpy(ret, key, sizeof(key));
}

/* ---- Sending --------------------------------------------------------------------- */

/* How many pieces are on their way */
#define DEPTH 2u

typedef struct sending {
    vgpu_session *s;
    VGPUSessionImage parameters;
    client_piece *pieces[DEPTH];
    uint32_t slots[DEPTH];
    unsigned int n;
} sending;

static int sending_finish(sending *out)
{
    int r = vgpu_session_finish(out->s, out->slots[0], NULL);

    /* Of a session that has ended nobody takes it again. */
    client_piece_give(out->s, out->pieces[0]);
    out->n--;
    memmove(out->pieces, out->pieces + 1, out->n * sizeof(out->pieces[0]));
    memmove(out->slots, out->slots + 1, out->n * sizeof(out->slots[0]));
    return r;
}

static int sending_piece(sending *out, const uint8_t *image)
{
    VGPUSessionImage *p = &out->parameters;
    client_piece *piece;
    size_t room, n;
    int r;

    if (out->n == DEPTH) {
        r = sending_finish(out);
        if (r != 0)
            return r;
    }
    r = client_piece_take(out->s, &piece, &room);
    if (r != 0)
        return r;

    n = p->size - p->at < room ? (size_t) (p->size - p->at) : room;
    memcpy(piece->memory, image + p->at, n);
    (void) vgpu_session_window_bytes(out->s, piece->memory, n, &p->piece);
    r = vgpu_session_start(out->s, VGPU_SESSION_OP_IMAGE_PIECE, NULL, p, sizeof(*p), NULL, 0,
                           &out->slots[out->n]);
    if (r != 0) {
        client_piece_give(out->s, piece);
        return r;
    }
    out->pieces[out->n++] = piece;
    p->at += n;
    return 0;
}

int vgpu_session_image_send(vgpu_session *s, const void *image, size_t size,
                            const uint8_t key[static 32])
{
    sending out = {.s = s, .parameters = {.size = size}};
    VGPUSessionReply reply;
    int r;

    if (size == 0)
        return VGPU_CUDA_ERROR_INVALID_IMAGE;
    memcpy(out.parameters.key, key, sizeof(out.parameters.key));
    r = vgpu_session_call(s, VGPU_SESSION_OP_IMAGE_BEGIN, NULL, &out.parameters,
                          sizeof(out.parameters), NULL, 0, &reply);
    if (r != 0 || reply.value[0] == 1)
        return r;

    while (r == 0 && out.parameters.at < size)
        r = sending_piece(&out, image);
    while (out.n > 0) {
        int end = sending_finish(&out);

        if (r == 0)
            r = end;
    }
    return r;
}

/* ---- Modules --------------------------------------------------------------------- */

static int log_open(vgpu_session *s, char *text, size_t size, void **ret,
                    VGPUSessionBytes *ret_bytes)
{
    int r;

    if (!text || size == 0)
        return 0;
    text[0] = '\0';
    r = vgpu_session_window_alloc(s, size, 0, ret);
    if (r == 0)
        (void) vgpu_session_window_bytes(s, *ret, size, ret_bytes);
    return r;
}

static void log_take(char *text, size_t size, const void *from, uint64_t length)
{
    if (!from)
        return;
    if (length > size - 1)
        length = size - 1;
    memcpy(text, from, (size_t) length);
    text[length] = '\0';
}

int client_logs_open(vgpu_session *s, vgpu_session_logs *logs, client_logs *ret)
{
    int r;

    *ret = (client_logs){.logs = logs};
    if (!logs)
        return 0;
    r = log_open(s, logs->info, logs->info_size, &ret->info, &ret->info_bytes);
    if (r == 0)
        r = log_open(s, logs->error, logs->error_size, &ret->error, &ret->error_bytes);
    return r;
}

void client_logs_take(const client_logs *room, const VGPUSessionReply *reply)
{
    vgpu_session_logs *logs = room->logs;

    if (!logs)
        return;
    log_take(logs->info, logs->info_size, room->info, reply->value[0]);
    log_take(logs->error, logs->error_size, room->error, reply->value[1]);
}

void client_logs_close(vgpu_session *s, client_logs *room)
{
    /* The host of a session that has ended may still write there. */
    if (client_usable(s) != 0)
        return;
    vgpu_session_window_free(s, room->info);
    vgpu_session_window_free(s, room->error);
}

int vgpu_session_image_offer(vgpu_session *s, const void *image, size_t size,
                             uint8_t ret_key[static 32])
{
    vgpu_session_image_key(image, size, ret_key);
    if (client_linked_translate(s, ret_key))
        return 0;
    return vgpu_session_image_send(s, image, size, ret_key);
}

static int module_load_logged(vgpu_session *s, const vgpu_session_from *from,
                              VGPUSessionModule *parameters, vgpu_session_logs *logs)
{
    VGPUSessionReply reply = {0};
    client_logs room;
    int r;

    r = client_logs_open(s, logs, &room);
    if (r == 0) {
        parameters->info_log = room.info_bytes;
        parameters->error_log = room.error_bytes;
        r = vgpu_session_call(s, VGPU_SESSION_OP_MODULE_LOAD, from, parameters, sizeof(*parameters),
                              NULL, 0, &reply);
        client_logs_take(&room, &reply);
        if (r == 0 && reply.value[2] != 0)
            client_output_load(s, parameters->id);
    }
    client_logs_close(s, &room);
    return r;
}

int vgpu_session_module_load_key(vgpu_session *s, const vgpu_session_from *from,
                                 const uint8_t key[static 32], const VGPUSessionModule *module,
                                 vgpu_session_logs *logs, uint32_t *ret_id)
{
    VGPUSessionModule parameters = {0};
    int r;

    if (module)
        parameters = *module;
    parameters.info_log = parameters.error_log = (VGPUSessionBytes){0};
    memcpy(parameters.key, key, sizeof(parameters.key));
    r = vgpu_session_id_take(s, VGPU_SESSION_MODULES, &parameters.id);
    if (r != 0)
        return r;

    r = module_load_logged(s, from, &parameters, logs);
    if (r != 0)
        vgpu_session_id_give(s, VGPU_SESSION_MODULES, parameters.id);
    else
        *ret_id = parameters.id;
    return r;
}

int vgpu_session_module_load(vgpu_session *s, const vgpu_session_from *from, const void *image,
                             size_t size, const VGPUSessionModule *module, vgpu_session_logs *logs,
                             uint32_t *ret_id)
{
    uint8_t key[32];
    int r;

    r = vgpu_session_image_offer(s, image, size, key);
    return r == 0 ? vgpu_session_module_load_key(s, from, key, module, logs, ret_id) : r;
}

int vgpu_session_module_unload(vgpu_session *s, const vgpu_session_from *from, uint32_t id)
{
    const VGPUSessionId parameters = {.id = id};
    int r;

    client_disclaim_module(s, id);
    r = vgpu_session_call(s, VGPU_SESSION_OP_MODULE_UNLOAD, from, &parameters, sizeof(parameters),
                          NULL, 0, NULL);
    if (r != 0)
        return r;
    client_output(s, from);
    client_output_unload(s, id);
    vgpu_session_id_give(s, VGPU_SESSION_MODULES, id);
    return 0;
}

/* ---- Functions --------------------------------------------------------------------- */

/* A kernel has at most 32,764 bytes of parameters, and each takes one at least; those with more
 * than this are asked for again, with room for all. */
#define PARAMETERS_FIRST 64u

static size_t function_size(uint32_t n_parameters)
{
    return sizeof(VGPUSessionFunction) + n_parameters * sizeof(VGPUSessionParameter);
}

/* Copy what the host wrote, once; then it must be consistent. */
static int function_copy(const void *shared, size_t size, VGPUSessionFunction **ret)
{
    VGPUSessionFunction *function;

    if (size < sizeof(*function))
        return VGPU_CUDA_ERROR_UNKNOWN;
    function = malloc(size);
    if (!function)
        return VGPU_CUDA_ERROR_OUT_OF_MEMORY;
    memcpy(function, shared, size);
    *ret = function;
    return 0;
}

/* Every parameter lies within the bytes of all. */
static bool function_is_valid(const VGPUSessionFunction *f, uint64_t size)
{
    if (f->n_parameters > VGPU_SESSION_PARAMETERS_MAX ||
        f->parameters_size > VGPU_SESSION_PARAMETERS_MAX || function_size(f->n_parameters) > size)
        return false;
    for (uint32_t i = 0; i < f->n_parameters; i++)
        if (f->parameter[i].offset > f->parameters_size ||
            f->parameter[i].size > f->parameters_size - f->parameter[i].offset)
            return false;
    return true;
}

/* Returns 0, the number of parameters in @ret_needed when there was not room for all, or an error.
 */
static int function_ask(vgpu_session *s, const vgpu_session_from *from, VGPUSessionName *name,
                        const char *text, uint32_t n_parameters, VGPUSessionFunction **ret,
                        uint32_t *ret_needed)
{
    size_t room = function_size(n_parameters);
    VGPUSessionFunction *function = NULL;
    VGPUSessionReply reply;
    void *into;
    int r;

    r = vgpu_session_window_alloc(s, room, 0, &into);
    if (r != 0)
        return r;
    (void) vgpu_session_window_bytes(s, into, room, &name->into);
    r = vgpu_session_call(s, VGPU_SESSION_OP_FUNCTION_GET, from, name, sizeof(*name), text,
                          name->name_size, &reply);
    if (r == 0) {
        if (room > reply.value[0])
            room = (size_t) reply.value[0];
        r = function_copy(into, room, &function);
    }
    if (client_usable(s) == 0)
        vgpu_session_window_free(s, into);
    if (r != 0)
        return r;

    *ret_needed = 0;
    if (function->n_parameters > n_parameters &&
        function->n_parameters <= VGPU_SESSION_PARAMETERS_MAX) {
        *ret_needed = function->n_parameters;
        free(function);
        return 0;
    }
    if (!function_is_valid(function, room)) {
        free(function);
        return VGPU_CUDA_ERROR_UNKNOWN;
    }
    *ret = function;
    return 0;
}

int vgpu_session_function_get(vgpu_session *s, const vgpu_session_from *from, uint32_t module,
                              const char *name, uint32_t *ret_id, VGPUSessionFunction **ret)
{
    size_t name_size = strlen(name) + 1;
    VGPUSessionName parameters = {.module = module};
    uint32_t room = PARAMETERS_FIRST, needed = 0;
    int r;

    if (name_size > VGPU_SESSION_NAME_MAX)
        return VGPU_CUDA_ERROR_NOT_FOUND;
    parameters.name_size = (uint32_t) name_size;

    do { /* a number is for one function: another question has another number */
        r = vgpu_session_id_take(s, VGPU_SESSION_FUNCTIONS, &parameters.id);
        if (r != 0)
            return r;
        if (needed > room)
            room = needed;
        r = function_ask(s, from, &parameters, name, room, ret, &needed);
        if (r != 0) {
            vgpu_session_id_give(s, VGPU_SESSION_FUNCTIONS, parameters.id);
            return r;
        }
    } while (needed > room);
    *ret_id = parameters.id;
    return 0;
}
