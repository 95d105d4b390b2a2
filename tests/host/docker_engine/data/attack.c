/* What root in a container may try against the limit of its disk, and against the kernel.
 *
 * Prints what came of it as a number: 0 for done, else errno. "attack refused" lists what a filter refuses. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define GETXATTR 0x801c581fUL
#define SETXATTR 0x401c5820UL
#define SETFLAGS 0x40086602UL
#define SUBVOL_CREATE 0x5000940eUL
#define SUBVOL_SETFLAGS 0x4008941aUL
#define SNAP_CREATE_V2 0x50009417UL
#define FICLONE 0x40049409UL
#define READ_ONLY 2ULL

struct xattr { uint32_t flags, extent, extents, project, cow; uint8_t pad[8]; };
struct volume { int64_t fd; char name[4088]; };
struct snapshot { int64_t fd; uint64_t transid, flags, unused[4]; char name[4040]; };

static int said(long result) { printf("%d\n", result < 0 ? errno : 0); return 0; }

static int opened(const char *path) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) { perror(path); exit(9); }
    return fd;
}

static int set_project(const char *path, uint32_t flags, uint32_t project) {
    struct xattr attributes;
    int fd = opened(path);
    if (ioctl(fd, GETXATTR, &attributes) < 0) return said(-1);
    attributes.flags = flags, attributes.project = project;
    return said(ioctl(fd, SETXATTR, &attributes));
}

static int set_by_syscall(const char *path, uint32_t project) {
    struct { uint64_t flags; uint32_t extent, extents, project, cow; } attributes = {0, 0, 0, project, 0};
    return said(syscall(469, AT_FDCWD, path, &attributes, sizeof attributes, 0));
}

static int set_flags(const char *path, long flags) { return said(ioctl(opened(path), SETFLAGS, &flags)); }

static int make_subvolume(const char *folder, const char *name) {
    struct volume new = {0};
    strncpy(new.name, name, sizeof new.name - 1);
    return said(ioctl(opened(folder), SUBVOL_CREATE, &new));
}

static int make_snapshot(const char *of, const char *folder, const char *name) {
    struct snapshot new = {.fd = opened(of), .flags = READ_ONLY};
    strncpy(new.name, name, sizeof new.name - 1);
    return said(ioctl(opened(folder), SNAP_CREATE_V2, &new));
}

static int make_read_only(const char *path) {
    uint64_t flags = READ_ONLY;
    return said(ioctl(opened(path), SUBVOL_SETFLAGS, &flags));
}

static int fill(const char *folder, long count) {
    char name[4096];
    long made = 0;
    for (; made < count; made++) {
        snprintf(name, sizeof name, "%s/%ld", folder, made);
        int fd = open(name, O_CREAT | O_WRONLY, 0600);
        if (fd < 0) break;
        close(fd);
    }
    printf("%ld %d\n", made, made < count ? errno : 0);
    return 0;
}

#ifdef __x86_64__
static long call_32(long number, long first, long second, long third) {
    long result;
    __asm__ volatile("int $0x80" : "=a"(result) : "a"(number), "b"(first), "c"(second), "d"(third) : "memory");
    if (result >= 0) return result;
    errno = -result;
    return -1;
}
#endif

static int is_refused(long result) { (void)result; return errno == EPERM; }

/* With a descriptor that is none: who is asked says EBADF. Every number of 16 bits with one thing before it; those
 * around what is refused with others too. */
static int refused_ioctls(void) {
    const uint64_t before[] = {0x4000, 0, 0x8000, 0xffff, 0x10000, 0xdeadbeef0000};
    for (uint32_t number = 0; number < 1 << 16; number++) {
        uint32_t type = number >> 8;
        unsigned ways = type == 0x58 || type == 0x66 || (type > 0x92 && type < 0x97) ? 6 : 1;
        unsigned refused = 0, asked = 0;
        for (unsigned each = 0; each < ways; each++) {
            is_refused(syscall(SYS_ioctl, -1, before[each] << 16 | number, 0)) ? refused++ : asked++;
#ifdef __x86_64__
            is_refused(call_32(54, -1, (int32_t)(before[each] << 16 | number), 0)) ? refused++ : asked++;
            is_refused(syscall(0x40000000 + 514, -1, before[each] << 16 | number, 0)) ? refused++ : asked++;
#endif
        }
        if (refused) printf(asked ? "%u in part\n" : "%u\n", number);
    }
    return 0;
}

static void tried(const char *name, long result) { printf("%s %d\n", name, result < 0 ? errno : 0); }

/* Each with arguments that the kernel itself refuses or that do nothing, where it is let through. */
static int calls(void) {
    char stack[4096];
#define TRY(name, ...) errno = 0; tried(#name, syscall(SYS_##name, __VA_ARGS__))
    TRY(add_key, "user", "gpulease", "x", 1L, -3L);
    TRY(keyctl, 0L, -3L, 0L);
    TRY(request_key, 0L, 0L, 0L, 0L);
    TRY(bpf, 0L, 0L, 0L);
    TRY(mount, "none", "/nowhere", "nothing", 0L, 0L);
    TRY(umount2, "/nowhere", 0L);
    TRY(unshare, (long)CLONE_NEWUSER | CLONE_PTRACE);
    TRY(setns, -1L, 0L);
    TRY(clone3, 0L, 0L);
    TRY(personality, 0x40000L);
    TRY(io_uring_setup, 1L, stack);
    TRY(userfaultfd, 0L);
    TRY(perf_event_open, 0L, 0L, -1L, -1L, 0L);
    TRY(open_by_handle_at, -1L, 0L, 0L);
    TRY(quotactl, 0L, 0L, 0L, 0L);
    TRY(quotactl_fd, -1L, 0L, 0L, 0L);
    TRY(fsopen, "tmpfs", 0L);
    TRY(move_mount, -1L, "", -1L, "", 0L);
    TRY(kcmp, 1L, 1L, 0L, 0L, 0L);
    TRY(pidfd_getfd, -1L, 0L, 0L);
    TRY(kexec_load, 0L, 0L, 0L, 0L);
    TRY(init_module, 0L, 0L, "");
    TRY(swapon, "/nowhere", 0L);
    TRY(reboot, 0L, 0L, 0L, 0L);
    TRY(settimeofday, -1L, 0L);
    TRY(sethostname, "", -1L);
    TRY(acct, "/nowhere");
    TRY(syslog, 10L, 0L, 0L);
    TRY(mbind, 0L, 0L, 0L, 0L, 0L, 0L);
    errno = 0, tried("file_setattr", syscall(469, -1L, "", 0L, 0L, 0L));
    errno = 0, tried("clone-with-namespace", syscall(SYS_clone, (long)CLONE_NEWUSER | CLONE_FS, 0L, 0L, 0L, 0L));
    errno = 0, tried("vsock", syscall(SYS_socket, 40L, 1L, 0L));
    errno = 0, tried("vsock-with-high-bits", syscall(SYS_socket, 40L | 1L << 32, 1L, 0L));
    errno = 0, tried("kernel-ciphers", syscall(SYS_socket, 38L, 5L, 0L));
    TRY(ptrace, 0x7fffffffL, 0L, 0L, 0L);
    TRY(socket, 1L, 1L, 0L);
    TRY(socket, 2L, 1L, 0L);
    TRY(socket, 16L, 3L, 0L);
    TRY(memfd_create, "x", 0L);
    TRY(getpid, 0L);
    return 0;
}

/* Of a 32-bit program: by the calls that Linux 4.3 brought, and by the one that its C library knows. */
static int calls_of_32_bits(void) {
#ifdef __x86_64__
    static int32_t internet[] = {2, 1, 0};
    errno = 0, tried("ciphers", call_32(359, 38, 5, 0));
    errno = 0, tried("vsock", call_32(359, 40, 1, 0));
    errno = 0, tried("internet", call_32(359, 2, 1, 0));
    errno = 0, tried("internet-by-socketcall", call_32(102, 1, (int32_t)(intptr_t)internet, 0));
#endif
    return 0;
}

int main(int count, char **words) {
    if (access("/.dockerenv", F_OK)) return fprintf(stderr, "only in a container\n"), 9;
    const char *what = count > 1 ? words[1] : "";
    if (!strcmp(what, "project") && count == 5) return set_project(words[2], atoi(words[3]), atoi(words[4]));
    if (!strcmp(what, "project-by-syscall") && count == 4) return set_by_syscall(words[2], atoi(words[3]));
    if (!strcmp(what, "flags") && count == 4) return set_flags(words[2], atol(words[3]));
    if (!strcmp(what, "subvolume") && count == 4) return make_subvolume(words[2], words[3]);
    if (!strcmp(what, "snapshot") && count == 5) return make_snapshot(words[2], words[3], words[4]);
    if (!strcmp(what, "read-only") && count == 3) return make_read_only(words[2]);
    if (!strcmp(what, "fill") && count == 4) return fill(words[2], atol(words[3]));
    if (!strcmp(what, "refused-ioctls")) return refused_ioctls();
    if (!strcmp(what, "calls")) return calls();
    if (!strcmp(what, "calls-of-32-bits")) return calls_of_32_bits();
    fprintf(stderr, "what?\n");
    return 9;
}
