/*
 * A disk that fails on demand, put between a process and its C library by LD_PRELOAD. It numbers the file operations on paths
 * below one folder, writes each into a log, and fails those that it is told to fail. Calls that go to the kernel without the C
 * library are not seen, nor are locks, closes and what the kernel writes by itself.
 *
 *   HANDOVER_DISK_BELOW  the folder, absolute and without links; without it nothing is touched
 *   HANDOVER_DISK_LOG    a file elsewhere: `NUMBER CLASS NAME PATH`, and `STRUCK NUMBER NAME PATH` for each that failed
 *   HANDOVER_DISK_AT     the number of the first operation to fail
 *   HANDOVER_DISK_HOW    eio     that one, before it happens
 *                        after   that one happens, and is said to have failed
 *                        enospc  that one finds no room
 *                        short   that write takes half of its bytes, and the next one finds no room
 *                        full    from there on there is no room for anything new
 *                        dead    from there on everything fails
 *
 * Classes: `look` changes nothing, `room` takes room, `change` is the rest.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum class { LOOK, ROOM, CHANGE };
enum fate { SOUND, FAIL, HALF, SAY_FAILED };

#define FILES 4096

static const char *folder, *how;
static size_t folder_length;
static long at, count, shortened;
static int log_file = -1;
/* The path of each open file, below the folder; NULL for others. */
static char *paths[FILES];

__attribute__((constructor)) static void start(void) {
    folder = getenv("HANDOVER_DISK_BELOW");
    how = getenv("HANDOVER_DISK_HOW");
    const char *log = getenv("HANDOVER_DISK_LOG"), *number = getenv("HANDOVER_DISK_AT");
    folder_length = folder ? strlen(folder) : 0;
    at = number && how ? atol(number) : 0;
    if (folder && log)
        log_file = (int)syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

static const char *below(const char *path) {
    if (!folder_length || !path || strncmp(path, folder, folder_length)) return NULL;
    if (path[folder_length] && path[folder_length] != '/') return NULL;
    return path[folder_length] ? path + folder_length + 1 : ".";
}

/*
 * AWS-LC measures the jitter of the CPU for 30 ms in each process that wants a random number, but not in a virtual machine that
 * tells of its snapshots by this device. A stand-in for it makes thousands of short processes three times as fast.
 */
static const char *stand_in(const char *path) {
    return folder_length && path && !strcmp(path, "/dev/sysgenid") ? "/dev/zero" : path;
}

static const char *below_file(int file) { return file >= 0 && file < FILES ? paths[file] : NULL; }

/* Without a path, statx is about the file; std also asks with none at all, to see whether there is such a call. */
static const char *__attribute__((noinline)) below_either(int file, const char *path) {
    return path && !*path ? below_file(file) : below(path);
}

static void opened(int file, const char *path) {
    if (file < 0 || file >= FILES) return;
    free(paths[file]);
    paths[file] = path ? strdup(path) : NULL;
}

static void note(const char *what, long number, const char *class, const char *name, const char *path) {
    char line[PATH_MAX + 128];
    int length = snprintf(line, sizeof line, "%s%ld %s%s%s %s\n", what, number, class, *class ? " " : "", name, path);
    if (log_file >= 0 && length > 0) syscall(SYS_write, log_file, line, (size_t)length);
}

/* Numbers an operation and says what is to become of it; errno is set where it fails. */
static enum fate pass(enum class class, const char *name, const char *path) {
    static const char *const words[] = {"look", "room", "change"};
    int kept = errno;
    long number = __atomic_add_fetch(&count, 1, __ATOMIC_SEQ_CST);
    note("", number, words[class], name, path);
    enum fate fate = SOUND;
    int error = EIO, writes = strstr(name, "write") != NULL;
    if (at && number >= at) {
        int here = number == at;
        if (!strcmp(how, "eio") && here) fate = FAIL;
        if (!strcmp(how, "dead")) fate = FAIL;
        if (!strcmp(how, "after") && here) fate = class == LOOK ? FAIL : SAY_FAILED;
        if (!strcmp(how, "enospc") && here) fate = FAIL, error = ENOSPC;
        if (!strcmp(how, "full") && class == ROOM) fate = FAIL, error = ENOSPC;
        if (!strcmp(how, "short")) {
            if (here && writes) fate = HALF, shortened = 1;
            else if (writes && __atomic_exchange_n(&shortened, 0, __ATOMIC_SEQ_CST)) fate = FAIL, error = ENOSPC;
        }
    }
    if (fate != SOUND) note("STRUCK ", number, "", name, path);
    errno = fate == SOUND || fate == HALF ? kept : error;
    return fate;
}

#define REAL(type, name, ...)                                                      \
    static type (*real)(__VA_ARGS__);                                              \
    if (!real) real = (type(*)(__VA_ARGS__))dlsym(RTLD_NEXT, #name)

/* The end of a call: what it gave, unless it happened and is said to have failed. */
#define GIVE(type, fate, call, failed)                                             \
    do {                                                                           \
        type given = (call);                                                       \
        if ((fate) != SAY_FAILED) return given;                                    \
        errno = EIO;                                                               \
        return failed;                                                             \
    } while (0)

#define OPEN(name)                                                                 \
    int name(const char *path, int flags, ...) {                                   \
        REAL(int, name, const char *, int, ...);                                   \
        va_list more;                                                              \
        va_start(more, flags);                                                     \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(more, mode_t) : 0;    \
        va_end(more);                                                              \
        const char *ours = below(path);                                            \
        if (!ours) return real(stand_in(path), flags, mode);                       \
        int makes = flags & O_CREAT && syscall(SYS_faccessat, AT_FDCWD, path, F_OK) != 0; \
        enum class class = makes ? ROOM : flags & (O_TRUNC | O_WRONLY | O_RDWR) ? CHANGE : LOOK; \
        enum fate fate = pass(class, makes ? "create" : "open", ours);             \
        if (fate == FAIL) return -1;                                               \
        int file = real(path, flags, mode);                                        \
        if (fate == SAY_FAILED) {                                                  \
            if (file >= 0) syscall(SYS_close, file);                               \
            errno = EIO;                                                           \
            return -1;                                                             \
        }                                                                          \
        opened(file, ours);                                                        \
        return file;                                                               \
    }
OPEN(open)
OPEN(open64)

int close(int file) {
    REAL(int, close, int);
    opened(file, NULL);
    return real(file);
}

#define WRITE(name, arguments)                                                     \
    {                                                                              \
        const char *ours = below_file(file);                                       \
        enum fate fate = ours ? pass(ROOM, #name, ours) : SOUND;                   \
        if (fate == FAIL) return -1;                                               \
        if (fate == HALF) length = length > 1 ? length / 2 : length;               \
        GIVE(ssize_t, fate, real arguments, -1);                                   \
    }
ssize_t write(int file, const void *bytes, size_t length) {
    REAL(ssize_t, write, int, const void *, size_t);
    WRITE(write, (file, bytes, length))
}
ssize_t pwrite(int file, const void *bytes, size_t length, off_t place) {
    REAL(ssize_t, pwrite, int, const void *, size_t, off_t);
    WRITE(pwrite, (file, bytes, length, place))
}
ssize_t pwrite64(int file, const void *bytes, size_t length, off64_t place) {
    REAL(ssize_t, pwrite64, int, const void *, size_t, off64_t);
    WRITE(pwrite64, (file, bytes, length, place))
}
ssize_t writev(int file, const struct iovec *parts, int length) {
    REAL(ssize_t, writev, int, const struct iovec *, int);
    WRITE(writev, (file, parts, length))
}

/* A call that changes or looks, with what it gives where it fails. */
#define CALL(type, name, class, ours_is, failed, parameters, arguments, types)     \
    type name parameters {                                                         \
        REAL(type, name, types);                                                   \
        const char *ours = ours_is;                                                \
        enum fate fate = ours ? pass(class, #name, ours) : SOUND;                  \
        if (fate == FAIL) return failed;                                           \
        GIVE(type, fate, real arguments, failed);                                  \
    }
#define TYPES(...) __VA_ARGS__

CALL(int, fsync, CHANGE, below_file(file), -1, (int file), (file), int)
CALL(int, fdatasync, CHANGE, below_file(file), -1, (int file), (file), int)
CALL(int, ftruncate, CHANGE, below_file(file), -1, (int file, off_t length), (file, length), TYPES(int, off_t))
CALL(int, ftruncate64, CHANGE, below_file(file), -1, (int file, off64_t length), (file, length), TYPES(int, off64_t))
CALL(int, fallocate, ROOM, below_file(file), -1, (int file, int mode, off_t from, off_t length), (file, mode, from, length),
     TYPES(int, int, off_t, off_t))
CALL(int, fchmod, CHANGE, below_file(file), -1, (int file, mode_t mode), (file, mode), TYPES(int, mode_t))
CALL(int, fchown, CHANGE, below_file(file), -1, (int file, uid_t user, gid_t group), (file, user, group),
     TYPES(int, uid_t, gid_t))
CALL(int, rename, CHANGE, below(to), -1, (const char *from, const char *to), (from, to), TYPES(const char *, const char *))
CALL(int, link, ROOM, below(to), -1, (const char *from, const char *to), (from, to), TYPES(const char *, const char *))
CALL(int, linkat, ROOM, below(to), -1, (int a, const char *from, int b, const char *to, int flags), (a, from, b, to, flags),
     TYPES(int, const char *, int, const char *, int))
CALL(int, unlink, CHANGE, below(path), -1, (const char *path), (path), TYPES(const char *))
CALL(int, rmdir, CHANGE, below(path), -1, (const char *path), (path), TYPES(const char *))
CALL(int, mkdir, ROOM, below(path), -1, (const char *path, mode_t mode), (path, mode), TYPES(const char *, mode_t))

CALL(ssize_t, read, LOOK, below_file(file), -1, (int file, void *bytes, size_t length), (file, bytes, length),
     TYPES(int, void *, size_t))
CALL(ssize_t, pread, LOOK, below_file(file), -1, (int file, void *bytes, size_t length, off_t place),
     (file, bytes, length, place), TYPES(int, void *, size_t, off_t))
CALL(ssize_t, pread64, LOOK, below_file(file), -1, (int file, void *bytes, size_t length, off64_t place),
     (file, bytes, length, place), TYPES(int, void *, size_t, off64_t))
CALL(int, stat, LOOK, below(path), -1, (const char *path, struct stat *to), (stand_in(path), to),
     TYPES(const char *, struct stat *))
CALL(int, lstat, LOOK, below(path), -1, (const char *path, struct stat *to), (path, to), TYPES(const char *, struct stat *))
CALL(int, fstat, LOOK, below_file(file), -1, (int file, struct stat *to), (file, to), TYPES(int, struct stat *))
CALL(int, stat64, LOOK, below(path), -1, (const char *path, struct stat64 *to), (path, to),
     TYPES(const char *, struct stat64 *))
CALL(int, lstat64, LOOK, below(path), -1, (const char *path, struct stat64 *to), (path, to),
     TYPES(const char *, struct stat64 *))
CALL(int, fstat64, LOOK, below_file(file), -1, (int file, struct stat64 *to), (file, to), TYPES(int, struct stat64 *))
CALL(int, statx, LOOK, below_either(at_file, path), -1,
     (int at_file, const char *path, int flags, unsigned int mask, struct statx *to), (at_file, path, flags, mask, to),
     TYPES(int, const char *, int, unsigned int, struct statx *))
CALL(int, access, LOOK, below(path), -1, (const char *path, int mode), (path, mode), TYPES(const char *, int))
CALL(char *, realpath, LOOK, below(path), NULL, (const char *path, char *to), (path, to), TYPES(const char *, char *))
CALL(DIR *, opendir, LOOK, below(path), NULL, (const char *path), (path), TYPES(const char *))
CALL(void *, mmap, LOOK, below_file(file), MAP_FAILED,
     (void *where, size_t length, int protection, int flags, int file, off_t place),
     (where, length, protection, flags, file, place), TYPES(void *, size_t, int, int, int, off_t))
CALL(void *, mmap64, LOOK, below_file(file), MAP_FAILED,
     (void *where, size_t length, int protection, int flags, int file, off64_t place),
     (where, length, protection, flags, file, place), TYPES(void *, size_t, int, int, int, off64_t))
