/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Attributes of launches: what can be known to be wrong is refused at the call, and what the
 * executor could not do is not supported. */
#include <string.h>

#include "launch.h"

/* CUdevice_attribute */
enum {
    ATTRIBUTE_COOPERATIVE_LAUNCH = 95,
    ATTRIBUTE_ACCESS_WINDOW_MAX = 109,
    ATTRIBUTE_CLUSTER_LAUNCH = 120,
    ATTRIBUTE_SYNC_DOMAINS = 126,
};

/* CUfunction_attribute */
enum {
    FUNCTION_CLUSTER_MUST_BE_SET = 10,
    FUNCTION_CLUSTER_WIDTH = 11, /* and height, and depth */
    FUNCTION_NON_PORTABLE = 14,
};

/* CUaccessProperty */
enum { ACCESS_STREAMING = 1, ACCESS_PERSISTING = 2 };

#define CLUSTER_PORTABLE_MAX 8u /* blocks */
#define CLUSTER_MAX 16u
#define CLUSTER_POLICY_MAX 2
#define CARVEOUT_MAX 100

static int attributes_of_device(int attribute)
{
    return libcuda_process.device.attribute[attribute].value;
}

static int attributes_of_function(const LibFunction *function, int attribute)
{
    return function->info->attribute[attribute].result == CUDA_SUCCESS
               ? function->info->attribute[attribute].value
               : 0;
}

bool launch_value_is_valid(int attribute, const LaunchValue *value)
{
    const int domains = attributes_of_device(ATTRIBUTE_SYNC_DOMAINS);
    const AccessPolicyWindow *window = &value->window;

    switch (attribute) {
    case LAUNCH_ACCESS_POLICY_WINDOW:
        return window->size <= (size_t) attributes_of_device(ATTRIBUTE_ACCESS_WINDOW_MAX) &&
               window->hit_ratio >= 0.0f && window->hit_ratio <= 1.0f && window->hit >= 0 &&
               window->hit <= ACCESS_PERSISTING && window->miss >= 0 &&
               window->miss <= ACCESS_STREAMING;
    case LAUNCH_MEM_SYNC_DOMAIN_MAP:
        return value->domains.normal < domains && value->domains.remote < domains;
    case LAUNCH_MEM_SYNC_DOMAIN:
        return value->number == 0 || value->number == 1;
    default:
        return false;
    }
}

/* Where a launch has an event in it, the program gives its handle, and the executor takes its
 * number. Such an event has no time. */
static CUresult attributes_event(const LibFunction *function, const LaunchValue *value,
                                 VGPUSessionLaunchAttribute *to, LibEvent **ret)
{
    LibEvent *event = handle_object(HANDLE_EVENT, value->event.event);

    if (!event || event->context != function->module->context)
        return CUDA_ERROR_INVALID_HANDLE;
    if (!(event->flags & EVENT_DISABLE_TIMING) || (event->flags & EVENT_INTERPROCESS))
        return CUDA_ERROR_INVALID_VALUE;
    memset(to->value, 0, sizeof(CUevent));
    memcpy(to->value, &event->number, sizeof(event->number));
    *ret = event;
    return CUDA_SUCCESS;
}

/* ---- Clusters ----------------------------------------------------------------------------------
 */

/* @dimension: what the launch says, or 0 where it says nothing; becomes what holds */
static CUresult attributes_cluster_find(const LibFunction *function, unsigned dimension[static 3])
{
    unsigned own[3];
    bool has_own;

    for (int i = 0; i < 3; i++)
        own[i] = (unsigned) attributes_of_function(function, FUNCTION_CLUSTER_WIDTH + i);
    has_own = own[0] > 0 && own[1] > 0 && own[2] > 0;
    if (dimension[0] == 0) {
        if (attributes_of_function(function, FUNCTION_CLUSTER_MUST_BE_SET) && !has_own)
            return CUDA_ERROR_INVALID_CLUSTER_SIZE;
        for (unsigned i = 0; i < 3; i++)
            dimension[i] = has_own ? own[i] : 1;
        return CUDA_SUCCESS;
    }
    return !has_own || memcmp(own, dimension, sizeof(own)) == 0 ? CUDA_SUCCESS
                                                                : CUDA_ERROR_INVALID_CLUSTER_SIZE;
}

static CUresult attributes_cluster(const LibFunction *function, const LaunchConfig *config,
                                   unsigned dimension[static 3])
{
    const unsigned grid[3] = {config->grid_x, config->grid_y, config->grid_z};
    const unsigned max = attributes_of_function(function, FUNCTION_NON_PORTABLE)
                             ? CLUSTER_MAX
                             : CLUSTER_PORTABLE_MAX;
    uint64_t size = 1;
    CUresult r = attributes_cluster_find(function, dimension);

    if (r != CUDA_SUCCESS)
        return r;
    for (unsigned i = 0; i < 3; i++) {
        if (dimension[i] == 0 || dimension[i] > max)
            return CUDA_ERROR_INVALID_CLUSTER_SIZE;
        size *= dimension[i];
    }
    if (size > max)
        return CUDA_ERROR_INVALID_CLUSTER_SIZE;
    for (unsigned i = 0; i < 3; i++)
        if (grid[i] % dimension[i] != 0)
            return CUDA_ERROR_INVALID_VALUE;
    return CUDA_SUCCESS;
}

static bool attributes_has_dimension(const LaunchValue *value)
{
    return value->dimension[0] > 0 && value->dimension[1] > 0 && value->dimension[2] > 0;
}

/* ---- All of them -------------------------------------------------------------------------------
 */

/* Those that are numbers */
static CUresult attributes_check(int attribute, const LaunchValue *value)
{
    bool is_valid = true;

    switch (attribute) {
    case LAUNCH_ACCESS_POLICY_WINDOW:
    case LAUNCH_MEM_SYNC_DOMAIN_MAP:
    case LAUNCH_MEM_SYNC_DOMAIN:
        is_valid = launch_value_is_valid(attribute, value);
        break;
    case LAUNCH_COOPERATIVE:
        return value->number == 0 || attributes_of_device(ATTRIBUTE_COOPERATIVE_LAUNCH)
                   ? CUDA_SUCCESS
                   : CUDA_ERROR_NOT_SUPPORTED;
    case LAUNCH_CLUSTER_DIMENSION:
        if (!attributes_of_device(ATTRIBUTE_CLUSTER_LAUNCH))
            return CUDA_ERROR_NOT_SUPPORTED;
        return attributes_has_dimension(value) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_CLUSTER_SIZE;
    case LAUNCH_CLUSTER_SCHEDULING_POLICY:
        is_valid = value->number >= 0 && value->number <= CLUSTER_POLICY_MAX;
        break;
    case LAUNCH_PREFERRED_CLUSTER_DIMENSION:
        is_valid = attributes_has_dimension(value);
        break;
    case LAUNCH_SHARED_CARVEOUT:
        is_valid = value->number >= -1 && value->number <= CARVEOUT_MAX;
        break;
    case LAUNCH_PROGRAMMATIC_SERIALIZATION:
    case LAUNCH_PROGRAMMATIC_EVENT:
    case LAUNCH_COMPLETION_EVENT:
    case LAUNCH_PRIORITY:
        break;
    case LAUNCH_DEVICE_UPDATABLE_NODE:
    case LAUNCH_NVLINK_SCHEDULING:
        return CUDA_ERROR_NOT_SUPPORTED;
    default: /* of streams alone, or of a driver that is newer than this library */
        is_valid = false;
        break;
    }
    return is_valid ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

static CUresult attributes_add(const LibFunction *function, int attribute, const LaunchValue *value,
                               LaunchAttributes *ret)
{
    VGPUSessionLaunchAttribute *to = &ret->attribute[ret->n];
    CUresult r = attributes_check(attribute, value);

    if (r != CUDA_SUCCESS)
        return r;
    if (ret->n == VGPU_SESSION_LAUNCH_ATTRIBUTES)
        return CUDA_ERROR_INVALID_VALUE;
    *to = (VGPUSessionLaunchAttribute){.id = (uint32_t) attribute};
    memcpy(to->value, value, sizeof(to->value));
    if (attribute == LAUNCH_PROGRAMMATIC_EVENT || attribute == LAUNCH_COMPLETION_EVENT)
        r = attributes_event(function, value, to,
                             &ret->recorded[attribute == LAUNCH_COMPLETION_EVENT]);
    if (attribute == LAUNCH_COOPERATIVE && value->number != 0)
        ret->is_cooperative = true;
    ret->n++;
    return r;
}

CUresult launch_attributes_read(const LibFunction *function, const LaunchConfig *config,
                                LaunchAttributes *ret)
{
    unsigned cluster[3] = {0};
    CUresult r = CUDA_SUCCESS;

    ret->n = 0;
    ret->recorded[0] = ret->recorded[1] = NULL;
    ret->is_cooperative = false;
    if (config->n_attributes > 0 && !config->attributes)
        return CUDA_ERROR_INVALID_VALUE;
    for (unsigned i = 0; i < config->n_attributes && r == CUDA_SUCCESS; i++) {
        LaunchValue value;

        memcpy(&value, config->attributes[i].value, sizeof(value));
        if (config->attributes[i].id == LAUNCH_CLUSTER_DIMENSION)
            memcpy(cluster, value.dimension, sizeof(cluster));
        if (config->attributes[i].id != LAUNCH_IGNORE)
            r = attributes_add(function, config->attributes[i].id, &value, ret);
    }
    return r == CUDA_SUCCESS ? attributes_cluster(function, config, cluster) : r;
}
