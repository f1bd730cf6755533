/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fake-plan.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void refuse(const char *item)
{
    fprintf(stderr, "fake-cuda: VGPU_FAKE_CUDA: can't understand \"%s\"\n", item);
    abort();
}

/* Takes "after=K" off the end of @item. */
static unsigned take_after(char *item)
{
    char *after = strstr(item, ":after=");
    unsigned n = 0;

    if (!after)
        return 0;
    if (sscanf(after, ":after=%u", &n) != 1)
        refuse(item);

    *after = '\0';
    return n;
}

static PlanItem parse_item(char *value, const char *format)
{
    PlanItem item = {.set = true, .function = "kernel", .after = take_after(value)};
    bool good;

    if (strcmp(format, "function:result") == 0)
        good = sscanf(value, "%63[A-Za-z0-9_]:%d", item.function, &item.result) == 2;
    else if (strcmp(format, "function") == 0)
        good = sscanf(value, "%63[A-Za-z0-9_]", item.function) == 1;
    else
        good = sscanf(value, "%d", &item.result) == 1;

    if (!good)
        refuse(value);
    return item;
}

static void parse(Plan *plan, char *item)
{
    char *value = strchr(item, '=');

    if (!value)
        refuse(item);
    *value++ = '\0';

    if (strcmp(item, "devices") == 0) {
        plan->devices = atoi(value);
    } else if (strcmp(item, "blas") == 0) {
        plan->blas = atoi(value) != 0;
    } else if (strcmp(item, "nvml") == 0) {
        plan->nvml = atoi(value) != 0;
    } else if (strcmp(item, "slow") == 0) {
        plan->slow_ms = (unsigned) atoi(value);
    } else if (strcmp(item, "hold") == 0) {
        plan->hold = (unsigned) atoi(value);
    } else if (strcmp(item, "memory") == 0) {
        if (strlen(value) >= sizeof(plan->memory))
            refuse(value);
        strcpy(plan->memory, value);
    } else if (strcmp(item, "share") == 0) {
        if (strlen(value) >= sizeof(plan->share))
            refuse(value);
        strcpy(plan->share, value);
    } else if (strcmp(item, "total") == 0) {
        plan->total = strtoull(value, NULL, 10) << 20;
    } else if (strcmp(item, "version") == 0) {
        plan->version = atoi(value);
    } else if (strcmp(item, "trace") == 0) {
        plan->trace_fd = open(value, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
        if (plan->trace_fd < 0)
            refuse(value);
    } else if (strcmp(item, "fail") == 0) {
        plan->fail = parse_item(value, "function:result");
    } else if (strcmp(item, "hang") == 0) {
        plan->hang = parse_item(value, "function");
    } else if (strcmp(item, "fault") == 0) {
        plan->fault = parse_item(value, "result");
    } else {
        refuse(item);
    }
}

Plan plan_read(void)
{
    Plan plan = {
        .devices = 1,
        .version = 13000,
        .blas = true,
        .nvml = true,
        .trace_fd = -1,
        .total = UINT64_C(8) << 30,
    };
    const char *env = getenv("VGPU_FAKE_CUDA");
    char *copy = strdup(env ? env : "");
    char *save = NULL;

    for (char *item = strtok_r(copy, ",", &save); item; item = strtok_r(NULL, ",", &save))
        parse(&plan, item);

    free(copy);
    return plan;
}

bool plan_item_is_due(PlanItem *item, const char *function)
{
    return item->set && strcmp(item->function, function) == 0 && item->seen++ == item->after;
}
