/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "answer.h"

#include <assert.h>

static void *answer_begin(ExecutorWriter *w, uint32_t type, uint64_t tag, size_t length)
{
    ExecutorMessage *m = executor_writer_begin(w);

    assert(length <= EXECUTOR_PAYLOAD_MAX);
    m->header = (ExecutorHeader){.type = type, .length = (uint32_t) length, .tag = tag};
    return m->payload;
}

void answer_response(ExecutorWriter *w, uint64_t tag, const Response *response)
{
    response_write(response, answer_begin(w, EXECUTOR_MSG_RESPONSE, tag, response_size(response)));
}

void answer_cuda_error(ExecutorWriter *w, uint64_t tag, uint32_t cuda_result)
{
    const Response response = {
        .status = VGPU_ERROR_CUDA_ERROR,
        .n_results = 1,
        .results = &cuda_result,
    };

    answer_response(w, tag, &response);
}

void answer_result(ExecutorWriter *w, uint64_t tag, const ExecutorResult *result)
{
    memcpy(answer_begin(w, EXECUTOR_MSG_RESULT, tag, sizeof(*result)), result, sizeof(*result));
}

void answer_result_cuda_error(ExecutorWriter *w, uint64_t tag, uint32_t cuda_result)
{
    const ExecutorResult result = {.status = VGPU_ERROR_CUDA_ERROR, .cuda_result = cuda_result};

    answer_result(w, tag, &result);
}
