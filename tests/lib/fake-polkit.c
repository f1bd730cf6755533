/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>
#include <unistd.h>

#include "fake-polkit.h"

#define NAME "org.freedesktop.PolicyKit1"
#define PATH "/org/freedesktop/PolicyKit1/Authority"
#define INTERFACE "org.freedesktop.PolicyKit1.Authority"

#define MAX_RULES 64
#define MAX_HELD 256
#define TIMEOUT_MSEC 20000

typedef enum CommandType {
    COMMAND_RULE,
    COMMAND_HOLD,
    COMMAND_RELEASE,
} CommandType;

typedef struct Command {
    CommandType type;
    char action[64]; /* empty: every action */
    uid_t uid;
    FakePolkitVerdict verdict;
} Command;

typedef struct Server {
    int calls;
    Command rules[MAX_RULES];
    size_t n_rules;
    bool holding;
    struct {
        sd_bus_message *message;
        FakePolkitCall call;
    } held[MAX_HELD];
    size_t n_held;
} Server;

/* ---- Its process ------------------------------------------------------------------------ */

static FakePolkitVerdict find_verdict(const Server *s, const FakePolkitCall *call)
{
    for (size_t i = s->n_rules; i-- > 0;) {
        const Command *rule = &s->rules[i];

        if (rule->action[0] && strcmp(rule->action, call->action) != 0)
            continue;
        if (rule->uid == (uid_t) -1 || rule->uid == call->uid)
            return rule->verdict;
    }
    return FAKE_POLKIT_NO;
}

static int answer(const Server *s, sd_bus_message *message, const FakePolkitCall *call)
{
    FakePolkitVerdict verdict = find_verdict(s, call);
    bool challenge = verdict == FAKE_POLKIT_CHALLENGE;
    bool yes = verdict == FAKE_POLKIT_YES || (challenge && call->interactive);

    return sd_bus_reply_method_return(message, "(bba{ss})", (int) yes, (int) (challenge && !yes),
                                      0);
}

/* The mediator asks about this kind of subject only. */
static int read_subject(sd_bus_message *m, uid_t *ret)
{
    const char *kind, *key, *sender;
    sd_bus_creds *creds = NULL;
    int r;

    r = sd_bus_message_read(m, "(sa{sv})", &kind, 1, &key, "s", &sender);
    if (r < 0)
        return r;
    if (strcmp(kind, "system-bus-name") != 0 || strcmp(key, "name") != 0)
        return -EINVAL;

    r = sd_bus_get_name_creds(sd_bus_message_get_bus(m), sender, SD_BUS_CREDS_EUID, &creds);
    if (r >= 0)
        r = sd_bus_creds_get_euid(creds, ret);
    sd_bus_creds_unref(creds);
    return r;
}

static int read_details(sd_bus_message *m, FakePolkitCall *call)
{
    const char *key, *value;
    int r;

    r = sd_bus_message_enter_container(m, 'a', "{ss}");
    if (r < 0)
        return r;
    while ((r = sd_bus_message_read(m, "{ss}", &key, &value)) > 0)
        if (strcmp(key, "vm") == 0)
            snprintf(call->vm, sizeof(call->vm), "%s", value);
        else if (strcmp(key, "method") == 0)
            snprintf(call->method, sizeof(call->method), "%s", value);
    return r < 0 ? r : sd_bus_message_exit_container(m);
}

static int read_call(sd_bus_message *m, FakePolkitCall *ret)
{
    FakePolkitCall call = {0};
    const char *action, *cancellation;
    uint32_t flags;
    int r;

    r = read_subject(m, &call.uid);
    if (r >= 0)
        r = sd_bus_message_read(m, "s", &action);
    if (r >= 0)
        r = read_details(m, &call);
    if (r >= 0)
        r = sd_bus_message_read(m, "us", &flags, &cancellation);
    if (r < 0)
        return r;

    snprintf(call.action, sizeof(call.action), "%s", action);
    call.interactive = flags & 1;
    *ret = call;
    return 0;
}

static int check_authorization(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
    Server *s = userdata;
    FakePolkitCall call;
    int r;

    (void) error;
    r = read_call(m, &call);
    if (r < 0)
        return r;
    if (send(s->calls, &call, sizeof(call), MSG_NOSIGNAL) < 0)
        return -errno;

    if (!s->holding)
        return answer(s, m, &call);
    if (s->n_held == MAX_HELD)
        return -ENOBUFS;
    s->held[s->n_held].message = sd_bus_message_ref(m);
    s->held[s->n_held++].call = call;
    return 1;
}

static const sd_bus_vtable vtable[] = {
    SD_BUS_VTABLE_START(0),
    SD_BUS_METHOD("CheckAuthorization", "(sa{sv})sa{ss}us", "(bba{ss})", check_authorization,
                  SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_VTABLE_END,
};

static void release(Server *s)
{
    for (size_t i = 0; i < s->n_held; i++) {
        (void) answer(s, s->held[i].message, &s->held[i].call);
        sd_bus_message_unref(s->held[i].message);
    }
    s->n_held = 0;
}

static int obey(Server *s, const Command *c)
{
    if (c->type == COMMAND_RULE && s->n_rules == MAX_RULES)
        return -ENOBUFS;

    if (c->type == COMMAND_RULE)
        s->rules[s->n_rules++] = *c;
    else
        s->holding = c->type == COMMAND_HOLD;
    if (!s->holding)
        release(s);
    return 0;
}

static int on_command(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
    Command command;
    int r;

    (void) events;
    if (recv(fd, &command, sizeof(command), 0) != sizeof(command))
        return sd_event_exit(sd_event_source_get_event(source), 0);
    r = obey(userdata, &command);
    return send(fd, &r, sizeof(r), MSG_NOSIGNAL) < 0 ? -errno : 0;
}

/* Writes to @control that it serves, or why it does not. */
static int serve(int control, int calls)
{
    Server s = {.calls = calls};
    sd_event *event = NULL;
    sd_bus *bus = NULL;
    int r;

    r = sd_event_new(&event);
    if (r >= 0)
        r = sd_bus_open_system(&bus);
    if (r >= 0)
        r = sd_bus_add_object_vtable(bus, NULL, PATH, INTERFACE, vtable, &s);
    if (r >= 0)
        r = sd_bus_attach_event(bus, event, 0);
    if (r >= 0)
        r = sd_event_add_io(event, NULL, control, POLLIN, on_command, &s);
    if (r >= 0)
        r = sd_bus_request_name(bus, NAME, 0);
    r = r < 0 ? r : 0;
    if (send(control, &r, sizeof(r), MSG_NOSIGNAL) > 0 && r == 0)
        r = sd_event_loop(event);

    release(&s);
    sd_bus_flush_close_unref(bus);
    sd_event_unref(event);
    return r;
}

/* ---- The test's side -------------------------------------------------------------------- */

static int await(int fd, void *ret, size_t size)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};

    if (poll(&p, 1, TIMEOUT_MSEC) <= 0)
        return -ETIMEDOUT;
    return recv(fd, ret, size, 0) == (ssize_t) size ? 0 : -ECONNRESET;
}

int fake_polkit_start(FakePolkit *p)
{
    int control[2], calls[2], r = 0, answered;

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, control) < 0 ||
        socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, calls) < 0)
        return -errno;

    p->pid = fork();
    if (p->pid == 0) {
        (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
        close(control[0]);
        close(calls[0]);
        _exit(serve(control[1], calls[1]) < 0);
    }
    close(control[1]);
    close(calls[1]);
    p->control = control[0];
    p->calls = calls[0];

    answered = p->pid < 0 ? -errno : await(p->control, &r, sizeof(r));
    return answered < 0 ? answered : r;
}

static int command(FakePolkit *p, const Command *c)
{
    int r = 0, answered;

    if (send(p->control, c, sizeof(*c), MSG_NOSIGNAL) < 0)
        return -errno;
    answered = await(p->control, &r, sizeof(r));
    return answered < 0 ? answered : r;
}

int fake_polkit_set(FakePolkit *p, const char *action, uid_t uid, FakePolkitVerdict verdict)
{
    Command c = {.type = COMMAND_RULE, .uid = uid, .verdict = verdict};

    snprintf(c.action, sizeof(c.action), "%s", action ? action : "");
    return command(p, &c);
}

int fake_polkit_hold(FakePolkit *p)
{
    return command(p, &(Command){.type = COMMAND_HOLD});
}

int fake_polkit_release(FakePolkit *p)
{
    return command(p, &(Command){.type = COMMAND_RELEASE});
}

int fake_polkit_next_call(FakePolkit *p, FakePolkitCall *ret)
{
    return await(p->calls, ret, sizeof(*ret));
}

bool fake_polkit_any_call(const FakePolkit *p)
{
    struct pollfd f = {.fd = p->calls, .events = POLLIN};

    return poll(&f, 1, 0) > 0;
}

void fake_polkit_stop(FakePolkit *p)
{
    if (p->pid <= 0)
        return;
    close(p->control);
    close(p->calls);
    (void) waitpid(p->pid, NULL, 0);
    p->pid = 0;
}
