/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What went wrong lately, for programs that ask: the lines of libcuda_log(). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "cuda-api-streams.h"
#include "libcuda.h"

#define LOG_LINES 100u
#define LOG_LINE_MAX 256u
#define LOG_DUMP_MAX 25600u /* bytes that cuLogsDumpToMemory() may be asked for */

enum { LOG_LEVEL_ERROR = 0 };

struct CUlogsCallbackEntry_st {
    LIST_ENTRY(CUlogsCallbackEntry_st) link;
    CUlogsCallback callback;
    void *userdata;
};

/* A callback may end itself. */
static pthread_mutex_t log_lock = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
static LIST_HEAD(, CUlogsCallbackEntry_st) log_callbacks = LIST_HEAD_INITIALIZER(log_callbacks);
static char log_lines[LOG_LINES][LOG_LINE_MAX];
static unsigned log_n; /* that there ever were */

static __thread bool log_is_inside;

void libcuda_log_keep(const char *text)
{
    struct CUlogsCallbackEntry_st *entry, *next;
    char *line;

    if (log_is_inside) /* a callback that causes errors hears of no more */
        return;
    log_is_inside = true;
    pthread_mutex_lock(&log_lock);
    line = log_lines[log_n++ % LOG_LINES];
    snprintf(line, LOG_LINE_MAX, "%s", text);
    for (entry = LIST_FIRST(&log_callbacks); entry; entry = next) {
        next = LIST_NEXT(entry, link);
        entry->callback(entry->userdata, LOG_LEVEL_ERROR, line, strlen(line));
    }
    pthread_mutex_unlock(&log_lock);
    log_is_inside = false;
}

void libcuda_log_forked(void)
{
    log_lock = (pthread_mutex_t) PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
}

CUresult cuLogsRegisterCallback(CUlogsCallback callback, void *userdata, CUlogsCallbackHandle *ret)
{
    struct CUlogsCallbackEntry_st *entry;

    if (!callback)
        return CUDA_ERROR_INVALID_VALUE;
    entry = calloc(1, sizeof(*entry));
    if (!entry)
        return CUDA_ERROR_OUT_OF_MEMORY;
    entry->callback = callback;
    entry->userdata = userdata;
    pthread_mutex_lock(&log_lock);
    LIST_INSERT_HEAD(&log_callbacks, entry, link);
    pthread_mutex_unlock(&log_lock);
    if (ret)
        *ret = entry;
    return CUDA_SUCCESS;
}

CUresult cuLogsUnregisterCallback(CUlogsCallbackHandle handle)
{
    struct CUlogsCallbackEntry_st *entry;

    pthread_mutex_lock(&log_lock);
    LIST_FOREACH(entry, &log_callbacks, link)
    if (entry == handle)
        break;
    if (entry)
        LIST_REMOVE(entry, link);
    pthread_mutex_unlock(&log_lock);
    if (!entry)
        return CUDA_ERROR_INVALID_VALUE;
    free(entry);
    return CUDA_SUCCESS;
}

CUresult cuLogsCurrent(CUlogIterator *ret, unsigned flags)
{
    if (!ret || flags != 0)
        return CUDA_ERROR_INVALID_VALUE;
    pthread_mutex_lock(&log_lock);
    *ret = log_n;
    pthread_mutex_unlock(&log_lock);
    return CUDA_SUCCESS;
}

/* Under the lock: the first line that is still there, from @iterator on */
static unsigned log_first(const CUlogIterator *iterator)
{
    const unsigned oldest = log_n > LOG_LINES ? log_n - LOG_LINES : 0;

    return iterator && *iterator > oldest && *iterator <= log_n ? *iterator : oldest;
}

CUresult cuLogsDumpToFile(CUlogIterator *iterator, const char *path, unsigned flags)
{
    FILE *file;
    bool is_whole = true;

    if (!path || flags != 0)
        return CUDA_ERROR_INVALID_VALUE;
    file = fopen(path, "we");
    if (!file)
        return CUDA_ERROR_INVALID_VALUE;
    pthread_mutex_lock(&log_lock);
    for (unsigned i = log_first(iterator); i < log_n; i++)
        is_whole = fprintf(file, "%s\n", log_lines[i % LOG_LINES]) > 0 && is_whole;
    if (iterator)
        *iterator = log_n;
    pthread_mutex_unlock(&log_lock);
    return fclose(file) == 0 && is_whole ? CUDA_SUCCESS : CUDA_ERROR_UNKNOWN;
}

/* The newest lines, as many as have room, and a 0 behind them */
CUresult cuLogsDumpToMemory(CUlogIterator *iterator, char *buffer, size_t *size, unsigned flags)
{
    unsigned first;
    size_t needed = 1, at = 0;

    if (!buffer || !size || *size == 0 || *size > LOG_DUMP_MAX || flags != 0)
        return CUDA_ERROR_INVALID_VALUE;
    pthread_mutex_lock(&log_lock);
    for (first = log_n; first > log_first(iterator); first--) {
        needed += strlen(log_lines[(first - 1) % LOG_LINES]) + 1;
        if (needed > *size)
            break;
    }
    buffer[0] = '\0';
    for (unsigned i = first; i < log_n; i++)
        at += (size_t) sprintf(buffer + at, "%s\n", log_lines[i % LOG_LINES]);
    if (iterator)
        *iterator = log_n;
    pthread_mutex_unlock(&log_lock);
    *size = at;
    return CUDA_SUCCESS;
}
