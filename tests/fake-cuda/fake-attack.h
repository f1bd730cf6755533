/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the kernel "attack" of the fake driver tries: a kernel there is code in the executor's own
 * process, as good as a guest's that has broken out of the driver's compiler.
 */
#ifndef FAKE_ATTACK_H
#define FAKE_ATTACK_H

#include <stdint.h>

/* X(name) - each writes one FakeAttack: 0 when it worked, else the errno. Refused by the filter of
 * system calls */
/* clang-format off */
#define FAKE_ATTACKS(X) \
    X(execve) X(fork) X(clone_process) X(socket) X(socketpair) X(connect) \
    X(bind) X(ptrace) X(process_vm_readv) X(kill_parent) X(kill_all) \
    X(pidfd_open) X(open_make) X(open_write) X(open_empty) X(creat) \
    X(unlink) X(rename) X(chmod) X(truncate) X(mount) \
    X(unshare) X(setuid) X(bpf) X(perf) X(keyctl) \
    X(io_uring) X(userfaultfd) X(personality) X(dumpable) X(limit_parent) \
    X(x32)
/* clang-format on */

/* What the driver needs, and has to work */
#define FAKE_NEEDS(X) X(thread) X(map) X(map_code) X(memfd) X(eventfd) X(open_read) X(signal_self)

enum {
#define FAKE_ATTACK_(name) FAKE_ATTACK_##name,
    FAKE_ATTACKS(FAKE_ATTACK_)
#undef FAKE_ATTACK_
#define FAKE_NEED_(name) FAKE_NEED_##name,
        FAKE_NEEDS(FAKE_NEED_)
#undef FAKE_NEED_
            FAKE_ATTACK_open_both, /* for reading and writing: Landlock's to refuse */
    FAKE_N_ATTACKS,
};

typedef struct FakeAttack {
    int32_t error;
} FakeAttack;

#endif
