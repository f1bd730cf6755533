/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "peer-place.h"

#include <errno.h>
#include <poll.h>
#include <unistd.h>

#include "container-of.h"
#include "peer.h"

/* ---- Becoming a process of a VM ---------------------------------------------------------------
 */

/* Then its number was its own all the time, and the answer is about it. */
static bool peer_process_is_there(const Peer *p)
{
    struct pollfd fd = {.fd = p->pidfd, .events = POLLIN};

    return p->pidfd >= 0 && poll(&fd, 1, 0) == 0;
}

static void peer_on_dismissed(VMMember *m)
{
    peer_free(CONTAINER_OF(m, Peer, member));
}

void peer_close_process(Peer *p)
{
    if (p->pidfd >= 0)
        close(p->pidfd);
    p->pidfd = -1;
}

static void peer_join(Peer *p, VM *vm)
{
    const VGPUWelcome welcome = {.vm_id = vm->id, .features = p->features & PLACE_FEATURES};

    p->features &= PLACE_FEATURES;
    p->vm = vm;
    p->member.hang_up = peer_on_dismissed;
    peer_set_silent(p, false);
    peer_set_stranger(p, false);
    connection_admit(p->connection);
    vm_join(vm, &p->member);
    vm_send_by(vm, p->connection, VGPU_MSG_WELCOME, p->hello_id, &welcome, sizeof(welcome));
}

/* It is of no VM that somebody registered. Returns as a message's handler. */
static int peer_be_stranger(Peer *p)
{
    VM *vm;
    int r = peer_admit_unregistered(p, &p->hello, &vm);

    if (r == MESSAGE_OK)
        peer_welcome(p, vm, p->hello_id);
    return r;
}

static int peer_ask_place(Peer *p, VMPlaceKind kind);

/* The next question, or what is to be done without one. Returns as a message's handler. */
static int peer_ask_next_place(Peer *p, VMPlaceKind asked)
{
    if (asked < VM_PLACE_UNIT && vm_registry_has_place(p->peers->vms, VM_PLACE_UNIT))
        return peer_ask_place(p, VM_PLACE_UNIT);
    if (asked < VM_PLACE_MACHINE && vm_registry_has_place(p->peers->vms, VM_PLACE_MACHINE))
        return peer_ask_place(p, VM_PLACE_MACHINE);
    return peer_be_stranger(p);
}

static void peer_on_place(Peer *p, IdentityVerdict verdict, VMPlaceKind asked)
{
    VM *vm = verdict == IDENTITY_SAME
                 ? vm_registry_find_by_place(p->peers->vms, identity_check_place(p->check))
                 : NULL;
    int r = MESSAGE_OK;

    p->check = identity_check_free(p->check);
    if (verdict == IDENTITY_CANNOT_ASK)
        r = peer_violation(p, "nobody can say now which unit or machine its process is in; it may "
                              "try again");
    else if (vm && !peer_process_is_there(p))
        r = peer_violation(p, "its process has ended");
    else if (vm && vm->n_members >= p->peers->config->max_connections_per_user)
        r = peer_violation(p, "its VM has as many connections as ConnectionsPerUser= allows");
    else if (vm)
        peer_join(p, vm);
    else
        r = peer_ask_next_place(p, asked);

    if (r == MESSAGE_WAIT)
        return;
    peer_close_process(p);
    if (r == MESSAGE_OK)
        connection_go_on(p->connection);
    else
        peer_free(p);
}

static void peer_on_unit(void *userdata, IdentityVerdict verdict)
{
    peer_on_place(userdata, verdict, VM_PLACE_UNIT);
}

static void peer_on_machine(void *userdata, IdentityVerdict verdict)
{
    peer_on_place(userdata, verdict, VM_PLACE_MACHINE);
}

static int peer_ask_place(Peer *p, VMPlaceKind kind)
{
    int r;

    if (p->pidfd < 0)
        p->pidfd = connection_open_process(p->connection);
    r = identity_place_new(&p->peers->identity, p->process->pid, kind,
                           kind == VM_PLACE_UNIT ? peer_on_unit : peer_on_machine, p, &p->check);

    if (r == -ENOMEM)
        return r;
    if (r < 0)
        return peer_violation(p, "nobody can be asked now which unit or machine its process is in");
    peer_set_silent(p, false);
    return MESSAGE_WAIT;
}

int peer_find_place(Peer *p, const VGPUSocketHeader *h)
{
    p->hello = *h;
    p->hello_id = h->request_id;
    if (p->process->pid <= 0 || !p->peers->identity.open_bus)
        return peer_be_stranger(p);
    return peer_ask_next_place(p, VM_PLACE_NONE);
}
