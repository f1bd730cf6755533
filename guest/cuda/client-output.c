/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What kernels print. The host keeps it until it is asked, which takes a reply: so only a session
 * asks that has a module whose kernels may print, and once each after an error that ends CUDA, for
 * an assertion says what failed.
 *
 * One thread asks at a time, and writes what it got before the next one asks: the text is in its
 * order, and none comes twice. Who has waited for a kernel and finds another thread asking waits
 * for that one and asks, too: what its kernel printed is out when it goes on.
 */
#include <stdio.h>

#include "client-internal.h"

#define ROOM ((size_t) 64 << 10)
#define ROOM_MIN ((size_t) 4 << 10)

/* As the driver does: by the C library's streams, so that a program's own text stays in order, and
 * not kept back there. */
static void write_text(void *userdata, bool is_error, const char *text, size_t size)
{
    FILE *stream = is_error ? stderr : stdout;

    (void) userdata;
    fwrite(text, 1, size, stream);
    fflush(stream);
}

/* With output_lock held. The piece of the window stays the session's. */
static bool take_room(vgpu_session *s)
{
    void *room;

    for (size_t size = ROOM; !s->output_room && size >= ROOM_MIN; size /= 2) {
        if (vgpu_session_window_alloc(s, size, 0, &room) != 0)
            continue;
        s->output_room = room;
        s->output_size = size;
    }
    return s->output_room;
}

/* One question, with output_lock held. The host may change the text while it is written; its length
 * has been checked. Returns whether there is more. */
static bool ask(vgpu_session *s, const vgpu_session_from *from)
{
    VGPUSessionOutput parameters;
    VGPUSessionReply reply;
    uint64_t text, error;

    (void) vgpu_session_window_bytes(s, s->output_room, s->output_size, &parameters.into);
    if (client_call_silently(s, VGPU_SESSION_OP_OUTPUT, from, &parameters, sizeof(parameters), NULL,
                             0, &reply) != 0)
        return false;
    text = reply.value[0];
    error = reply.value[1];
    if (text > s->output_size || error > s->output_size - text)
        return false;
    if (text > 0)
        s->text_take(s->text_userdata, false, s->output_room, (size_t) text);
    if (error > 0)
        s->text_take(s->text_userdata, true, s->output_room + text, (size_t) error);
    return reply.value[2] == 1 && text + error > 0;
}

static void ask_all(vgpu_session *s, const vgpu_session_from *from)
{
    if (client_usable(s) == 0 && take_room(s))
        while (ask(s, from))
            continue;
}

void client_output(vgpu_session *s, const vgpu_session_from *from)
{
    if (__atomic_load_n(&s->n_printing, __ATOMIC_RELAXED) == 0 || client_usable(s) != 0)
        return;
    pthread_mutex_lock(&s->output_lock);
    ask_all(s, from);
    pthread_mutex_unlock(&s->output_lock);
}

void client_output_end(vgpu_session *s)
{
    if (client_usable(s) != 0 || vgpu_session_get_sticky(s) == 0 ||
        __atomic_load_n(&s->output_ended, __ATOMIC_ACQUIRE))
        return;
    pthread_mutex_lock(&s->output_lock);
    if (!s->output_ended)
        ask_all(s, NULL);
    __atomic_store_n(&s->output_ended, true, __ATOMIC_RELEASE);
    pthread_mutex_unlock(&s->output_lock);
}

void vgpu_session_output(vgpu_session *s, const vgpu_session_from *from)
{
    client_output(s, from);
    client_output_end(s);
}

void vgpu_session_set_text(vgpu_session *s, vgpu_session_text *take, void *userdata)
{
    pthread_mutex_lock(&s->output_lock);
    s->text_take = take ? take : write_text;
    s->text_userdata = userdata;
    pthread_mutex_unlock(&s->output_lock);
}

/* ---- Modules that may print --------------------------------------------------------- */

void client_output_load(vgpu_session *s, uint32_t module)
{
    pthread_mutex_lock(&s->output_lock);
    if (!(s->printing[module / 8] & 1u << module % 8)) {
        s->printing[module / 8] |= (uint8_t) (1u << module % 8);
        __atomic_store_n(&s->n_printing, s->n_printing + 1, __ATOMIC_RELAXED);
    }
    pthread_mutex_unlock(&s->output_lock);
}

void client_output_unload(vgpu_session *s, uint32_t module)
{
    if (module >= CLIENT_IDS)
        return;
    pthread_mutex_lock(&s->output_lock);
    if (s->printing[module / 8] & 1u << module % 8) {
        s->printing[module / 8] &= (uint8_t) ~(1u << module % 8);
        __atomic_store_n(&s->n_printing, s->n_printing - 1, __ATOMIC_RELAXED);
    }
    pthread_mutex_unlock(&s->output_lock);
}

/* ---- Parts ------------------------------------------------------------------------ */

void client_output_init(vgpu_session *s)
{
    pthread_mutex_init(&s->output_lock, NULL);
    s->text_take = write_text;
}

/* The window's memory goes with the session. */
void client_output_destroy(vgpu_session *s)
{
    pthread_mutex_destroy(&s->output_lock);
}
