/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Guests with CUDA sessions, connected to the mediator of service.h, whose executors are those of
 * session-executor.h: what the tests of sessions share. A failed expectation fails the test. */
#ifndef VGPU_TEST_SESSION_PEER_H
#define VGPU_TEST_SESSION_PEER_H

#include <sys/types.h>

#include "service.h"
#include "session-executor.h"
#include "session-guest.h"

#define SESSION_OPEN_ID 81
#define SESSION_CLOSE_ID 82

/* "Within a second", on a machine that does other things beside */
#define SOON_MSEC 1000

#define SESSION_CONFIG "[Pool A]\nBackend=cuda\n[Unregistered]\nPolicy=allow\n"

/* session_peer_hello() - connect as an unregistered VM that offers sessions; returns the connection
 */
int session_peer_hello(uint32_t vm_id);

/* session_peer_prepare() - a window of 1 MiB with an area whose executor does @command */
void session_peer_prepare(SessionGuest *g, const char *command);

/* session_peer_open_with() - send SESSION_OPEN with these descriptors; the answer is to be read */
void session_peer_open_with(int fd, const VGPUSessionOpen *open, const int *fds, unsigned n_fds);

/* session_peer_open() - the same for an area at the beginning of the guest's window */
void session_peer_open(int fd, const SessionGuest *g, uint32_t ring);

/* session_peer_close() - send SESSION_CLOSE; the answer is to be read */
void session_peer_close(int fd, uint32_t ring);

/* expect_session_ready() - the next message is SESSION_READY of this ring, for session_peer_open()
 */
void expect_session_ready(int fd, uint32_t ring, uint32_t error, uint32_t cuda_result);

/* expect_session_closed() - the next message is SESSION_CLOSED of this ring */
void expect_session_closed(int fd, uint32_t ring);

/* session_peer_up() - prepare, open, and expect that it is ready; session_peer_down() - close, and
 * wait */
void session_peer_up(int fd, SessionGuest *g, uint32_t ring, const char *command);
void session_peer_down(int fd, SessionGuest *g, uint32_t ring);

/* session_peer_ring() - ring the doorbell, and nothing else */
void session_peer_ring(const SessionGuest *g);

/* session_peer_ask() - ring, wait for the interrupt, and return what the executor saw */
FakeReport session_peer_ask(const SessionGuest *g);

/* session_peer_count() - have the executor count this */
void session_peer_count(const SessionGuest *g, const FakeFigures *figures);

/* session_peer_children() - how many executors of sessions the mediator has; @ret: some of their
 * PIDs, as many as there are up to @max */
unsigned session_peer_children(pid_t *ret, unsigned max);

/* session_peer_children_of() - the same of another process */
unsigned session_peer_children_of(pid_t parent, pid_t *ret, unsigned max);

/* wait_for_children() - until there are so many; within @msec */
void wait_for_children(unsigned n, unsigned msec);

/* wait_for_fds() - until the mediator has so many descriptors; within some seconds */
void wait_for_fds(unsigned n);

/* session_expect_log() - wait until the mediator's log has this */
void session_expect_log(const char *text);

/* session_stable_fds() - how many descriptors the mediator has, when that does not change any more
 */
unsigned session_stable_fds(void);

/* session_settled_fds() - the same of one that has had a session, and has none: what is kept after
 * the first one is there */
unsigned session_settled_fds(void);

#endif
