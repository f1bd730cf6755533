/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "test-session-mediator.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fd-passing.h"

static void answer(TestMediator *m, unsigned guest, const SessionShareMessage *question, int fd)
{
    SessionShareMessage a = {.type = SESSION_MSG_TAKEN, .kind = question->kind};
    int answer_fd = -1;

    if (question->type == SESSION_MSG_UNSHARE) {
        session_shares_remove(&m->shares, &m->socket[guest], question->token);
        return;
    }
    if (question->type == SESSION_MSG_SHARE) {
        a.type = SESSION_MSG_SHARED;
        a.error = session_shares_add(&m->shares, &m->socket[guest], question, fd, a.token);
    } else {
        a.error = session_shares_find(&m->shares, question, &a, &answer_fd);
    }
    if (fd_passing_send(m->socket[guest], &a, sizeof(a), &answer_fd, answer_fd >= 0, 0) < 0)
        perror("test mediator");
}

static void hear(TestMediator *m, unsigned guest)
{
    SessionShareMessage question;
    unsigned n_fds = 0;
    int fd = -1;
    ssize_t n = fd_passing_receive(m->socket[guest], &question, sizeof(question), &fd, 1, &n_fds);

    if (n == 0) {
        close(m->socket[guest]);
        m->socket[guest] = -1;
    }
    if (n != sizeof(question))
        return;
    __atomic_fetch_add(&m->n_questions, 1, __ATOMIC_SEQ_CST);
    if (!__atomic_load_n(&m->is_slow, __ATOMIC_SEQ_CST))
        answer(m, guest, &question, fd);
}

static void *run(void *data)
{
    TestMediator *m = data;

    for (;;) {
        struct pollfd fds[TEST_MEDIATOR_GUESTS + 1];

        for (unsigned i = 0; i < m->n; i++)
            fds[i] = (struct pollfd){.fd = m->socket[i], .events = POLLIN};
        fds[m->n] = (struct pollfd){.fd = m->stop[0], .events = POLLIN};
        (void) poll(fds, m->n + 1, -1);
        if (fds[m->n].revents)
            return NULL;
        for (unsigned i = 0; i < m->n; i++)
            if (fds[i].revents)
                hear(m, i);
    }
}

void test_mediator_start(TestMediator *m, SessionGuest *const guests[], unsigned n)
{
    *m = (TestMediator){.n = n};
    if (pipe(m->stop) < 0)
        abort();
    for (unsigned i = 0; i < n; i++) {
        m->socket[i] = dup(guests[i]->socket);
        if (m->socket[i] < 0)
            abort();
    }
    if (pthread_create(&m->thread, NULL, run, m) != 0)
        abort();
}

static void stop_thread(TestMediator *m)
{
    if (write(m->stop[1], "", 1) != 1)
        abort();
    pthread_join(m->thread, NULL);
}

void test_mediator_forget(TestMediator *m, unsigned guest)
{
    char byte;

    stop_thread(m);
    session_shares_end(&m->shares, &m->socket[guest]);
    if (m->socket[guest] >= 0)
        close(m->socket[guest]);
    m->socket[guest] = -1;
    if (read(m->stop[0], &byte, 1) != 1 || pthread_create(&m->thread, NULL, run, m) != 0)
        abort();
}

void test_mediator_stop(TestMediator *m)
{
    stop_thread(m);
    for (unsigned i = 0; i < m->n; i++) {
        session_shares_end(&m->shares, &m->socket[i]);
        if (m->socket[i] >= 0)
            close(m->socket[i]);
    }
    close(m->stop[0]);
    close(m->stop[1]);
}
