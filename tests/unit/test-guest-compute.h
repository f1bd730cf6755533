/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the requests on a ring mean, written as plainly as possible. */
#ifndef TEST_GUEST_COMPUTE_H
#define TEST_GUEST_COMPUTE_H

#include "vgpu-builtin.h"

/* compute() - do what @s says, which has passed vgpu_submission_check(). Returns the result's bits.
 */
uint64_t compute(const VGPUSubmission *s, uint8_t *window);

#endif
