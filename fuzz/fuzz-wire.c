/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a peer may send, through the mediator's real loop: a connection, its parser,
 * the scheduler, the answers. There is no executor, so the mediator answers a request
 * that it takes with an error. The target checks that the mediator survives, that all
 * it says is well-formed, and that it leaves nothing behind.
 *
 * The first byte says in what portions the rest arrives. Its highest bit says that the
 * descriptors of a ring come with each portion that begins like a RING_SETUP or a SESSION_OPEN. No
 * executor can be started for a session either, so the mediator refuses each.
 */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "mediator-loop.h"
#include "require.h"
#include "ring-guest.h"
#include "wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Takes the complete messages of what the mediator has said so far. */
static void check_answers(int fd, uint8_t *buf, size_t *used)
{
    ssize_t n = recv(fd, buf + *used, 65536 - *used, MSG_DONTWAIT);
    size_t at = 0;

    if (n > 0)
        *used += (size_t) n;
    while (*used - at >= sizeof(VGPUSocketHeader)) {
        VGPUSocketHeader h;

        memcpy(&h, buf + at, sizeof(h));
        require(vgpu_ring_header_check(&h) == NULL);
        if (*used - at < sizeof(h) + h.payload_len)
            break;
        if (h.msg_type == VGPU_MSG_RESPONSE)
            require(vgpu_response_check(buf + at + sizeof(h), h.payload_len, NULL));
        at += sizeof(h) + h.payload_len;
    }
    memmove(buf, buf + at, *used - at);
    *used -= at;
}

static bool send_portion(int fd, const RingGuest *guest, const uint8_t *data, size_t n)
{
    VGPUSocketHeader h;

    if (guest && n >= sizeof(h)) {
        memcpy(&h, data, sizeof(h));
        if (h.msg_type == VGPU_MSG_RING_SETUP || h.msg_type == VGPU_MSG_SESSION_OPEN)
            return wire_send_bytes(fd, data, n, guest->fds, VGPU_RING_N_FDS);
    }
    return wire_send_bytes(fd, data, n, NULL, 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t answers[65536];
    static RingGuest guest;
    static Manager *m;
    size_t portion, used = 0;
    bool with_ring;
    int pair[2], free_descriptor;

    if (size < 1)
        return 0;
    if (!m) {
        m = mediator_loop_new(NULL);
        require(ring_guest_open(&guest, VGPU_WINDOW_SIZE_MIN, 0, 16, 0) == 0);
        for (uint64_t tag = 0; tag < 4; tag++) {
            const VGPUSubmission nop = ring_guest_nop(tag);

            ring_guest_submit(&guest, &nop);
        }
    }
    with_ring = data[0] & 0x80;
    portion = data[0] & 0x7f ? data[0] & 0x7f : 4096;
    data++, size--;
    free_descriptor = mediator_loop_next_fd(m);

    require(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) == 0);
    require(peers_add(manager_peers(m), pair[0]) == 0);
    while (size > 0 && peers_count(manager_peers(m)) > 0) {
        size_t n = size < portion ? size : portion;

        if (!send_portion(pair[1], with_ring ? &guest : NULL, data, n))
            break;
        data += n, size -= n;
        mediator_loop_run(m);
        check_answers(pair[1], answers, &used);
    }
    shutdown(pair[1], SHUT_WR);
    while (peers_count(manager_peers(m)) > 0) {
        mediator_loop_run(m);
        check_answers(pair[1], answers, &used);
    }
    close(pair[1]);

    require(manager_vms(m)->n == 0);
    require(pools_are_idle(manager_pools(m)));
    require(TAILQ_EMPTY(&manager_sessions(m)->list));
    require(TAILQ_EMPTY(&manager_rings(m)->windows.list));
    require(TAILQ_EMPTY(&manager_rings(m)->windows.waiters));
    require(mediator_loop_next_fd(m) == free_descriptor);
    return 0;
}
