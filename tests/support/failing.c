/* Stands before libc and lets its calls on some files fail, as a disk, a network or a full table does.

   FAILING_CALLS: which, of "open read flock"; FAILING_ERRNO: with what; FAILING_MATCH: in whose path this occurs. Asked at
   each call, so that a process may change its mind. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#define NEXT(name) static __typeof__(&name) next; if (!next) next = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

static int fails(const char *call, const char *path) {
    const char *calls = getenv("FAILING_CALLS"), *match = getenv("FAILING_MATCH"), *number = getenv("FAILING_ERRNO");
    if (!calls || !match || !number || !strstr(calls, call) || !strstr(path, match)) return 0;
    errno = atoi(number);
    return 1;
}

static int fails_on(const char *call, int descriptor) {
    char link[64], path[4096];
    int before = errno;
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, path, sizeof path - 1);
    errno = before;
    if (length < 0) return 0;
    path[length] = 0;
    return fails(call, path);
}

static mode_t mode_of(int flags, va_list arguments) { return flags & O_CREAT ? va_arg(arguments, mode_t) : 0; }

#define OPEN(name) \
    int name(const char *path, int flags, ...) { \
        va_list arguments; va_start(arguments, flags); mode_t mode = mode_of(flags, arguments); va_end(arguments); \
        if (fails("open", path)) return -1; \
        NEXT(name); \
        return next(path, flags, mode); \
    }
OPEN(open)
OPEN(open64)

#define READ_AT(name, offset_type) \
    ssize_t name(int descriptor, void *buffer, size_t size, offset_type offset) { \
        if (fails_on("read", descriptor)) return -1; \
        NEXT(name); \
        return next(descriptor, buffer, size, offset); \
    }
READ_AT(pread, off_t)
READ_AT(pread64, off64_t)

ssize_t read(int descriptor, void *buffer, size_t size) {
    if (fails_on("read", descriptor)) return -1;
    NEXT(read);
    return next(descriptor, buffer, size);
}

int flock(int descriptor, int operation) {
    if (fails_on("flock", descriptor)) return -1;
    NEXT(flock);
    return next(descriptor, operation);
}
