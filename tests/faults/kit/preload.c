/* Errors of the disk and other times, between a program and its C library.
 *
 * Loaded by LD_PRELOAD. What to do stands in a small file that is mapped shared (FAULTS_CONTROL), so a
 * test can switch it while the program runs, and see what happened. Its layout is that of preload.py.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

enum { WRITE = 1, SYNC = 2 };

struct control {
    int64_t clock_shift_s;
    int64_t operations; /* which fail: WRITE, SYNC or both; 0: none */
    int64_t error;      /* errno */
    int64_t after;      /* let so many through first */
    int64_t times;      /* then so many fail; below 0: all */
    int64_t seen;       /* counted: operations on matching files */
    int64_t failed;     /* counted: those that failed */
    char prefix[512];   /* of the file's path */
};

static struct control *control;

__attribute__((constructor)) static void start(void)
{
    const char *path = getenv("FAULTS_CONTROL");
    int file = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (file < 0)
        return;
    void *mapped = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    if (mapped != MAP_FAILED)
        control = mapped;
}

static int fails(int file, int64_t operation)
{
    char link[64], path[4096];
    if (!control || !(control->operations & operation))
        return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0)
        return 0;
    path[length] = 0;
    if (strncmp(path, control->prefix, strlen(control->prefix)) != 0)
        return 0;
    int64_t number = __sync_fetch_and_add(&control->seen, 1);
    if (number < control->after)
        return 0;
    if (control->times >= 0 && number >= control->after + control->times)
        return 0;
    __sync_fetch_and_add(&control->failed, 1);
    errno = (int)control->error;
    return 1;
}

#define REAL(name, type) static __typeof__(type) *real; if (!real) real = dlsym(RTLD_NEXT, name)

ssize_t write(int file, const void *data, size_t size)
{
    REAL("write", ssize_t (int, const void *, size_t));
    return fails(file, WRITE) ? -1 : real(file, data, size);
}

ssize_t pwrite(int file, const void *data, size_t size, off_t at)
{
    REAL("pwrite", ssize_t (int, const void *, size_t, off_t));
    return fails(file, WRITE) ? -1 : real(file, data, size, at);
}

ssize_t pwrite64(int file, const void *data, size_t size, off64_t at)
{
    REAL("pwrite64", ssize_t (int, const void *, size_t, off64_t));
    return fails(file, WRITE) ? -1 : real(file, data, size, at);
}

int fsync(int file)
{
    REAL("fsync", int (int));
    return fails(file, SYNC) ? -1 : real(file);
}

int fdatasync(int file)
{
    REAL("fdatasync", int (int));
    return fails(file, SYNC) ? -1 : real(file);
}

static int64_t shift(void)
{
    return control ? control->clock_shift_s : 0;
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
    long result = syscall(SYS_clock_gettime, clock, now);
    if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        now->tv_sec += shift();
    return (int)result;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    struct timespec precise;
    (void)zone;
    if (clock_gettime(CLOCK_REALTIME, &precise) != 0)
        return -1;
    now->tv_sec = precise.tv_sec;
    now->tv_usec = precise.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *where)
{
    struct timespec precise;
    if (clock_gettime(CLOCK_REALTIME, &precise) != 0)
        return (time_t)-1;
    if (where)
        *where = precise.tv_sec;
    return precise.tv_sec;
}
