/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The mediator's side of an executor, for tests and benchmarks. It starts the real program as
 * the mediator does, and can say things that the mediator never says. Every failure to do
 * so, and every wait that takes longer than CLIENT_TIMEOUT_S, ends the process with a message.
 */
#ifndef TEST_EXECUTOR_CLIENT_H
#define TEST_EXECUTOR_CLIENT_H

#include "executor-process.h"

#define CLIENT_TIMEOUT_S 60

/* Room for any message */
#define MESSAGE_MAX (sizeof(ExecutorHeader) + EXECUTOR_PAYLOAD_MAX)

typedef struct Client {
    ExecutorProcess process; /* the socket blocks; it is -1 when hung up */
    int stderr_fd;           /* a file with what the executor says */
    VGPUDeviceInfo device;   /* after client_hello() */
    ExecutorWriter requests;
    ExecutorReader answers;
    unsigned unanswered;    /* requests in the queue, or on the executor */
    unsigned char *pending; /* messages for which there was no room in the queue */
    size_t pending_start, pending_end;
} Client;

typedef struct ClientOptions {
    const char *executor;    /* the program */
    const char *backend;     /* --backend */
    unsigned slots;          /* --slots; 0: not given */
    unsigned busy_poll_usec; /* --busy-poll */
    const char *kernels;     /* --kernels; NULL: not given */
    const char *device;      /* --device; NULL: not given */
    const char *library_dir; /* LD_LIBRARY_PATH; NULL: as it is */
    const char *fake;        /* VGPU_FAKE_CUDA; NULL: unset */
} ClientOptions;

typedef struct ClientResponse {
    uint32_t type; /* EXECUTOR_MSG_RESPONSE or _RESULT */
    uint64_t tag;
    size_t size;
    VGPUResponse header;                    /* of a RESPONSE */
    ExecutorResult result;                  /* of a RESULT */
    unsigned char bytes[VGPU_RESPONSE_MAX]; /* of a RESPONSE: header, results, data */
} ClientResponse;

/* client_start() - start an executor; nothing is read yet */
Client *client_start(const ClientOptions *options);

/* client_hello() - read the HELLO and check its form */
void client_hello(Client *c);

/* client_receive() - the next response or result, well-formed; false at the end of the stream */
bool client_receive(Client *c, ClientResponse *ret);

/* client_has_input() - would client_receive() find an answer without waiting? */
bool client_has_input(const Client *c);

/*
 * client_send() - send messages, one after the other
 *
 * WINDOW_ADD and WINDOW_REMOVE go through the socket. All others go into the queue, as far as
 * there is room; client_receive() makes room for the rest. If the last message is shorter than
 * it says, it is sent as it is. Returns false when the executor is known to be gone.
 */
bool client_send(Client *c, const void *bytes, size_t size);

/* client_send_socket() - send any bytes through the socket; returns as client_send() */
bool client_send_socket(Client *c, const void *bytes, size_t size);

/* client_send_with_fds() - the same in one write, with descriptors at the first byte */
bool client_send_with_fds(Client *c, const void *bytes, size_t size, const int fds[], unsigned n);

/* client_sync() - wait until the executor has taken all that is in the socket */
void client_sync(const Client *c);

/* client_hang_up() - close the socket */
void client_hang_up(Client *c);

/*
 * client_end() - wait for the process to end, and free @c
 * @ret_stderr: what it wrote to standard error, to be freed by the caller; may be NULL
 *
 * Returns its exit status, or 128 + the signal that ended it.
 */
int client_end(Client *c, char **ret_stderr);

/*
 * message_*() - write one message to @buf, a REQUEST if nothing else is said
 * @buf: MESSAGE_MAX bytes
 *
 * Returns its size.
 */
size_t message_plain(void *buf, uint64_t tag, uint32_t opcode);
size_t message_scalar(void *buf, uint64_t tag, uint32_t priority, uint32_t a, uint32_t b);
/* data: @size bytes each of @a and @b */
size_t message_vector(void *buf, uint64_t tag, uint32_t priority, uint32_t opcode, const void *a,
                      const void *b, uint32_t size);
/* @type: EXECUTOR_MSG_WINDOW_ADD or _REMOVE */
size_t message_window(void *buf, uint32_t type, uint32_t id);
size_t message_compute(void *buf, uint64_t tag, uint32_t priority, uint32_t window,
                       const VGPUSubmission *submission);
size_t message_raw(void *buf, uint64_t tag, const void *payload, uint32_t size);

#endif
