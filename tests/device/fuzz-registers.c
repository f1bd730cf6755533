/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A hostile guest and a hostile mediator at once. A string of bytes stands for a
 * series of register accesses, resets, stops and messages, which are done to the
 * device in a live QEMU. QEMU must survive each of them, and must serve a plain
 * request afterwards.
 *
 *   fuzz-registers FILE|DIRECTORY...     replays, and reports each file as a TAP case
 *   fuzz-registers --seconds N [SEED]    invents strings; one that kills is in the output
 *   fuzz-registers --invent SEED FILE    writes the string that a seed stands for
 *
 * The programs come from the environment, as qtest.h says. The first byte chooses one of
 * two devices: one waits for its mediator for a second, the other not at all.
 */
#include <dirent.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>

#include "fuzz-target.h"
#include "wire.h"

#define INPUT_MAX 2048

/* ---- One step, one string ---------------------------------------------------------------- */

static void step(Target *t, FuzzInput *in)
{
    char bytes[32];

    switch (input_take8(in) % 36) {
    case 0:
        target_access_registers(t, in, true);
        break;
    case 1:
        target_access_registers(t, in, false);
        break;
    case 2: {
        uint32_t reg = input_take8(in) % 16 * 4u;

        device_write(&t->device, reg, input_take32(in));
        break;
    }
    case 3:
    case 4:
        device_write(&t->device, VGPU_REG_REQUEST_LEN, input_take_length(in, VGPU_REQUEST_MAX + 2));
        device_write(&t->device, VGPU_REG_DOORBELL, 1);
        break;
    case 5:
        device_write(&t->device, VGPU_REG_REQUEST_ID, input_take8(in) % 4);
        break;
    case 6:
        target_fill_request(t, in);
        break;
    case 7:
    case 8:
        hostile_accept(&t->mediator);
        break;
    case 9:
        hostile_send(&t->mediator, bytes, input_take_bytes(in, bytes, input_take8(in) % 32));
        break;
    case 10:
    case 11:
        hostile_respond(&t->mediator, in);
        break;
    case 12:
        hostile_send_message(&t->mediator, in, true);
        break;
    case 13:
        hostile_send_message(&t->mediator, in, false);
        break;
    case 14:
        hostile_hang_up(&t->mediator);
        break;
    case 15:
        if (input_take8(in) % 4 == 0)
            hostile_vanish(&t->mediator);
        else
            hostile_listen(&t->mediator);
        break;
    case 16:
        device_reset(&t->device);
        device_enable(&t->device);
        break;
    case 17:
        if (input_take8(in) % 8 == 0)
            target_system_reset(t);
        break;
    case 18:
        target_set_stopped(t, input_take8(in) % 4 == 0);
        break;
    case 19:
        target_write_config(t, in);
        break;
    case 20:
        target_synchronize(t);
        hostile_read(&t->mediator);
        break;
    case 21:
        target_start_ring(t, in);
        break;
    case 22:
    case 23:
        target_access_extension(t, in);
        break;
    case 24:
    case 25:
        hostile_send_ring(&t->mediator, in);
        break;
    case 26:
        target_access_other_bars(t, in);
        break;
    case 27:
        hostile_signal(&t->mediator);
        break;
    case 28:
        target_switch_msix(t, in);
        break;
    case 29:
        if (input_take8(in) % 4 == 0)
            target_bring_up_ring(t);
        break;
    case 30:
        if (input_take8(in) % 4 == 0)
            target_bring_up_sessions(t);
        break;
    case 31:
        target_start_session(t, in);
        break;
    case 32:
    case 33:
        target_access_session(t, in);
        break;
    case 34:
    case 35:
        hostile_send_session(&t->mediator, in);
        break;
    }
}

static void give_up(const char *what)
{
    fprintf(stderr, "fuzz-registers: %s\n", what);
    exit(1);
}

/* Answers the next connection's request. Does not look at what older connections still say. */
static void serve_plain_request(Target *t)
{
    struct pollfd p = {.fd = t->mediator.listener, .events = POLLIN};
    WireMessage message;

    if (poll(&p, 1, WIRE_TIMEOUT_MSEC) != 1)
        give_up("the device does not connect");
    hostile_accept(&t->mediator);
    do
        if (wire_receive(t->mediator.peer, &message) != 1)
            give_up("the device sends no request");
    while (message.header.msg_type != VGPU_MSG_REQUEST);
    if (message.header.request_id != 0x600d)
        give_up("the device sends another request");
    message.header.msg_type = VGPU_MSG_RESPONSE;
    message.header.payload_len = sizeof(message.response);
    message.response = (VGPUResponse){.version = VGPU_PROTOCOL_VERSION};
    if (!wire_send(t->mediator.peer, &message.header, &message.response))
        give_up("the device does not wait for an answer");
}

/* The next message that is not a PING must be of this type. */
static void expect(Target *t, uint32_t type)
{
    struct pollfd p = {.fd = t->mediator.peer, .events = POLLIN};
    char payload[VGPU_PAYLOAD_MAX];
    VGPUSocketHeader header;

    do {
        if (poll(&p, 1, WIRE_TIMEOUT_MSEC) != 1 ||
            hostile_receive(&t->mediator, &header, sizeof(header), MSG_WAITALL) != sizeof(header) ||
            vgpu_ring_header_check(&header))
            give_up("the device says nothing of the ring");
        if (header.payload_len > 0 && hostile_receive(&t->mediator, payload, header.payload_len,
                                                      MSG_WAITALL) != header.payload_len)
            give_up("the device says half of something");
    } while (header.msg_type == VGPU_MSG_PING);
    if (header.msg_type != type)
        give_up("the device says something else than what becomes of the ring");
}

static void send_ring(Target *t, uint32_t type, const void *payload, uint32_t size)
{
    const VGPUSocketHeader header = wire_header(type, 0, 0, 0, size);

    if (!wire_send(t->mediator.peer, &header, payload))
        give_up("the device does not listen");
}

/* Returns the state of a ring that interrupts. */
static uint32_t wait_state(Target *t, uint32_t ctrl, uint32_t irq_status)
{
    uint32_t state;

    qtest_wait_irq(t->device.qtest, true);
    state = device_read(&t->device, ctrl);
    device_write(&t->device, irq_status, 1);
    qtest_wait_irq(t->device.qtest, false);
    return state;
}

static uint32_t wait_ring(Target *t)
{
    return wait_state(t, VGPU_REG_RING_CTRL, VGPU_REG_RING_IRQ_STATUS);
}

/* On the connection of the plain request */
static void serve_ring(Target *t)
{
    const VGPUWelcome welcome = {.features = VGPU_FEATURE_RING | VGPU_FEATURE_SESSIONS};
    const VGPURingReady ready = {.error = VGPU_ERROR_NONE};

    if (device_read(&t->device, VGPU_REG_RING_CTRL) != VGPU_RING_OFF)
        give_up("the ring is on in a device that was reset");
    device_ring_start(&t->device);
    send_ring(t, VGPU_MSG_WELCOME, &welcome, sizeof(welcome));
    expect(t, VGPU_MSG_RING_SETUP);
    send_ring(t, VGPU_MSG_RING_READY, &ready, sizeof(ready));
    if (wait_ring(t) != VGPU_RING_ON)
        give_up("the ring does not become on");
    if (t->mediator.completion < 0)
        give_up("the ring came without descriptors");
    hostile_signal(&t->mediator);
    if (wait_ring(t) != VGPU_RING_ON)
        give_up("the ring does not stay on");
    device_write(&t->device, VGPU_REG_RING_CTRL, 0);
    expect(t, VGPU_MSG_RING_OFF);
    send_ring(t, VGPU_MSG_RING_STOPPED, NULL, 0);
}

#define SESSION 15u

/* The same on the same connection, for a ring of a session */
static void serve_session(Target *t)
{
    const VGPUSessionReady ready = {.ring = SESSION};
    const VGPUSessionRing closed = {.ring = SESSION};
    const uint32_t ctrl = vgpu_session_register(SESSION, VGPU_SESSION_REG_CTRL);
    const uint32_t irq_status = vgpu_session_register(SESSION, VGPU_SESSION_REG_IRQ_STATUS);

    for (uint32_t ring = 1; ring < VGPU_RINGS_MAX; ring++)
        if (device_read(&t->device, vgpu_session_register(ring, VGPU_SESSION_REG_CTRL)) !=
            VGPU_RING_OFF)
            give_up("a session is on in a device that was reset");
    device_write(&t->device, vgpu_session_register(SESSION, VGPU_SESSION_REG_IRQ_CTRL), 1);
    device_write(&t->device, ctrl, 1);
    expect(t, VGPU_MSG_SESSION_OPEN);
    send_ring(t, VGPU_MSG_SESSION_READY, &ready, sizeof(ready));
    if (wait_state(t, ctrl, irq_status) != VGPU_RING_ON)
        give_up("the session does not become on");
    hostile_signal(&t->mediator);
    if (wait_state(t, ctrl, irq_status) != VGPU_RING_ON)
        give_up("the session does not stay on");
    device_write(&t->device, ctrl, 0);
    expect(t, VGPU_MSG_SESSION_CLOSE);
    send_ring(t, VGPU_MSG_SESSION_CLOSED, &closed, sizeof(closed));
}

/* Does the device still work? Also brings it back to the state in which each string begins. */
static void assert_sane(Target *t)
{
    target_set_stopped(t, false);
    hostile_vanish(&t->mediator);
    device_enable(&t->device);
    device_reset(&t->device);
    device_enable(&t->device);
    hostile_listen(&t->mediator); /* not earlier: the device might send an older request there */
    if (device_read(&t->device, VGPU_REG_STATUS) != VGPU_STATUS_IDLE ||
        device_read(&t->device, VGPU_REG_PROTOCOL_VER) != VGPU_PROTOCOL_VERSION)
        give_up("the registers are not those of a device that was reset");

    device_submit_add(&t->device, 0x600d, 1, 2);
    serve_plain_request(t);
    if (device_wait(&t->device) != VGPU_STATUS_DONE)
        give_up("a plain request does not succeed");
    serve_ring(t);
    serve_session(t);
    hostile_hang_up(&t->mediator);
    target_synchronize(t);
    device_map_window(&t->device);
}

static void play(Target *targets[2], const uint8_t *bytes, size_t size)
{
    FuzzInput in = {bytes, size};
    unsigned n = input_take8(&in) % 2;

    if (!targets[n])
        targets[n] = target_open(n == 0 ? "reconnect-timeout=1" : "reconnect-timeout=0");
    while (in.left > 0) {
        step(targets[n], &in);
        if (device_read(&targets[n]->device, VGPU_REG_STATUS) > VGPU_STATUS_ERROR &&
            device_read(&targets[n]->device, VGPU_REG_STATUS) != UINT32_MAX) /* not mapped */
            give_up("STATUS has a value that does not exist");
    }
    assert_sane(targets[n]);
}

/* ---- Where strings come from ------------------------------------------------------------------
 */

static size_t invent(unsigned seed, uint8_t ret[static INPUT_MAX])
{
    size_t size = 16 + (size_t) rand_r(&seed) % (INPUT_MAX - 16);

    for (size_t i = 0; i < size; i++)
        ret[i] = (uint8_t) (rand_r(&seed) >> 7);
    return size;
}

static int save(unsigned seed, const char *path)
{
    uint8_t bytes[INPUT_MAX];
    size_t size = invent(seed, bytes);
    FILE *f = fopen(path, "wb");

    return f && fwrite(bytes, size, 1, f) == 1 && fclose(f) == 0 ? 0 : 1;
}

static unsigned run_for(Target *targets[2], long seconds, unsigned seed)
{
    time_t end = time(NULL) + seconds;
    unsigned n = 0;

    for (; time(NULL) < end; n++) {
        uint8_t bytes[INPUT_MAX];
        size_t size = invent(seed + n, bytes);

        printf("\rseed %u", seed + n);
        fflush(stdout);
        play(targets, bytes, size);
    }
    printf("\n%u strings\n", n);
    return n;
}

static void replay_file(Target *targets[2], const char *path)
{
    static unsigned n;
    uint8_t bytes[INPUT_MAX];
    FILE *f = fopen(path, "rb");
    size_t size;

    if (!f)
        give_up(path);
    size = fread(bytes, 1, sizeof(bytes), f);
    fclose(f);
    play(targets, bytes, size);
    printf("ok %u - %s\n", ++n, strrchr(path, '/') ? strrchr(path, '/') + 1 : path);
    fflush(stdout);
}

static int not_hidden(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

/* Returns how many files there were. */
static int replay(Target *targets[2], const char *path, bool count_only)
{
    struct dirent **entries;
    struct stat st;
    int n;

    if (stat(path, &st) < 0)
        give_up(path);
    if (!S_ISDIR(st.st_mode)) {
        if (!count_only)
            replay_file(targets, path);
        return 1;
    }
    n = scandir(path, &entries, not_hidden, alphasort);
    for (int i = 0; i < n; i++) {
        char file[4096];

        snprintf(file, sizeof(file), "%s/%s", path, entries[i]->d_name);
        if (!count_only)
            replay_file(targets, file);
        free(entries[i]);
    }
    free(entries);
    return n;
}

static void replay_all(Target *targets[2], char **paths)
{
    int n = 0;

    for (char **p = paths; *p; p++)
        n += replay(targets, *p, true);
    printf("1..%d\n", n);
    for (char **p = paths; *p; p++)
        replay(targets, *p, false);
}

int main(int argc, char **argv)
{
    Target *targets[2] = {0};

    if (argc >= 3 && strcmp(argv[1], "--seconds") == 0)
        run_for(targets, strtol(argv[2], NULL, 0),
                argc > 3 ? (unsigned) strtoul(argv[3], NULL, 0) : (unsigned) time(NULL));
    else if (argc == 4 && strcmp(argv[1], "--invent") == 0)
        return save((unsigned) strtoul(argv[2], NULL, 0), argv[3]);
    else if (argc >= 2 && argv[1][0] != '-')
        replay_all(targets, argv + 1);
    else
        give_up("give files, --seconds N [SEED], or --invent SEED FILE");
    target_close(targets[0]);
    target_close(targets[1]);
    return 0;
}
