/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The system calls that are refused are a list of what NVIDIA's driver never needs, and not what is
 * left when those are taken out that it does need. What it needs is nowhere documented, and changes
 * with each version: a list of that would one day break every session of a host, after an update of
 * something else. Refused is with EPERM, and nothing is killed, for the same reason.
 *
 * A file is opened for reading and writing by the driver with each mapping of a device. So that is
 * not refused here, but by Landlock, which tells files apart.
 */
#include "session-containment.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cleanup.h"

#define FILES_MAX 4096u

static bool has_begun, is_tight;

/* ---- Files -----------------------------------------------------------------------------------
 */

#define LANDLOCK_WRITES                                                                            \
    (LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR |                               \
     LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_DIR | \
     LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO |   \
     LANDLOCK_ACCESS_FS_MAKE_BLOCK | LANDLOCK_ACCESS_FS_MAKE_SYM)

/* @access: LANDLOCK_ACCESS_FS_*; a file can only be written */
static int landlock_allow(int ruleset, const char *path, uint64_t access)
{
    CLEANUP_CLOSE int fd = open(path, O_PATH | O_CLOEXEC);
    struct landlock_path_beneath_attr rule = {.parent_fd = fd};
    struct stat st;

    if (fd < 0)
        return 0;
    if (fstat(fd, &st) < 0)
        return -errno;
    rule.allowed_access = S_ISDIR(st.st_mode) ? access : LANDLOCK_ACCESS_FS_WRITE_FILE;
    return syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0
               ? -errno
               : 0;
}

/* The devices are those that are there. What makes them needs privileges that this process has not.
 */
static int landlock_allow_devices(int ruleset)
{
    glob_t found = {0};
    int r = landlock_allow(ruleset, "/dev/null", LANDLOCK_ACCESS_FS_WRITE_FILE);

    if (glob("/dev/nvidia*", 0, NULL, &found) == 0)
        for (size_t i = 0; r == 0 && i < found.gl_pathc; i++)
            r = landlock_allow(ruleset, found.gl_pathv[i], LANDLOCK_ACCESS_FS_WRITE_FILE);
    globfree(&found);
    return r;
}

static int contain_files(void)
{
    const struct landlock_ruleset_attr attr = {.handled_access_fs =
                                                   LANDLOCK_WRITES | LANDLOCK_ACCESS_FS_EXECUTE};
    const char *temporary = getenv("TMPDIR");
    CLEANUP_CLOSE int ruleset = (int) syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr), 0);
    int r;

    if (ruleset < 0) /* a kernel without it */
        return errno == ENOSYS || errno == EOPNOTSUPP || errno == EPERM ? 0 : -errno;
    r = landlock_allow_devices(ruleset);
    /* The driver writes names of its threads there (comm), and without that it does not start:
     * error 304. */
    if (r == 0)
        r = landlock_allow(ruleset, "/proc/self/task", LANDLOCK_ACCESS_FS_WRITE_FILE);
    if (r == 0 && temporary)
        r = landlock_allow(ruleset, temporary, LANDLOCK_WRITES);
    if (r == 0 && syscall(SYS_landlock_restrict_self, ruleset, 0) < 0)
        r = -errno;
    return r;
}

/* ---- At the beginning -------------------------------------------------------------------------
 */

static int limit(__rlimit_resource_t resource, rlim_t max)
{
    struct rlimit l;

    if (getrlimit(resource, &l) < 0)
        return -errno;
    if (l.rlim_max > max)
        l.rlim_max = max;
    if (l.rlim_cur > l.rlim_max)
        l.rlim_cur = l.rlim_max;
    return setrlimit(resource, &l) < 0 ? -errno : 0;
}

static int close_others(int socket)
{
    const unsigned first = STDERR_FILENO + 1, fd = (unsigned) socket;

    if (fd > first && close_range(first, fd - 1, 0) < 0)
        return -errno;
    return close_range(fd < first ? first : fd + 1, ~0u, 0) < 0 ? -errno : 0;
}

int session_containment_begin(int socket)
{
    int r = close_others(socket);

    has_begun = true;
    if (r == 0)
        r = limit(RLIMIT_CORE, 0);
    if (r == 0)
        r = limit(RLIMIT_NOFILE, FILES_MAX);
    if (r == 0 &&
        (setenv("CUDA_CACHE_DISABLE", "1", 1) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0))
        r = -errno;
    return r == 0 ? contain_files() : r;
}

/* ---- System calls ------------------------------------------------------------------------------
 */

#if defined(__x86_64__)
#define NATIVE AUDIT_ARCH_X86_64
#define OTHER_NUMBERS 0x40000000u /* those of x32 begin here */
#elif defined(__aarch64__)
#define NATIVE AUDIT_ARCH_AARCH64
#else
#error "which system calls this machine has is not known"
#endif

static const uint16_t refused[] = {
    /* programs */
    SYS_execve,
    SYS_execveat,
    /* other processes */
    SYS_ptrace,
    SYS_process_vm_readv,
    SYS_process_vm_writev,
    SYS_process_madvise,
    SYS_kcmp,
    SYS_pidfd_open,
    SYS_pidfd_getfd,
    SYS_pidfd_send_signal,
    SYS_tkill,
    SYS_rt_sigqueueinfo,
    SYS_rt_tgsigqueueinfo,
    /* sockets; what is open stays */
    SYS_socket,
    SYS_socketpair,
    SYS_connect,
    SYS_bind,
    SYS_listen,
    SYS_accept,
    SYS_accept4,
    SYS_mq_open,
    SYS_mq_unlink,
    SYS_msgget,
    SYS_semget,
    /* files */
    SYS_openat2,
    SYS_open_by_handle_at,
    SYS_name_to_handle_at,
    SYS_truncate,
    SYS_unlinkat,
    SYS_renameat2,
    SYS_mkdirat,
    SYS_linkat,
    SYS_symlinkat,
    SYS_mknodat,
    SYS_fchmod,
    SYS_fchmodat,
    SYS_fchown,
    SYS_fchownat,
    SYS_utimensat,
    SYS_setxattr,
    SYS_lsetxattr,
    SYS_fsetxattr,
    SYS_removexattr,
    SYS_lremovexattr,
    SYS_fremovexattr,
#if defined(__x86_64__)
    SYS_fork,
    SYS_vfork,
    SYS_creat,
    SYS_unlink,
    SYS_rename,
    SYS_mkdir,
    SYS_rmdir,
    SYS_link,
    SYS_symlink,
    SYS_mknod,
    SYS_chmod,
    SYS_chown,
    SYS_lchown,
    SYS_utime,
    SYS_utimes,
    SYS_futimesat,
    SYS_iopl,
    SYS_ioperm,
    SYS_modify_ldt,
#endif
#if defined(SYS_renameat)
    SYS_renameat,
#endif
    /* mounts and namespaces */
    SYS_mount,
    SYS_umount2,
    SYS_pivot_root,
    SYS_chroot,
    SYS_move_mount,
    SYS_open_tree,
    SYS_fsopen,
    SYS_fsconfig,
    SYS_fsmount,
    SYS_fspick,
    SYS_mount_setattr,
    SYS_unshare,
    SYS_setns,
    SYS_swapon,
    SYS_swapoff,
    /* users */
    SYS_setuid,
    SYS_setgid,
    SYS_setreuid,
    SYS_setregid,
    SYS_setresuid,
    SYS_setresgid,
    SYS_setfsuid,
    SYS_setfsgid,
    SYS_setgroups,
    SYS_capset,
    /* the kernel */
    SYS_bpf,
    SYS_perf_event_open,
    SYS_keyctl,
    SYS_add_key,
    SYS_request_key,
    SYS_userfaultfd,
    SYS_io_uring_setup,
    SYS_io_uring_enter,
    SYS_io_uring_register,
    SYS_fanotify_init,
    SYS_kexec_load,
    SYS_init_module,
    SYS_finit_module,
    SYS_delete_module,
    SYS_reboot,
    SYS_quotactl,
    SYS_acct,
    SYS_syslog,
    SYS_personality,
    SYS_settimeofday,
    SYS_clock_settime,
    SYS_clock_adjtime,
    SYS_adjtimex,
    SYS_sethostname,
    SYS_setdomainname,
    SYS_vhangup,
};

#define N_REFUSED (sizeof(refused) / sizeof(refused[0]))
#define N_MORE 64u /* statements that look at arguments, at most */

typedef struct Filter {
    struct sock_filter code[2 * N_REFUSED + N_MORE];
    unsigned n;
} Filter;

static void filter_add(Filter *f, struct sock_filter statement)
{
    if (f->n < sizeof(f->code) / sizeof(f->code[0]))
        f->code[f->n] = statement;
    f->n++; /* too many is seen at the end */
}

static void filter_load(Filter *f, uint32_t offset)
{
    filter_add(f, (struct sock_filter) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offset));
}

static void filter_return(Filter *f, uint32_t action)
{
    filter_add(f, (struct sock_filter) BPF_STMT(BPF_RET | BPF_K, action));
}

/* The next @n statements are for this call alone. */
static void filter_call(Filter *f, uint32_t number, uint8_t n)
{
    filter_add(f, (struct sock_filter) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, n));
}

/* The lower half of an argument; all that are looked at are int. */
#define ARGUMENT(index) \
    ((uint32_t) (offsetof(struct seccomp_data, args) + (index) * sizeof(uint64_t)))
#define EPERM_ACTION (SECCOMP_RET_ERRNO | EPERM)

/* Refuse @number unless its argument is @value. */
static void filter_only(Filter *f, uint32_t number, unsigned argument, uint32_t value)
{
    filter_call(f, number, 4);
    filter_load(f, ARGUMENT(argument));
    filter_add(f, (struct sock_filter) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 1, 0));
    filter_return(f, EPERM_ACTION);
    filter_return(f, SECCOMP_RET_ALLOW);
}

/* Refuse @number if its argument is @value. */
static void filter_not(Filter *f, uint32_t number, unsigned argument, uint32_t value)
{
    filter_call(f, number, 4);
    filter_load(f, ARGUMENT(argument));
    filter_add(f, (struct sock_filter) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, 1));
    filter_return(f, EPERM_ACTION);
    filter_return(f, SECCOMP_RET_ALLOW);
}

/* Refuse @number to make, empty or only write a file. */
static void filter_open(Filter *f, uint32_t number, unsigned argument)
{
    const uint32_t makes = O_CREAT | O_TRUNC | O_APPEND | (O_TMPFILE & ~O_DIRECTORY) | O_WRONLY;

    filter_call(f, number, 4);
    filter_load(f, ARGUMENT(argument));
    filter_add(f, (struct sock_filter) BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, makes, 0, 1));
    filter_return(f, EPERM_ACTION);
    filter_return(f, SECCOMP_RET_ALLOW);
}

/* A thread is made, a process is not. What clone3() does stands in memory, where a filter cannot
 * look: the C library does without. */
static void filter_clone(Filter *f)
{
    filter_call(f, SYS_clone3, 1);
    filter_return(f, SECCOMP_RET_ERRNO | ENOSYS);
    filter_call(f, SYS_clone, 4);
    filter_load(f, ARGUMENT(0));
    filter_add(f, (struct sock_filter) BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, CLONE_THREAD, 1, 0));
    filter_return(f, EPERM_ACTION);
    filter_return(f, SECCOMP_RET_ALLOW);
}

static void filter_make(Filter *f)
{
    const uint32_t self = (uint32_t) getpid();

    f->n = 0;
    filter_load(f, offsetof(struct seccomp_data, arch));
    filter_add(f, (struct sock_filter) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, NATIVE, 1, 0));
    filter_return(f, EPERM_ACTION);
    filter_load(f, offsetof(struct seccomp_data, nr));
#ifdef OTHER_NUMBERS
    filter_add(f, (struct sock_filter) BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, OTHER_NUMBERS, 0, 1));
    filter_return(f, EPERM_ACTION);
#endif
    for (size_t i = 0; i < N_REFUSED; i++) {
        filter_call(f, refused[i], 1);
        filter_return(f, EPERM_ACTION);
    }
    filter_clone(f);
    filter_open(f, SYS_openat, 2);
#ifdef SYS_open
    filter_open(f, SYS_open, 1);
#endif
    filter_only(f, SYS_kill, 0, self);
    filter_only(f, SYS_tgkill, 0, self);
    filter_only(f, SYS_prlimit64, 0, 0);
    filter_not(f, SYS_prctl, 0, PR_SET_DUMPABLE);
    filter_return(f, SECCOMP_RET_ALLOW);
}

int session_containment_tighten(void)
{
    struct sock_fprog program;
    Filter f;
    long r;

    if (!has_begun || is_tight)
        return 0;
    filter_make(&f);
    if (f.n > sizeof(f.code) / sizeof(f.code[0]))
        return -E2BIG;
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
        return -errno;
    program = (struct sock_fprog){.len = (unsigned short) f.n, .filter = f.code};
    r = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program);
    if (r != 0) /* a positive one is a thread that cannot have it */
        return r < 0 ? -errno : -EBUSY;
    is_tight = true;
    return 0;
}
