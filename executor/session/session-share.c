/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "session-share.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fd-passing.h"
#include "session-core.h"

static int share_send(const Session *s, const SessionShareMessage *m, int fd)
{
    struct pollfd writable = {.fd = s->socket, .events = POLLOUT};
    ssize_t n;

    while ((n = fd_passing_send(s->socket, m, sizeof(*m), &fd, fd >= 0, MSG_DONTWAIT)) == -EAGAIN ||
           n == -EINTR)
        (void) poll(&writable, 1, -1);
    return n < 0 ? (int) n : 0;
}

int session_share_ask(Session *s, const SessionShareMessage *question, int fd,
                      SessionShareMessage *ret, int *ret_fd)
{
    SessionAsk *ask = &s->ask;
    int r;

    pthread_mutex_lock(&ask->lock);
    ask->waits_for = question->type == SESSION_MSG_SHARE ? SESSION_MSG_SHARED : SESSION_MSG_TAKEN;
    pthread_mutex_unlock(&ask->lock);
    r = share_send(s, question, fd);
    pthread_mutex_lock(&ask->lock);
    while (r == 0 && ask->waits_for != 0)
        pthread_cond_wait(&ask->come, &ask->lock);
    ask->waits_for = 0;
    if (r == 0) {
        *ret = ask->answer;
        *ret_fd = ask->fd;
        r = ret->error;
    }
    pthread_mutex_unlock(&ask->lock);
    if (r < 0 && *ret_fd >= 0) {
        close(*ret_fd);
        *ret_fd = -1;
    }
    return r < 0 ? r : 0;
}

void session_share_answer(Session *s, const SessionShareMessage *answer, int fd)
{
    SessionAsk *ask = &s->ask;

    pthread_mutex_lock(&ask->lock);
    if (ask->waits_for == answer->type) {
        ask->answer = *answer;
        ask->fd = fd;
        ask->waits_for = 0;
        pthread_cond_signal(&ask->come);
        fd = -1;
    }
    pthread_mutex_unlock(&ask->lock);
    if (fd >= 0)
        close(fd);
}

/* The mediator has room for one message for each token that it gave. */
void session_share_end(Session *s, const uint64_t token[2])
{
    const SessionShareMessage m = {
        .type = SESSION_MSG_UNSHARE,
        .token = {token[0], token[1]},
    };

    if (token[0] != 0 || token[1] != 0)
        (void) fd_passing_send(s->socket, &m, sizeof(m), NULL, 0, MSG_DONTWAIT);
}
