/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Writing answers into their queue. The next executor_writer_flush() shows them. */
#ifndef VGPU_EXECUTOR_ANSWER_H
#define VGPU_EXECUTOR_ANSWER_H

#include "executor-queue.h"
#include "response.h"

/* answer_response() - answer a REQUEST; response_size() is at most EXECUTOR_PAYLOAD_MAX */
void answer_response(ExecutorWriter *w, uint64_t tag, const Response *response);

/* answer_cuda_error() - answer a REQUEST at which CUDA failed, with a CUresult that is not 0 */
void answer_cuda_error(ExecutorWriter *w, uint64_t tag, uint32_t cuda_result);

/* answer_result() - answer a COMPUTE */
void answer_result(ExecutorWriter *w, uint64_t tag, const ExecutorResult *result);

/* answer_result_cuda_error() - answer a COMPUTE at which CUDA failed */
void answer_result_cuda_error(ExecutorWriter *w, uint64_t tag, uint32_t cuda_result);

#endif
