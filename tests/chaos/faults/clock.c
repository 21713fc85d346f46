/* Preloaded into one process: its wall clock is wrong by CHAOS_CLOCK_SECONDS. The monotonic clock is correct, because
   no administrator sets that. The first call creates the file CHAOS_CLOCK_SEEN. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t clock, struct timespec *now) {
    static int (*real)(clockid_t, struct timespec *);
    static int seen;
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int status = real(clock, now);
    const char *seconds = getenv("CHAOS_CLOCK_SECONDS");
    if (status || clock != CLOCK_REALTIME || !seconds) return status;
    now->tv_sec += atol(seconds);
    if (!seen) {
        const char *mark = getenv("CHAOS_CLOCK_SEEN");
        seen = 1;
        if (mark) close(open(mark, O_CREAT | O_WRONLY, 0600));
    }
    return 0;
}
