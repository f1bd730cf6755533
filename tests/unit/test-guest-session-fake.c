/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "test-guest-session-fake.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "cuda-results.h"
#include "fd-passing.h"
#include "test.h"

/* In threads of the fake an assertion of cmocka cannot end the test: these end the program. */
#define MUST(condition)                                                                \
    do {                                                                               \
        if (!(condition)) {                                                            \
            fprintf(stderr, "%s:%d: the guest: %s\n", __FILE__, __LINE__, #condition); \
            abort();                                                                   \
        }                                                                              \
    } while (0)

static int get(const int *flag)
{
    return __atomic_load_n(flag, __ATOMIC_ACQUIRE);
}

void *fake_session_memory(fake_session *f, uint64_t address, uint64_t size)
{
    if (address >= FAKE_MEMORY && address - FAKE_MEMORY <= FAKE_MEMORY_SIZE &&
        size <= FAKE_MEMORY_SIZE - (address - FAKE_MEMORY))
        return f->memory + (address - FAKE_MEMORY);
    if (address >= f->header->window_base && address - f->header->window_base <= f->window_size &&
        size <= f->window_size - (address - f->header->window_base))
        return f->window + (address - f->header->window_base);
    return NULL;
}

/* Is that pinned, or none of the window's? */
static bool is_pinned(const fake_session *f, uint64_t offset, uint64_t size)
{
    for (uint64_t page = offset / 4096; page <= (offset + size - 1) / 4096; page++)
        if (!f->pinned[page])
            return false;
    return true;
}

static uint32_t do_pin(fake_session *f, const VGPUSessionRecord *r, const VGPUSessionPin *p)
{
    MUST(p->bytes.size > 0 && p->bytes.offset % 4096 == 0 && p->bytes.size % 4096 == 0);
    MUST(p->bytes.offset <= f->window_size && p->bytes.size <= f->window_size - p->bytes.offset);
    if (f->n_contexts == 0 || r->context == 0)
        return VGPU_CUDA_ERROR_INVALID_CONTEXT;
    for (uint64_t page = p->bytes.offset / 4096; page < (p->bytes.offset + p->bytes.size) / 4096;
         page++) {
        MUST(!f->pinned[page]);
        f->pinned[page] = true;
    }
    f->n_pins++;
    return 0;
}

/* ---- Operations ------------------------------------------------------------------- */

static uint32_t do_copy(fake_session *f, const VGPUSessionCopy *p)
{
    void *to = fake_session_memory(f, p->to, p->size);
    const void *from = fake_session_memory(f, p->from, p->size);

    if (!to || !from)
        return 1;
    if (f->n_contexts > 0 && p->size > 0)
        for (int i = 0; i < 2; i++) {
            uint64_t address = i == 0 ? p->to : p->from;

            if (address >= f->header->window_base &&
                address - f->header->window_base < f->window_size)
                MUST(is_pinned(f, address - f->header->window_base, p->size));
        }
    memcpy(to, from, p->size);
    return 0;
}

static uint32_t do_image(fake_session *f, const VGPUSessionRecord *r, const VGPUSessionImage *p,
                         VGPUSessionReply *reply)
{
    if (r->opcode == VGPU_SESSION_OP_IMAGE_BEGIN) {
        reply->value[0] =
            f->image && f->image_at == p->size && memcmp(p->key, f->image_key, sizeof(p->key)) == 0;
        if (reply->value[0] == 0) {
            free(f->image);
            f->image = malloc(p->size);
            MUST(f->image);
            f->image_size = p->size;
            f->image_at = 0;
            f->n_images++;
            memcpy(f->image_key, p->key, sizeof(p->key));
        }
        return 0;
    }
    if (memcmp(p->key, f->image_key, sizeof(p->key)) != 0 || p->at != f->image_at ||
        p->piece.size > f->image_size - f->image_at || p->piece.offset > f->window_size ||
        p->piece.size > f->window_size - p->piece.offset)
        return 1;
    memcpy(f->image + p->at, f->window + p->piece.offset, p->piece.size);
    f->image_at += p->piece.size;
    return 0;
}

/* A kernel with as many parameters as its name says ("p100"), of 4 bytes each */
static uint32_t do_function(fake_session *f, const VGPUSessionName *p, VGPUSessionReply *reply)
{
    const char *name = (const char *) (p + 1);
    VGPUSessionFunction *function = (VGPUSessionFunction *) (f->window + p->into.offset);
    uint32_t n, room;

    if (sscanf(name, "p%u", &n) != 1)
        return 500;
    room = (uint32_t) ((p->into.size - sizeof(*function)) / sizeof(VGPUSessionParameter));
    memset(function, 0, sizeof(*function));
    function->n_parameters = n;
    function->parameters_size = 4 * n;
    if (room > n)
        room = n;
    for (uint32_t i = 0; i < room; i++)
        function->parameter[i] = (VGPUSessionParameter){.offset = 4 * i, .size = 4};
    reply->value[0] = sizeof(*function) + room * sizeof(VGPUSessionParameter);
    return 0;
}

static void do_log(fake_session *f, const VGPUSessionBytes *log, const char *text, uint64_t *length)
{
    size_t size = strlen(text) < log->size ? strlen(text) : (size_t) log->size;

    if (size > 0)
        memcpy(f->window + log->offset, text, size);
    *length = size;
}

/* All that has an address has 100 bytes, where it says nothing else. */
static uint32_t do_alloc(fake_session *f, const VGPUSessionRecord *r,
                         const VGPUSessionMemory *memory, VGPUSessionReply *reply)
{
    uint64_t size = r->opcode == VGPU_SESSION_OP_GLOBAL_GET ? 100 : memory->size;

    reply->value[1] = size;
    if (f->next_address != 0) {
        reply->value[0] = f->next_address;
        f->next_address = 0;
        return 0;
    }
    reply->value[0] = FAKE_MEMORY + f->allocated;
    f->allocated += (size + 511) & ~UINT64_C(511);
    return f->allocated > FAKE_MEMORY_SIZE ? 2 : 0;
}

static void do_output(fake_session *f, const VGPUSessionOutput *p, VGPUSessionReply *reply)
{
    uint64_t at = p->into.offset, room = p->into.size;

    f->n_outputs++;
    for (unsigned int i = 0; i < 2; i++) {
        const char *text = f->text[i] ? f->text[i] + f->text_at[i] : "";
        uint64_t n = strlen(text);

        if (n > room) {
            n = room;
            reply->value[2] = 1;
        }
        memcpy(f->window + at, text, (size_t) n);
        at += n;
        room -= n;
        f->text_at[i] += n;
        reply->value[i] = n;
    }
    if (f->lie_output > 0)
        reply->value[0] = f->lie_output;
}

static uint32_t do_link(fake_session *f, const VGPUSessionRecord *r, const VGPUSessionLink *p,
                        VGPUSessionReply *reply)
{
    if (r->opcode == VGPU_SESSION_OP_LINK_READ) {
        if (p->at > f->linked_size || p->into.size > f->linked_size - p->at)
            return 1;
        for (uint64_t i = 0; i < p->into.size; i++)
            f->window[p->into.offset + i] = (uint8_t) (p->at + i);
        return 0;
    }
    do_log(f, &p->info_log, "linked so far", &reply->value[0]);
    do_log(f, &p->error_log, "", &reply->value[1]);
    if (r->opcode == VGPU_SESSION_OP_LINK_ADD) {
        memcpy(f->module_key, p->key, sizeof(p->key));
        return p->name_size > 0 && strcmp((const char *) (p + 1), "name") != 0 ? 1 : 0;
    }
    memcpy(f->linked_key, p->key, sizeof(p->key));
    reply->value[2] = f->linked_size;
    return 0;
}

/* Tokens are made of what they are for. */
static uint32_t do_share(const VGPUSessionRecord *r, const VGPUSessionShare *share,
                         VGPUSessionReply *reply)
{
    switch (r->opcode) {
    case VGPU_SESSION_OP_SHARE_MEMORY:
    case VGPU_SESSION_OP_SHARE_PHYSICAL:
        reply->value[0] = FAKE_TOKEN;
        reply->value[1] = r->opcode == VGPU_SESSION_OP_SHARE_MEMORY ? share->address : share->id;
        reply->value[2] = FAKE_SHARED_SIZE;
        return 0;
    case VGPU_SESSION_OP_TAKE_MEMORY:
    case VGPU_SESSION_OP_TAKE_PHYSICAL:
        if (share->token[0] != FAKE_TOKEN)
            return 400;
        reply->value[0] = r->opcode == VGPU_SESSION_OP_TAKE_MEMORY ? share->token[1] : 0;
        reply->value[1] = FAKE_SHARED_SIZE;
        return 0;
    default:
        return 0;
    }
}

static uint32_t do_operation(fake_session *f, const VGPUSessionRecord *r, const void *parameters,
                             VGPUSessionReply *reply)
{
    const VGPUSessionMemory *memory = parameters;
    const VGPUSessionFence *fence = parameters;
    const VGPUSessionModule *module = parameters;
    const VGPUSessionArray *array = parameters;
    const VGPUSessionTexture *texture = parameters;
    const VGPUSessionTensorMap *map = parameters;
    const uint64_t one = 1;
    uint32_t result = f->hook ? f->hook(f, r, parameters) : 0;

    if (result != 0)
        return result;
    switch (r->opcode) {
    case VGPU_SESSION_OP_CONTEXT_CREATE:
        f->n_contexts++;
        return 0;
    case VGPU_SESSION_OP_CONTEXT_DESTROY:
        if (f->n_contexts > 0) /* tests of other things have made none */
            f->n_contexts--;
        return 0;
    case VGPU_SESSION_OP_WINDOW_PIN:
        return do_pin(f, r, parameters);
    case VGPU_SESSION_OP_MEMORY_ALLOC:
    case VGPU_SESSION_OP_MEMORY_ALLOC_ASYNC:
    case VGPU_SESSION_OP_ADDRESS_RESERVE:
    case VGPU_SESSION_OP_GLOBAL_GET:
        return do_alloc(f, r, memory, reply);
    case VGPU_SESSION_OP_COPY:
        return do_copy(f, parameters);
    case VGPU_SESSION_OP_FENCE:
        MUST(fence->offset % 8 == 0 && fence->offset <= f->window_size - 8);
        MUST(f->n_contexts == 0 || is_pinned(f, fence->offset, 8));
        __atomic_store_n((uint64_t *) (f->window + fence->offset), fence->value, __ATOMIC_RELEASE);
        return 0;
    case VGPU_SESSION_OP_WAKE:
        MUST(write(f->interrupt_fd, &one, sizeof(one)) == sizeof(one));
        return 0;
    case VGPU_SESSION_OP_IMAGE_BEGIN:
    case VGPU_SESSION_OP_IMAGE_PIECE:
        return do_image(f, r, parameters, reply);
    case VGPU_SESSION_OP_MODULE_LOAD:
        do_log(f, &module->info_log, "info", &reply->value[0]);
        do_log(f, &module->error_log, "a long error text", &reply->value[1]);
        reply->value[2] = f->prints;
        memcpy(f->module_key, module->key, sizeof(module->key));
        return f->image_size > 0 && f->image[0] == '!' ? 218 : 0;
    case VGPU_SESSION_OP_LINK_ADD:
    case VGPU_SESSION_OP_LINK_COMPLETE:
    case VGPU_SESSION_OP_LINK_READ:
        return do_link(f, r, parameters, reply);
    case VGPU_SESSION_OP_OUTPUT:
        do_output(f, parameters, reply);
        return 0;
    case VGPU_SESSION_OP_FUNCTION_GET:
        return do_function(f, parameters, reply);
    case VGPU_SESSION_OP_ARRAY_NEEDS:
        reply->value[0] = FAKE_NEEDS * (array->mipmap ? array->mipmap : array->id);
        reply->value[1] = array->mipmap ? 2 : 1;
        return 0;
    case VGPU_SESSION_OP_TEXTURE_CREATE:
    case VGPU_SESSION_OP_SURFACE_CREATE:
        reply->value[0] = FAKE_OBJECT + texture->resource;
        return 0;
    case VGPU_SESSION_OP_TENSOR_MAP:
        MUST(map->into.size == VGPU_SESSION_TENSOR_MAP_SIZE &&
             map->into.offset <= f->window_size - map->into.size);
        memset(f->window + map->into.offset, (int) map->rank, map->into.size);
        return 0;
    default:
        memcpy(reply->value, f->value, sizeof(reply->value));
        return do_share(r, parameters, reply);
    }
}

static void answer(fake_session *f, const VGPUSessionRecord *r, VGPUSessionReply *reply,
                   uint32_t result)
{
    const uint64_t one = 1;

    if (r->reply == 0) {
        if (result != 0 && f->header->error == 0)
            __atomic_store_n(&f->header->error, result, __ATOMIC_RELEASE);
        return;
    }
    MUST(r->reply <= VGPU_SESSION_REPLIES);
    MUST(f->replies[r->reply - 1].state == VGPU_SESSION_REPLY_PENDING);
    reply->result = result;
    reply->state = VGPU_SESSION_REPLY_PENDING;
    f->replies[r->reply - 1] = *reply;
    __atomic_store_n(&f->replies[r->reply - 1].state, VGPU_SESSION_REPLY_DONE, __ATOMIC_RELEASE);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (__atomic_load_n(&f->header->guest_waits, __ATOMIC_RELAXED) != 0 && !get(&f->hold_wake))
        MUST(write(f->interrupt_fd, &one, sizeof(one)) == sizeof(one));
}

/* ---- The executor ------------------------------------------------------------------ */

static void take_record(fake_session *f, uint64_t *head, uint64_t tail)
{
    static __thread uint8_t copy[VGPU_SESSION_RECORD_MAX] __attribute__((aligned(16)));
    const uint32_t mask = f->header->ring_size - 1;
    VGPUSessionRecord record = *(VGPUSessionRecord *) (f->ring + (*head & mask));
    VGPUSessionReply reply = {0};

    MUST(record.size >= sizeof(record) && record.size % VGPU_SESSION_RECORD_ALIGNMENT == 0);
    MUST(record.size <= VGPU_SESSION_RECORD_MAX && record.size <= tail - *head);
    MUST((*head & mask) + record.size <= f->header->ring_size);
    memcpy(copy, f->ring + (*head & mask), record.size);
    *head += record.size;
    if (record.opcode == VGPU_SESSION_OP_PAD) {
        f->pads++;
        return;
    }
    f->operations++;
    answer(f, &record, &reply, do_operation(f, &record, copy + sizeof(record), &reply));
}

static void sleep_for_doorbell(fake_session *f, uint64_t head)
{
    struct pollfd fd = {.fd = f->doorbell_fd, .events = POLLIN};
    uint64_t count;

    __atomic_store_n(&f->header->executor_waits, 1, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (__atomic_load_n(&f->header->tail, __ATOMIC_ACQUIRE) == head) {
        __atomic_add_fetch(&f->sleeps, 1, __ATOMIC_RELAXED);
        if (poll(&fd, 1, 20) > 0)
            (void) !read(f->doorbell_fd, &count, sizeof(count));
    }
    __atomic_store_n(&f->header->executor_waits, 0, __ATOMIC_RELAXED);
}

static void *run_executor(void *userdata)
{
    fake_session *f = userdata;
    uint64_t head = 0;

    while (!__atomic_load_n(&f->must_stop, __ATOMIC_ACQUIRE)) {
        uint64_t tail = __atomic_load_n(&f->header->tail, __ATOMIC_ACQUIRE);

        if (get(&f->end)) {
            __atomic_store_n(&f->header->sticky, (uint32_t) get(&f->end), __ATOMIC_RELEASE);
            __atomic_store_n(&f->header->state, VGPU_SESSION_STATE_ENDED, __ATOMIC_RELEASE);
            break;
        }
        if (get(&f->lie_head))
            __atomic_store_n(&f->header->head, tail + 4096, __ATOMIC_RELEASE);
        if (get(&f->hold) || get(&f->lie_head)) {
            usleep(1000);
            continue;
        }
        if (tail == head && f->busy)
            continue;
        if (tail == head) {
            sleep_for_doorbell(f, head);
            continue;
        }
        MUST(tail - head <= f->header->ring_size);
        take_record(f, &head, tail);
        __atomic_store_n(&f->header->head, head, __ATOMIC_RELEASE);
    }
    return NULL;
}

/* ---- The mediator ------------------------------------------------------------------- */

static void say(fake_session *f, uint32_t type, const void *payload, size_t size)
{
    uint8_t message[256];
    const VGPUSocketHeader header = {
        .magic = VGPU_SOCKET_MAGIC,
        .msg_type = type,
        .payload_len = (uint32_t) size,
    };

    memcpy(message, &header, sizeof(header));
    if (size > 0)
        memcpy(message + sizeof(header), payload, size);
    (void) !send(f->connection, message, sizeof(header) + size, MSG_NOSIGNAL);
}

static void open_session(fake_session *f, const VGPUSessionOpen *open, int fds[static 3])
{
    VGPUSessionReady ready = {.ring = open->ring};
    struct stat st;

    f->window_fd = fds[0];
    f->doorbell_fd = fds[1];
    f->interrupt_fd = fds[2];
    ready.error = f->refuse;
    ready.cuda_result = f->refuse_cuda;
    if (f->refuse == 0) {
        MUST(fstat(f->window_fd, &st) == 0);
        f->window_size = (uint64_t) st.st_size;
        f->window = mmap(NULL, f->window_size, PROT_READ | PROT_WRITE, MAP_SHARED, f->window_fd, 0);
        MUST(f->window != MAP_FAILED);
        f->header = (VGPUSessionHeader *) (f->window + open->offset);
        MUST(f->header->magic == VGPU_SESSION_MAGIC);
        MUST(f->header->version == VGPU_SESSION_VERSION);
        MUST(vgpu_session_is_valid(f->window_size, open->offset, f->header->ring_size));
        MUST(f->header->window_base % (UINT64_C(2) << 20) == 0 && f->header->window_base > 0);
        f->ring = (uint8_t *) (f->header + 1);
        f->replies = (VGPUSessionReply *) (f->ring + f->header->ring_size);
        f->operations = f->pads = f->allocated = 0;
        f->n_pins = f->n_contexts = 0;
        f->pinned = calloc(f->window_size / 4096, sizeof(*f->pinned));
        MUST(f->pinned);
        for (uint64_t at = 0; at < vgpu_session_size(f->header->ring_size); at += 4096)
            f->pinned[(open->offset + at) / 4096] = true;
        f->must_stop = false;
        f->is_running = true;
        __atomic_store_n(&f->header->state, VGPU_SESSION_STATE_OPEN, __ATOMIC_RELEASE);
        MUST(pthread_create(&f->executor, NULL, run_executor, f) == 0);
    }
    say(f, VGPU_MSG_SESSION_READY, &ready, sizeof(ready));
}

static void end_session(fake_session *f)
{
    if (f->is_running) {
        __atomic_store_n(&f->must_stop, true, __ATOMIC_RELEASE);
        pthread_join(f->executor, NULL);
        munmap(f->window, f->window_size);
        free(f->pinned);
        f->pinned = NULL;
        f->is_running = false;
    }
    for (int *fd = &f->window_fd; fd <= &f->interrupt_fd; fd++) {
        if (*fd >= 0)
            close(*fd);
        *fd = -1;
    }
    free(f->image);
    f->image = NULL;
    f->image_size = 0;
}

static void take_message(fake_session *f, const uint8_t *message, int *fds)
{
    VGPUWelcome welcome = {
        .vm_id = 1,
        .features = f->knows_nothing ? 0 : VGPU_FEATURE_RING | VGPU_FEATURE_SESSIONS,
    };
    VGPUSocketHeader header;
    VGPUSessionOpen open;
    VGPUSessionRing ring;

    memcpy(&header, message, sizeof(header));
    switch (header.msg_type) {
    case VGPU_MSG_HELLO:
        say(f, VGPU_MSG_PING, NULL, 0);
        say(f, VGPU_MSG_WELCOME, &welcome, sizeof(welcome));
        break;
    case VGPU_MSG_SESSION_OPEN:
        memcpy(&open, message + sizeof(header), sizeof(open));
        open_session(f, &open, fds);
        break;
    case VGPU_MSG_SESSION_CLOSE:
        memcpy(&ring, message + sizeof(header), sizeof(ring));
        end_session(f);
        say(f, VGPU_MSG_SESSION_CLOSED, &ring, sizeof(ring));
        break;
    default:
        MUST(header.msg_type == VGPU_MSG_PONG);
    }
}

static void serve(fake_session *f)
{
    uint8_t buffer[1024];
    size_t n = 0;
    int fds[3] = {-1, -1, -1};
    unsigned int n_fds = 0;

    while (!get(&f->quit)) {
        struct pollfd fd = {.fd = f->connection, .events = POLLIN};
        ssize_t got;

        if (get(&f->end_ready)) {
            const VGPUSessionReady over = {
                .ring = 1,
                .error = VGPU_ERROR_CUDA_ERROR,
                .cuda_result = (uint32_t) __atomic_exchange_n(&f->end_ready, 0, __ATOMIC_ACQ_REL),
            };

            say(f, VGPU_MSG_SESSION_READY, &over, sizeof(over));
        }
        if (poll(&fd, 1, 5) == 0)
            continue;
        got = fd_passing_receive(f->connection, buffer + n, sizeof(buffer) - n, fds, 3, &n_fds);
        if (got <= 0)
            break;
        n += (size_t) got;
        while (n >= sizeof(VGPUSocketHeader)) {
            VGPUSocketHeader header;
            size_t size;

            memcpy(&header, buffer, sizeof(header));
            MUST(vgpu_ring_header_check(&header) == NULL);
            size = sizeof(header) + header.payload_len;
            if (n < size)
                break;
            take_message(f, buffer, fds);
            if (header.msg_type == VGPU_MSG_SESSION_OPEN) {
                MUST(n_fds == 3);
                n_fds = 0;
            }
            n -= size;
            memmove(buffer, buffer + size, n);
        }
    }
    end_session(f);
}

static void *run_mediator(void *userdata)
{
    fake_session *f = userdata;

    for (;;) {
        f->connection = accept4(f->listener, NULL, NULL, SOCK_CLOEXEC);
        if (f->connection < 0)
            return NULL;
        serve(f);
        close(f->connection);
        __atomic_store_n(&f->quit, 0, __ATOMIC_RELEASE);
    }
}

void fake_session_start(fake_session *f)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    static int number;

    snprintf(f->path, sizeof(f->path), "/tmp/vgpu-session-test.%d.%d", (int) getpid(), number++);
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", f->path);
    f->window_fd = f->doorbell_fd = f->interrupt_fd = -1;
    f->memory = calloc(1, FAKE_MEMORY_SIZE);
    assert_non_null(f->memory);
    f->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_return_code(f->listener, errno);
    assert_return_code(bind(f->listener, (struct sockaddr *) &address, sizeof(address)), errno);
    assert_return_code(listen(f->listener, 8), errno);
    assert_int_equal(pthread_create(&f->mediator, NULL, run_mediator, f), 0);
}

void fake_session_stop(fake_session *f)
{
    shutdown(f->listener, SHUT_RDWR);
    pthread_join(f->mediator, NULL);
    close(f->listener);
    unlink(f->path);
    free(f->memory);
}
