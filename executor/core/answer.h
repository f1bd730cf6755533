/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What goes into the queue of answers, to be shown with the next executor_writer_flush(). */
#ifndef VGPU_EXECUTOR_ANSWER_H
#define VGPU_EXECUTOR_ANSWER_H

#include "executor-queue.h"
#include "response.h"

/* answer_response() - to a REQUEST; response_size() is at most EXECUTOR_PAYLOAD_MAX */
void answer_response(ExecutorWriter *w, uint64_t tag, const Response *response);

/* answer_cuda_error() - to a REQUEST that CUDA failed at, with a CUresult that is not 0 */
void answer_cuda_error(ExecutorWriter *w, uint64_t tag, uint32_t cuda_result);

/* answer_result() - to a COMPUTE */
void answer_result(ExecutorWriter *w, uint64_t tag, const ExecutorResult *result);

/* answer_result_cuda_error() - to a COMPUTE that CUDA failed at */
void answer_result_cuda_error(ExecutorWriter *w, uint64_t tag, uint32_t cuda_result);

#endif
