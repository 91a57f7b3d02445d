/* Fails, cuts short or kills the n-th I/O call beneath a folder.

   A process that runs with this library in LD_PRELOAD behaves as always until it calls
   io_faults_arm. Then calls of libc that change files beneath the folder are counted, from 1. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum kind { COUNT_ONLY, KILL_BEFORE, KILL_AFTER, KILL_HALFWAY, FAIL, DISK_FULL, SHORT };
enum call { MAKE, WRITE, FREE }; /* FREE needs no room on the disk */

static char folder[4096];
static size_t folder_length;
static long target;
static int kind;
static atomic_long count;
static FILE *trace;

void io_faults_arm(const char *below, long nth, int what, const char *trace_path) {
    folder_length = 0;
    snprintf(folder, sizeof folder, "%s", below);
    target = nth;
    kind = what;
    atomic_store(&count, 0);
    trace = trace_path ? fopen(trace_path, "w") : NULL;
    folder_length = strlen(folder);
}

void io_faults_disarm(void) { folder_length = 0; }

long io_faults_count(void) { return atomic_load(&count); }

static int is_below(const char *path) {
    return folder_length && strncmp(path, folder, folder_length) == 0;
}

static int path_is_below(int directory, const char *path) {
    char whole[8192], base[4096], link[64];
    if (!folder_length || !path) return 0;
    if (path[0] == '/') return is_below(path);
    if (directory == AT_FDCWD) {
        if (!getcwd(base, sizeof base)) return 0;
    } else {
        snprintf(link, sizeof link, "/proc/self/fd/%d", directory);
        ssize_t n = readlink(link, base, sizeof base - 1);
        if (n < 0) return 0;
        base[n] = 0;
    }
    snprintf(whole, sizeof whole, "%s/%s", base, path);
    return is_below(whole);
}

static int fd_is_below(int fd) {
    char link[64], path[4096];
    if (!folder_length) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    if (n < 0) return 0;
    path[n] = 0;
    return is_below(path);
}

static void die(void) {
    kill(getpid(), SIGKILL);
    for (;;) pause();
}

/* Returns what this call has to do: COUNT_ONLY for as always. */
static int fault_of(int is_ours, enum call call, const char *name, const char *path) {
    if (!is_ours) return COUNT_ONLY;
    long mine = atomic_fetch_add(&count, 1) + 1;
    if (trace) {
        fprintf(trace, "%ld %s %s\n", mine, name, path ? path : "");
        fflush(trace);
    }
    if (kind == DISK_FULL) return mine >= target && call != FREE ? DISK_FULL : COUNT_ONLY;
    if (mine != target) return COUNT_ONLY;
    if (kind == KILL_BEFORE || (kind == KILL_HALFWAY && call != WRITE)) die();
    if (kind == SHORT && call != WRITE) return COUNT_ONLY;
    return kind;
}

static int refused(int fault) {
    if (fault != FAIL && fault != DISK_FULL) return 0;
    errno = fault == FAIL ? EIO : ENOSPC;
    return 1;
}

#define REAL(name) \
    static __typeof__(name) *real; \
    if (!real) real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)
#define ENDED(result) /* of the real call */ \
    do { \
        __typeof__(result) value = (result); \
        if (fault == KILL_AFTER) die(); \
        return value; \
    } while (0)

static const char *name_of(int fd) {
    static _Thread_local char path[4096];
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = trace ? readlink(link, path, sizeof path - 1) : 0;
    path[n < 0 ? 0 : n] = 0;
    return path;
}

ssize_t write(int fd, const void *data, size_t size) {
    REAL(write);
    int fault = fault_of(fd_is_below(fd), WRITE, "write", name_of(fd));
    if (refused(fault)) return -1;
    if (fault == KILL_HALFWAY) { (void)!real(fd, data, size / 2); die(); }
    if (fault == SHORT && size > 1) size /= 2;
    ENDED(real(fd, data, size));
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t offset) {
    REAL(pwrite);
    int fault = fault_of(fd_is_below(fd), WRITE, "pwrite", name_of(fd));
    if (refused(fault)) return -1;
    if (fault == KILL_HALFWAY) { (void)!real(fd, data, size / 2, offset); die(); }
    if (fault == SHORT && size > 1) size /= 2;
    ENDED(real(fd, data, size, offset));
}

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t offset) {
    REAL(pwrite64);
    int fault = fault_of(fd_is_below(fd), WRITE, "pwrite64", name_of(fd));
    if (refused(fault)) return -1;
    if (fault == KILL_HALFWAY) { (void)!real(fd, data, size / 2, offset); die(); }
    if (fault == SHORT && size > 1) size /= 2;
    ENDED(real(fd, data, size, offset));
}

ssize_t writev(int fd, const struct iovec *parts, int number) {
    REAL(writev);
    int fault = fault_of(fd_is_below(fd), WRITE, "writev", name_of(fd));
    if (refused(fault)) return -1;
    if (fault == KILL_HALFWAY) { (void)!real(fd, parts, number / 2); die(); }
    ENDED(real(fd, parts, number));
}

#define CALL(call, name, declared, is_ours, shown, given) \
    int name declared { \
        REAL(name); \
        int fault = fault_of(is_ours, call, #name, shown); \
        if (refused(fault)) return -1; \
        ENDED(real given); \
    }

CALL(FREE, fsync, (int fd), fd_is_below(fd), name_of(fd), (fd))
CALL(FREE, fdatasync, (int fd), fd_is_below(fd), name_of(fd), (fd))
CALL(FREE, ftruncate, (int fd, off_t size), fd_is_below(fd), name_of(fd), (fd, size))
CALL(FREE, ftruncate64, (int fd, off64_t size), fd_is_below(fd), name_of(fd), (fd, size))
CALL(FREE, rename, (const char *from, const char *to), path_is_below(AT_FDCWD, to), to, (from, to))
CALL(FREE, renameat, (int a, const char *from, int b, const char *to), path_is_below(b, to), to,
      (a, from, b, to))
CALL(MAKE, link, (const char *from, const char *to), path_is_below(AT_FDCWD, to), to, (from, to))
CALL(MAKE, linkat, (int a, const char *from, int b, const char *to, int flags), path_is_below(b, to), to,
      (a, from, b, to, flags))
CALL(FREE, unlink, (const char *path), path_is_below(AT_FDCWD, path), path, (path))
CALL(FREE, unlinkat, (int a, const char *path, int flags), path_is_below(a, path), path,
      (a, path, flags))
CALL(FREE, rmdir, (const char *path), path_is_below(AT_FDCWD, path), path, (path))
CALL(MAKE, mkdir, (const char *path, mode_t mode), path_is_below(AT_FDCWD, path), path, (path, mode))
CALL(MAKE, mkdirat, (int a, const char *path, mode_t mode), path_is_below(a, path), path,
      (a, path, mode))

static int makes(int flags) { return flags & (O_CREAT | O_TRUNC); }

#define OPENS(name, declared, is_ours, shown, given) \
    int name declared { \
        REAL(name); \
        mode_t mode = 0; \
        if (flags & O_CREAT) { \
            va_list more; \
            va_start(more, flags); \
            mode = va_arg(more, mode_t); \
            va_end(more); \
        } \
        int fault = fault_of(makes(flags) && is_ours, MAKE, #name, shown); \
        if (refused(fault)) return -1; \
        ENDED(real given); \
    }

OPENS(open, (const char *path, int flags, ...), path_is_below(AT_FDCWD, path), path,
      (path, flags, mode))
OPENS(open64, (const char *path, int flags, ...), path_is_below(AT_FDCWD, path), path,
      (path, flags, mode))
OPENS(openat, (int a, const char *path, int flags, ...), path_is_below(a, path), path,
      (a, path, flags, mode))
OPENS(openat64, (int a, const char *path, int flags, ...), path_is_below(a, path), path,
      (a, path, flags, mode))

FILE *fopen(const char *path, const char *mode) {
    REAL(fopen);
    int fault = fault_of(mode[0] != 'r' && path_is_below(AT_FDCWD, path), MAKE, "fopen", path);
    if (refused(fault)) return NULL;
    ENDED(real(path, mode));
}

FILE *fopen64(const char *path, const char *mode) {
    REAL(fopen64);
    int fault = fault_of(mode[0] != 'r' && path_is_below(AT_FDCWD, path), MAKE, "fopen64", path);
    if (refused(fault)) return NULL;
    ENDED(real(path, mode));
}

ssize_t sendfile(int out, int in, off_t *offset, size_t size) {
    REAL(sendfile);
    int fault = fault_of(fd_is_below(out), WRITE, "sendfile", name_of(out));
    if (refused(fault)) return -1;
    if (fault == KILL_HALFWAY) { (void)!real(out, in, offset, size / 2); die(); }
    if (fault == SHORT && size > 1) size /= 2;
    ENDED(real(out, in, offset, size));
}
