/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What an operation costs, estimated from its kind and the shape of its operands alone, so that a
 * guest and an administrator can foresee it:
 *
 * - a multiplication of a matrix product: 1
 * - an element of an operand: 1
 * - a page of 4096 bytes that an operand touches: REQUEST_COST_PAGE
 *
 * So strides count. One unit is a tenth of a nanosecond to one nanosecond of a processor.
 */
#ifndef VGPU_REQUEST_COST_H
#define VGPU_REQUEST_COST_H

#include "vgpu-builtin.h"

#define REQUEST_COST_PAGE 1024u

/* request_cost() - of what passed vgpu_submission_check(); UINT64_MAX where it is more */
uint64_t request_cost(const VGPUSubmission *s);

#endif
