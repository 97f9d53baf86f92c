/* A disk that fails, for LD_PRELOAD: what a power cut leaves of a SQLite ledger, and errors of writing.
 *
 * Every write to the ledger's files is noted with what was there before, until its file is synced. At the chosen call the
 * machine "loses power": what was not synced is undone (of the last write the second half, so that a page is torn), and the
 * process is gone.
 *
 *   SHIM_FILE   the files are those whose name contains this
 *   SHIM_CUT    the call (write or sync of such a file, from 1) at which the power is cut
 *   SHIM_ERROR  eio or enospc: the calls from SHIM_FROM on, SHIM_TIMES of them, fail so
 *   SHIM_TOLD   this file comes to be when one has
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

struct note {
    struct note *before;
    int fd;
    off_t at;
    size_t size, was;
    char *old;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct note *notes;
static long calls;

static long setting(const char *name) {
    const char *text = getenv(name);
    return text ? atol(text) : 0;
}

/* Whether the descriptor is one of the ledger's files; the shared memory beside it is no disk. */
static int ours(int fd) {
    const char *part = getenv("SHIM_FILE");
    char link[64], path[4096];
    if (!part) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, path, sizeof path - 1);
    if (size < 0) return 0;
    path[size] = 0;
    size_t end = strlen(path);
    return strstr(path, part) && !(end > 4 && strcmp(path + end - 4, "-shm") == 0);
}

static ssize_t real_pwrite(int fd, const void *data, size_t size, off_t at) {
    static ssize_t (*next)(int, const void *, size_t, off_t);
    if (!next) next = dlsym(RTLD_NEXT, "pwrite");
    return next(fd, data, size, at);
}

/* Undone from the last to the first; of the very last write the first half stays. */
static void cut(void) {
    int last = 1;
    for (struct note *note = notes; note; note = note->before, last = 0) {
        size_t keep = last ? note->size / 2 : 0;
        if (note->was > keep) real_pwrite(note->fd, note->old + keep, note->was - keep, note->at + keep);
        if (note->was < note->size && !last && ftruncate(note->fd, note->at + note->was) != 0) continue;
    }
    _exit(137);
}

/* Counts a call; says whether it fails, with errno set. */
static int counted(void) {
    long call = ++calls, from = setting("SHIM_FROM");
    if (setting("SHIM_CUT") == call) cut();
    const char *error = getenv("SHIM_ERROR");
    if (error && call >= from && call < from + setting("SHIM_TIMES")) {
        const char *told = getenv("SHIM_TOLD");
        if (told) close(open(told, O_CREAT | O_WRONLY, 0600));
        errno = strcmp(error, "eio") == 0 ? EIO : ENOSPC;
        return 1;
    }
    return 0;
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t at) {
    if (!ours(fd)) return real_pwrite(fd, data, size, at);
    pthread_mutex_lock(&lock);
    int fails = counted();
    if (!fails) {
        struct note *note = malloc(sizeof *note);
        note->before = notes, note->fd = fd, note->at = at, note->size = size;
        note->old = malloc(size);
        ssize_t was = pread(fd, note->old, size, at);
        note->was = was < 0 ? 0 : (size_t)was;
        notes = note;
    }
    ssize_t written = fails ? -1 : real_pwrite(fd, data, size, at);
    pthread_mutex_unlock(&lock);
    return written;
}

ssize_t pwrite64(int fd, const void *data, size_t size, off_t at) { return pwrite(fd, data, size, at); }

static int synced(int fd, const char *name) {
    int (*next)(int) = dlsym(RTLD_NEXT, name);
    if (!ours(fd)) return next(fd);
    pthread_mutex_lock(&lock);
    int done = counted() ? -1 : next(fd);
    for (struct note **at = &notes; done == 0 && *at;) {
        struct note *note = *at;
        if (note->fd != fd) {
            at = &note->before;
            continue;
        }
        *at = note->before;
        free(note->old);
        free(note);
    }
    pthread_mutex_unlock(&lock);
    return done;
}

int fsync(int fd) { return synced(fd, "fsync"); }
int fdatasync(int fd) { return synced(fd, "fdatasync"); }
