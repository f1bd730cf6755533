/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libnvidia-ml.so.1 for guests, from inside.
 *
 * What a device is comes from a CUDA session that only asks: it is opened at the first question,
 * closed at once, and its answers are kept until the last nvmlShutdown(). What is used comes from a
 * look at the sessions of this machine (session-watch.h). So a program that looks each second
 * starts one executor in all, and a program that never asks for a device starts none.
 *
 * There is one device, and one lock, which is held while the host is asked.
 */
#ifndef VGPU_NVML_LIBRARY_H
#define VGPU_NVML_LIBRARY_H

#include <stdbool.h>
#include <stdint.h>

#include "nvml-api.h"
#include "session-watch.h"
#include "vgpu-session.h"

/* CUdevice_attribute: facts from the CUDA manual */
enum {
    ATTRIBUTE_CLOCK_RATE = 13,
    ATTRIBUTE_MULTIPROCESSORS = 16,
    ATTRIBUTE_ECC_ENABLED = 32,
    ATTRIBUTE_PCI_BUS = 33,
    ATTRIBUTE_PCI_DEVICE = 34,
    ATTRIBUTE_MEMORY_CLOCK_RATE = 36,
    ATTRIBUTE_MEMORY_BUS_WIDTH = 37,
    ATTRIBUTE_COPY_ENGINES = 40,
    ATTRIBUTE_PCI_DOMAIN = 50,
    ATTRIBUTE_CAPABILITY_MAJOR = 75,
    ATTRIBUTE_CAPABILITY_MINOR = 76,
};

typedef struct nvml_facts {
    VGPUSessionDevice device;
    VGPUSessionBoard board;
    session_watch *watch;
} nvml_facts;

/*
 * nvml_enter() - begin a call that needs nvmlInit() and nothing more
 * nvml_enter_facts() - the same, and the facts
 * nvml_enter_device() - the same, of a device that the caller names
 * @is_valid: are the other arguments?
 *
 * Return NVML_SUCCESS with the lock held, to be given back by nvml_leave(); or what the call
 * returns.
 */
nvmlReturn_t nvml_enter(bool is_valid);
nvmlReturn_t nvml_enter_facts(bool is_valid, nvml_facts **ret);
nvmlReturn_t nvml_enter_device(nvmlDevice_t device, bool is_valid, nvml_facts **ret);

/* nvml_leave() - returns @result */
nvmlReturn_t nvml_leave(nvmlReturn_t result);

/* nvml_device() - the handle of the device */
nvmlDevice_t nvml_device(void);

/* nvml_attribute() - false: the driver does not tell it */
bool nvml_attribute(const nvml_facts *f, int attribute, int *ret);

/* nvml_copy_text() - returns NVML_SUCCESS or _INSUFFICIENT_SIZE */
nvmlReturn_t nvml_copy_text(char *to, unsigned length, const char *text);

/* nvml_answer() - what many functions are: one number of a device, which does not change */
nvmlReturn_t nvml_answer(nvmlDevice_t device, unsigned *ret, unsigned value);

/* nvml_refuse() - a function that is not served. @is_told: of that function. Returns @result, or
 * _UNINITIALIZED */
nvmlReturn_t nvml_refuse(const char *name, nvmlReturn_t result, bool *is_told);

/* nvml_log() - a line to standard error, if VGPU_NVML_LOG is 1 in the environment */
__attribute__((format(printf, 1, 2))) void nvml_log(const char *format, ...);

#endif
