/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A hostile guest and a hostile mediator at once: a string of bytes is taken as a
 * series of register accesses, resets, stops and messages, and done to the device in
 * a live QEMU. QEMU must survive each, and afterwards serve a plain request.
 *
 *   fuzz-registers FILE|DIRECTORY...     replays, and reports each file as a TAP case
 *   fuzz-registers --seconds N [SEED]    invents strings; one that kills is in the output
 *   fuzz-registers --invent SEED FILE    writes the string that a seed stands for
 *
 * The programs come from the environment, as qtest.h says. One of two devices is chosen by
 * the first byte: patient for a second, or not at all.
 */
#include <dirent.h>
#include <fcntl.h>
#include <linux/pci_regs.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "device-ring.h"
#include "wire.h"

#define INPUT_MAX 2048

/* A machine, and the sockets of the mediator beside it. */
typedef struct Target {
    Device device;
    int listener;
    int peer;       /* -1: not connected */
    int completion; /* the ring's eventfd, if one came, or -1 */
    bool stopped;
    struct sockaddr_un address;
} Target;

/* What is left of the string. At its end there are only zeros. */
typedef struct Input {
    const uint8_t *at;
    size_t left;
} Input;

static uint8_t take8(Input *in)
{
    if (in->left == 0)
        return 0;
    in->left--;
    return *in->at++;
}

static uint32_t take16(Input *in)
{
    uint32_t low = take8(in);

    return low | (uint32_t) take8(in) << 8;
}

static uint32_t take32(Input *in)
{
    uint32_t low = take16(in);

    return low | take16(in) << 16;
}

static size_t take_bytes(Input *in, void *ret, size_t size)
{
    size_t n = size < in->left ? size : in->left;

    memset(ret, 0, size);
    memcpy(ret, in->at, n);
    in->at += n;
    in->left -= n;
    return size;
}

/* ---- The mediator ------------------------------------------------------------------- */

static void mediator_listen(Target *t)
{
    if (t->listener >= 0)
        return;
    unlink(t->address.sun_path);
    t->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (t->listener < 0 ||
        bind(t->listener, (struct sockaddr *) &t->address, sizeof(t->address)) < 0 ||
        listen(t->listener, 4) < 0)
        abort();
}

static void forget_completion(Target *t)
{
    if (t->completion >= 0)
        close(t->completion);
    t->completion = -1;
}

static void mediator_hang_up(Target *t)
{
    forget_completion(t);
    if (t->peer >= 0)
        close(t->peer);
    t->peer = -1;
}

static void mediator_vanish(Target *t)
{
    mediator_hang_up(t);
    if (t->listener >= 0)
        close(t->listener);
    t->listener = -1;
}

static void mediator_accept(Target *t)
{
    int fd = t->listener >= 0 ? accept4(t->listener, NULL, NULL, SOCK_CLOEXEC) : -1;

    if (fd >= 0) {
        mediator_hang_up(t);
        t->peer = fd;
    }
}

static void mediator_send(Target *t, const void *bytes, size_t size)
{
    if (t->peer >= 0)
        (void) !send(t->peer, bytes, size, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* Keeps the ring's completion eventfd, which comes last, and no other descriptor. */
static void take_descriptors(Target *t, struct msghdr *message)
{
    struct cmsghdr *cmsg = CMSG_FIRSTHDR(message);
    int fds[VGPU_RING_N_FDS];

    if (!cmsg || cmsg->cmsg_len != CMSG_LEN(sizeof(fds)))
        return;
    memcpy(fds, CMSG_DATA(cmsg), sizeof(fds));
    close(fds[0]);
    close(fds[1]);
    forget_completion(t);
    t->completion = fds[2];
}

static ssize_t mediator_receive(Target *t, void *ret, size_t size, int flags)
{
    union {
        char bytes[CMSG_SPACE(VGPU_RING_N_FDS * sizeof(int))];
        struct cmsghdr align;
    } control;
    struct iovec iov = {ret, size};
    struct msghdr message = {
        .msg_iov = &iov,
        .msg_iovlen = 1,
        .msg_control = control.bytes,
        .msg_controllen = sizeof(control.bytes),
    };
    ssize_t n = recvmsg(t->peer, &message, MSG_CMSG_CLOEXEC | flags);

    if (n > 0)
        take_descriptors(t, &message);
    return n;
}

static void mediator_read(Target *t)
{
    char bytes[4096];

    if (t->peer >= 0)
        (void) !mediator_receive(t, bytes, sizeof(bytes), MSG_DONTWAIT);
}

static void mediator_signal(Target *t)
{
    if (t->completion >= 0)
        (void) !eventfd_write(t->completion, 1);
}

/* A WELCOME that knows rings, or what one says about them. */
static void mediator_send_ring(Target *t, Input *in)
{
    const VGPUWelcome welcome = {.features = VGPU_FEATURE_RING};
    const VGPURingReady ready = {.error = take8(in) % 4 ? 0 : take8(in) % (VGPU_N_ERRORS + 1)};
    char bytes[sizeof(VGPUSocketHeader) + sizeof(welcome)];
    VGPUSocketHeader header = wire_header(VGPU_MSG_RING_STOPPED, 0, 0, 0, 0);

    switch (take8(in) % 4) {
    case 0:
    case 1:
        header.msg_type = VGPU_MSG_WELCOME;
        header.payload_len = sizeof(welcome);
        memcpy(bytes + sizeof(header), &welcome, sizeof(welcome));
        break;
    case 2:
        header.msg_type = VGPU_MSG_RING_READY;
        header.payload_len = sizeof(ready);
        memcpy(bytes + sizeof(header), &ready, sizeof(ready));
        break;
    }
    memcpy(bytes, &header, sizeof(header));
    mediator_send(t, bytes, sizeof(header) + header.payload_len);
}

/* Mostly short, sometimes as long as can be or longer; short in the string in any case. */
static uint32_t take_length(Input *in, uint32_t beyond)
{
    uint32_t n = take8(in);

    return n < 192 ? n % 48 : take16(in) % beyond;
}

static void mediator_send_message(Target *t, Input *in, bool good)
{
    char bytes[sizeof(VGPUSocketHeader) + VGPU_PAYLOAD_MAX];
    static const uint8_t types[] = {
        VGPU_MSG_PING,       VGPU_MSG_PONG,       VGPU_MSG_BUSY,     VGPU_MSG_QUARANTINED,
        VGPU_MSG_WELCOME,    VGPU_MSG_HELLO,      VGPU_MSG_REQUEST,  0,
        VGPU_MSG_RING_SETUP, VGPU_MSG_RING_READY, VGPU_MSG_RING_OFF, VGPU_MSG_RING_STOPPED,
    };
    VGPUSocketHeader header =
        wire_header(types[take8(in) % sizeof(types)], take8(in), take8(in) % 4, take8(in),
                    take8(in) % 2 ? 0 : take_length(in, VGPU_PAYLOAD_MAX + 4));

    if (!good)
        take_bytes(in, &header, take8(in) % (sizeof(header) + 1));
    memset(bytes, take8(in), sizeof(bytes));
    memcpy(bytes, &header, sizeof(header));
    mediator_send(t, bytes, sizeof(header) + header.payload_len % (VGPU_PAYLOAD_MAX + 1));
}

/* Of the form of a response, and right more often than not. */
static void mediator_respond(Target *t, Input *in)
{
    char bytes[sizeof(VGPUSocketHeader) + VGPU_RESPONSE_MAX];
    const VGPUResponse response = {
        .version = VGPU_PROTOCOL_VERSION,
        .status = take8(in) % (VGPU_N_ERRORS + 1),
        .result_count = take8(in) % 4,
        .data_length = take8(in) % 2 ? 0 : take_length(in, VGPU_RESPONSE_MAX + 4),
        .data_offset = sizeof(response) + take_length(in, VGPU_RESPONSE_MAX + 4),
    };
    const VGPUSocketHeader header = wire_header(
        VGPU_MSG_RESPONSE, 0, take8(in) % 4, 0,
        (uint32_t) sizeof(response) + take_length(in, VGPU_RESPONSE_MAX + 1 - sizeof(response)));

    memset(bytes, take8(in), sizeof(bytes));
    memcpy(bytes, &header, sizeof(header));
    memcpy(bytes + sizeof(header), &response, sizeof(response));
    mediator_send(t, bytes, sizeof(header) + header.payload_len);
}

/* ---- The machine ---------------------------------------------------------------------- */

static Target *target_open(const char *options)
{
    Target *t = calloc(1, sizeof(*t));
    char device[128];
    QTest *q;

    if (!t)
        abort();
    snprintf(device, sizeof(device), "vgpu-stub,id=gpu,addr=3,socket=mediator.sock,%s", options);
    q = qtest_start((const char *const[]){"-machine", "q35", "-device", device, NULL});
    if (!device_find(q, 0, &t->device))
        abort();
    device_map_window(&t->device);
    t->listener = t->peer = t->completion = -1;
    t->address.sun_family = AF_UNIX;
    snprintf(t->address.sun_path, sizeof(t->address.sun_path), "%s/mediator.sock",
             qtest_directory(q));
    mediator_listen(t);
    return t;
}

static void target_close(Target *t)
{
    if (!t)
        return;
    mediator_vanish(t);
    qtest_stop(t->device.qtest);
    free(t);
}

static void set_stopped(Target *t, bool stopped)
{
    if (t->stopped != stopped)
        qtest_qmp_ok(t->device.qtest, "{\"execute\": \"%s\"}", stopped ? "stop" : "cont");
    t->stopped = stopped;
}

static void system_reset(Target *t)
{
    if (t->stopped)
        return; /* QEMU does it when the machine goes on; nothing would wait for that */
    qtest_qmp_ok(t->device.qtest, "{\"execute\": \"system_reset\"}");
    qtest_wait_event(t->device.qtest, "RESET", "");
    device_enable(&t->device);
}

/* Lets QEMU's main loop look at everything that has been sent to it. */
static void synchronize(Target *t)
{
    qtest_qmp_ok(t->device.qtest, "{\"execute\": \"query-status\"}");
}

static void write_config(Target *t, Input *in)
{
    uint8_t offset = take8(in);

    pci_write32(t->device.qtest, 0, t->device.slot, offset, take32(in));
}

static void access_bar(Target *t, Input *in, bool store)
{
    unsigned size = 1u << (take8(in) % 4);
    uint64_t address = DEVICE_BAR0 + take16(in) % (VGPU_BAR0_SIZE - size + 1);

    if (store) {
        uint64_t low = take32(in);

        qtest_write(t->device.qtest, address, size, low | (uint64_t) take32(in) << 32);
    } else {
        qtest_read(t->device.qtest, address, size);
    }
}

/* Mostly where a ring can lie */
static void start_ring(Target *t, Input *in)
{
    device_ring_place(&t->device, take8(in) * 4096u, take8(in) % 8 ? 64 : take8(in));
    if (take8(in) % 8 == 0)
        device_write(&t->device, VGPU_REG_RING_OFFSET_LO, take32(in));
    device_write(&t->device, VGPU_REG_RING_CTRL, 1);
}

/* What seldom comes about by chance: a ring that is on */
static void bring_up_ring(Target *t)
{
    const VGPUWelcome welcome = {.features = VGPU_FEATURE_RING};
    const VGPURingReady ready = {.error = VGPU_ERROR_NONE};
    const VGPUSocketHeader welcome_header = wire_header(VGPU_MSG_WELCOME, 0, 0, 0, sizeof(welcome));
    const VGPUSocketHeader ready_header = wire_header(VGPU_MSG_RING_READY, 0, 0, 0, sizeof(ready));

    set_stopped(t, false);
    mediator_vanish(t);
    mediator_listen(t);
    device_enable(&t->device);
    device_reset(&t->device);
    device_enable(&t->device);
    device_map_window(&t->device);
    device_ring_start(&t->device);
    mediator_accept(t);
    if (t->peer < 0)
        return;
    (void) !wire_send(t->peer, &welcome_header, &welcome);
    synchronize(t);
    mediator_read(t);
    (void) !wire_send(t->peer, &ready_header, &ready);
    synchronize(t);
}

static void access_extension(Target *t, Input *in)
{
    static const uint16_t regs[] = {
        VGPU_REG_RING_OFFSET_LO, VGPU_REG_RING_ENTRIES,    VGPU_REG_RING_CTRL,
        VGPU_REG_RING_IRQ_CTRL,  VGPU_REG_RING_IRQ_STATUS, VGPU_REG_RING_DOORBELL,
        VGPU_REG_RING_DOORBELL,  VGPU_REG_RING_DOORBELL,
    };
    unsigned size = 1u << (take8(in) % 4);
    uint32_t at = regs[take8(in) % 8] + (take8(in) % 4 ? 0 : take8(in) % 4);

    qtest_write(t->device.qtest, DEVICE_BAR0 + at, size,
                take8(in) % 4 ? take8(in) % 2 : take32(in));
}

/* The window, and the table of MSI-X vectors, which may name any address. */
static void access_other_bars(Target *t, Input *in)
{
    unsigned size = 1u << (take8(in) % 4);
    uint64_t address =
        take8(in) % 2 ? DEVICE_BAR2 + take16(in) * 256 : DEVICE_BAR4 + take16(in) % 4096 / 8 * 8;

    qtest_write(t->device.qtest, address, size, take8(in) % 2 ? 0x200000 : take32(in));
    qtest_read(t->device.qtest, address, size);
}

/* On more often than off */
static void switch_msix(Target *t, Input *in)
{
    uint8_t at = pci_capability(t->device.qtest, 0, t->device.slot, PCI_CAP_ID_MSIX);
    uint32_t flags = take8(in) % 3 ? PCI_MSIX_FLAGS_ENABLE : take16(in);

    if (at != 0)
        pci_write32(t->device.qtest, 0, t->device.slot, at, flags << 16);
}

static void fill_request(Target *t, Input *in)
{
    uint8_t bytes[VGPU_REQUEST_MAX];
    size_t size = 1 + take_length(in, VGPU_REQUEST_MAX);

    memset(bytes, take8(in), sizeof(bytes));
    qtest_write_buffer(t->device.qtest, DEVICE_BAR0 + VGPU_REG_REQUEST, bytes, size);
}

/* ---- One step, one string ---------------------------------------------------------------- */

static void step(Target *t, Input *in)
{
    char bytes[32];

    switch (take8(in) % 30) {
    case 0:
        access_bar(t, in, true);
        break;
    case 1:
        access_bar(t, in, false);
        break;
    case 2: {
        uint32_t reg = take8(in) % 16 * 4u;

        device_write(&t->device, reg, take32(in));
        break;
    }
    case 3:
    case 4:
        device_write(&t->device, VGPU_REG_REQUEST_LEN, take_length(in, VGPU_REQUEST_MAX + 2));
        device_write(&t->device, VGPU_REG_DOORBELL, 1);
        break;
    case 5:
        device_write(&t->device, VGPU_REG_REQUEST_ID, take8(in) % 4);
        break;
    case 6:
        fill_request(t, in);
        break;
    case 7:
    case 8:
        mediator_accept(t);
        break;
    case 9:
        mediator_send(t, bytes, take_bytes(in, bytes, take8(in) % 32));
        break;
    case 10:
    case 11:
        mediator_respond(t, in);
        break;
    case 12:
        mediator_send_message(t, in, true);
        break;
    case 13:
        mediator_send_message(t, in, false);
        break;
    case 14:
        mediator_hang_up(t);
        break;
    case 15:
        if (take8(in) % 4 == 0)
            mediator_vanish(t);
        else
            mediator_listen(t);
        break;
    case 16:
        device_reset(&t->device);
        device_enable(&t->device);
        break;
    case 17:
        if (take8(in) % 8 == 0)
            system_reset(t);
        break;
    case 18:
        set_stopped(t, take8(in) % 4 == 0);
        break;
    case 19:
        write_config(t, in);
        break;
    case 20:
        synchronize(t);
        mediator_read(t);
        break;
    case 21:
        start_ring(t, in);
        break;
    case 22:
    case 23:
        access_extension(t, in);
        break;
    case 24:
    case 25:
        mediator_send_ring(t, in);
        break;
    case 26:
        access_other_bars(t, in);
        break;
    case 27:
        mediator_signal(t);
        break;
    case 28:
        switch_msix(t, in);
        break;
    case 29:
        if (take8(in) % 4 == 0)
            bring_up_ring(t);
        break;
    }
}

static void give_up(const char *what)
{
    fprintf(stderr, "fuzz-registers: %s\n", what);
    exit(1);
}

/* The next connection's request is answered; what older ones still say is not looked at. */
static void serve_plain_request(Target *t)
{
    struct pollfd p = {.fd = t->listener, .events = POLLIN};
    WireMessage message;

    if (poll(&p, 1, WIRE_TIMEOUT_MSEC) != 1)
        give_up("the device does not connect");
    mediator_accept(t);
    do
        if (wire_receive(t->peer, &message) != 1)
            give_up("the device sends no request");
    while (message.header.msg_type != VGPU_MSG_REQUEST);
    if (message.header.request_id != 0x600d)
        give_up("the device sends another request");
    message.header.msg_type = VGPU_MSG_RESPONSE;
    message.header.payload_len = sizeof(message.response);
    message.response = (VGPUResponse){.version = VGPU_PROTOCOL_VERSION};
    if (!wire_send(t->peer, &message.header, &message.response))
        give_up("the device does not wait for an answer");
}

/* The next message but pings must be of this type. */
static void expect(Target *t, uint32_t type)
{
    struct pollfd p = {.fd = t->peer, .events = POLLIN};
    char payload[VGPU_PAYLOAD_MAX];
    VGPUSocketHeader header;

    do {
        if (poll(&p, 1, WIRE_TIMEOUT_MSEC) != 1 ||
            mediator_receive(t, &header, sizeof(header), MSG_WAITALL) != sizeof(header) ||
            vgpu_ring_header_check(&header))
            give_up("the device says nothing of the ring");
        if (header.payload_len > 0 &&
            mediator_receive(t, payload, header.payload_len, MSG_WAITALL) != header.payload_len)
            give_up("the device says half of something");
    } while (header.msg_type == VGPU_MSG_PING);
    if (header.msg_type != type)
        give_up("the device says something else than what becomes of the ring");
}

static void send_ring(Target *t, uint32_t type, const void *payload, uint32_t size)
{
    const VGPUSocketHeader header = wire_header(type, 0, 0, 0, size);

    if (!wire_send(t->peer, &header, payload))
        give_up("the device does not listen");
}

static uint32_t wait_ring(Target *t)
{
    uint32_t state;

    qtest_wait_irq(t->device.qtest, true);
    state = device_read(&t->device, VGPU_REG_RING_CTRL);
    device_write(&t->device, VGPU_REG_RING_IRQ_STATUS, 1);
    qtest_wait_irq(t->device.qtest, false);
    return state;
}

/* On the connection of the plain request */
static void serve_ring(Target *t)
{
    const VGPUWelcome welcome = {.features = VGPU_FEATURE_RING};
    const VGPURingReady ready = {.error = VGPU_ERROR_NONE};

    if (device_read(&t->device, VGPU_REG_RING_CTRL) != VGPU_RING_OFF)
        give_up("the ring is on in a device that was reset");
    device_ring_start(&t->device);
    send_ring(t, VGPU_MSG_WELCOME, &welcome, sizeof(welcome));
    expect(t, VGPU_MSG_RING_SETUP);
    send_ring(t, VGPU_MSG_RING_READY, &ready, sizeof(ready));
    if (wait_ring(t) != VGPU_RING_ON)
        give_up("the ring does not become on");
    if (t->completion < 0)
        give_up("the ring came without descriptors");
    mediator_signal(t);
    if (wait_ring(t) != VGPU_RING_ON)
        give_up("the ring does not stay on");
    device_write(&t->device, VGPU_REG_RING_CTRL, 0);
    expect(t, VGPU_MSG_RING_OFF);
    send_ring(t, VGPU_MSG_RING_STOPPED, NULL, 0);
}

/* Is it still a device that works? Also brings it back to where each string begins. */
static void assert_sane(Target *t)
{
    set_stopped(t, false);
    mediator_vanish(t);
    device_enable(&t->device);
    device_reset(&t->device);
    device_enable(&t->device);
    mediator_listen(t); /* not before: an older request might be sent there */
    if (device_read(&t->device, VGPU_REG_STATUS) != VGPU_STATUS_IDLE ||
        device_read(&t->device, VGPU_REG_PROTOCOL_VER) != VGPU_PROTOCOL_VERSION)
        give_up("the registers are not those of a device that was reset");

    device_submit_add(&t->device, 0x600d, 1, 2);
    serve_plain_request(t);
    if (device_wait(&t->device) != VGPU_STATUS_DONE)
        give_up("a plain request does not succeed");
    serve_ring(t);
    mediator_hang_up(t);
    synchronize(t);
    device_map_window(&t->device);
}

static void play(Target *targets[2], const uint8_t *bytes, size_t size)
{
    Input in = {bytes, size};
    unsigned n = take8(&in) % 2;

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
