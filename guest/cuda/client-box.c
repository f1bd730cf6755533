/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Copies of boxes between the program's own memory and what COPY_3D reaches, arrays among it: by
 * way of the pieces of client-copy.c, in which the rows lie one behind the other. Bytes between the
 * rows are neither read nor written.
 */
#include <string.h>

#include "client-internal.h"
#include "copy-out.h"
#include "cuda-client-array.h"

/* How many pieces of a download are on their way */
#define DEPTH 3u

/* What one piece takes of a box: slices, or rows of one, or bytes of a row */
typedef struct box_part {
    uint64_t x_bytes, y, z;
    uint64_t width_bytes, height, depth;
} box_part;

typedef struct box_copy {
    vgpu_session *s;
    const vgpu_session_from *from;
    const VGPUSessionCopy3D *box;
    const vgpu_session_rows *rows;
    client_pool *pool;
    box_part next; /* only where it begins */
} box_copy;

static uint64_t box_smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static box_copy box_begin(vgpu_session *s, const vgpu_session_from *from,
                          const VGPUSessionCopy3D *box, const vgpu_session_rows *rows)
{
    const uint64_t n = box->height * box->depth;

    return (box_copy){
        .s = s,
        .from = from,
        .box = box,
        .rows = rows,
        .pool =
            client_pool_for(s, n > SIZE_MAX / box->width_bytes ? SIZE_MAX : n * box->width_bytes),
    };
}

static bool box_has_more(const box_copy *c)
{
    return c->next.z < c->box->depth;
}

/* As much as a piece has room for, from where the last part ended */
static box_part box_take(box_copy *c)
{
    const VGPUSessionCopy3D *box = c->box;
    const uint64_t room = c->pool->piece_size, rows = room / box->width_bytes;
    box_part part = c->next;

    part.height = part.depth = 1;
    part.width_bytes = box->width_bytes;
    if (rows == 0) {
        part.width_bytes =
            box_smaller(box->width_bytes - part.x_bytes, room - room % c->rows->unit);
        c->next.x_bytes += part.width_bytes;
        if (c->next.x_bytes < box->width_bytes)
            return part;
        c->next.x_bytes = 0;
        c->next.y++;
    } else if (rows >= box->height) {
        part.height = box->height;
        part.depth = box_smaller(box->depth - part.z, rows / box->height);
        c->next.z += part.depth;
        return part;
    } else {
        part.height = box_smaller(box->height - part.y, rows);
        c->next.y += part.height;
    }
    if (c->next.y == box->height) {
        c->next.y = 0;
        c->next.z++;
    }
    return part;
}

static VGPUSessionPlace box_place(VGPUSessionPlace place, const box_part *part)
{
    place.x_bytes += part->x_bytes;
    place.y += part->y;
    place.z += part->z;
    return place;
}

static VGPUSessionPlace box_piece(const client_piece *piece, const box_part *part)
{
    return (VGPUSessionPlace){
        .address = (uintptr_t) piece->memory,
        .pitch = part->width_bytes,
        .height = part->height,
    };
}

static int box_post(const box_copy *c, client_piece *piece, const box_part *part, bool is_upload)
{
    const VGPUSessionCopy3D copy = {
        .to = is_upload ? box_place(c->box->to, part) : box_piece(piece, part),
        .from = is_upload ? box_piece(piece, part) : box_place(c->box->from, part),
        .width_bytes = part->width_bytes,
        .height = part->height,
        .depth = part->depth,
        .stream = c->box->stream,
    };

    return client_piece_post(c->s, c->from, piece, VGPU_SESSION_OP_COPY_3D, &copy, sizeof(copy),
                             copy.stream);
}

static void box_bytes(const box_copy *c, uint8_t *memory, uint8_t *packed, size_t size,
                      bool is_upload)
{
    if (is_upload)
        memcpy(packed, memory, size);
    else
        copy_out(copy_out_best(size, c->s->is_slow), memory, packed, size);
}

/* Rows that lie one behind the other in the program's memory, too, are one. */
static void box_rows(const box_copy *c, client_piece *piece, const box_part *part, bool is_upload)
{
    const vgpu_session_rows *rows = c->rows;
    const bool is_packed = rows->pitch == part->width_bytes;
    const size_t size = part->width_bytes * (is_packed ? part->height : 1);
    uint8_t *packed = piece->memory, *slice, *row;

    for (uint64_t z = 0; z < part->depth; z++) {
        slice = (uint8_t *) rows->memory + (part->z + z) * rows->slice;
        for (uint64_t y = 0; y < (is_packed ? 1 : part->height); y++, packed += size) {
            row = slice + (part->y + y) * rows->pitch + part->x_bytes;
            box_bytes(c, row, packed, size, is_upload);
        }
    }
}

int vgpu_session_upload_box(vgpu_session *s, const vgpu_session_from *from,
                            const VGPUSessionCopy3D *box, const vgpu_session_rows *rows)
{
    box_copy c = box_begin(s, from, box, rows);
    client_piece *piece;
    int r = 0;

    while (r == 0 && box_has_more(&c)) {
        const box_part part = box_take(&c);

        r = client_pool_take(s, c.pool, true, &piece);
        if (r != 0)
            break;
        box_rows(&c, piece, &part, true);
        r = box_post(&c, piece, &part, true);
        client_pool_give(s, c.pool, piece);
    }
    return r == 0 ? client_usable(s) : r;
}

/* Parts that the device has been asked for; the first was asked for first. */
typedef struct box_way {
    client_piece *pieces[DEPTH];
    box_part parts[DEPTH];
    unsigned n;
} box_way;

/* A thread that has pieces waits for none: it first empties one of its own. */
static int box_ask(box_copy *c, box_way *way, bool *ret_asked)
{
    client_piece *piece;
    int r = client_pool_take(c->s, c->pool, way->n == 0, &piece);

    *ret_asked = r == 0 && piece;
    if (!*ret_asked)
        return r;
    way->parts[way->n] = box_take(c);
    r = box_post(c, piece, &way->parts[way->n], false);
    if (r != 0)
        client_pool_give(c->s, c->pool, piece);
    else
        way->pieces[way->n++] = piece;
    return r;
}

static int box_receive(const box_copy *c, box_way *way)
{
    client_piece *piece = way->pieces[0];
    int r = client_fence_wait(c->s, c->from, c->box->stream, piece->fence, piece->number);

    if (r != 0)
        return r;
    box_rows(c, piece, &way->parts[0], false);
    way->n--;
    memmove(way->pieces, way->pieces + 1, way->n * sizeof(way->pieces[0]));
    memmove(way->parts, way->parts + 1, way->n * sizeof(way->parts[0]));
    client_pool_give(c->s, c->pool, piece);
    return 0;
}

int vgpu_session_download_box(vgpu_session *s, const vgpu_session_from *from,
                              const VGPUSessionCopy3D *box, const vgpu_session_rows *rows)
{
    box_copy c = box_begin(s, from, box, rows);
    box_way way = {.n = 0};
    int r = 0;

    while (r == 0 && (way.n > 0 || box_has_more(&c))) {
        bool asked = false;

        if (box_has_more(&c) && way.n < DEPTH)
            r = box_ask(&c, &way, &asked);
        if (r == 0 && !asked)
            r = box_receive(&c, &way);
    }
    for (unsigned i = 0; i < way.n; i++)
        client_pool_give(s, c.pool, way.pieces[i]);
    if (r == 0)
        client_output(s, from);
    else
        client_output_end(s);
    return r == 0 ? client_usable(s) : r;
}
