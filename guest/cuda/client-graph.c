/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Graphs by their nodes */
#include <stdlib.h>
#include <string.h>

#include "client-internal.h"

/* CU_GRAPH_NODE_TYPE_HOST */
#define TYPE_HOST 3u

int vgpu_session_node_add(vgpu_session *s, const vgpu_session_from *from,
                          const VGPUSessionNode *node, const uint32_t *dependencies,
                          uint32_t n_dependencies, const void *payload, size_t payload_size,
                          uint32_t *ret_node)
{
    const size_t numbers = ((size_t) n_dependencies + 1) / 2 * 2 * sizeof(*dependencies);
    VGPUSessionNode parameters = *node;
    VGPUSessionReply reply;
    uint8_t *more;
    int r;

    if (payload_size > VGPU_SESSION_RECORD_MAX || numbers > VGPU_SESSION_RECORD_MAX)
        return VGPU_CUDA_ERROR_INVALID_VALUE;
    more = calloc(1, numbers + payload_size + 1);
    if (!more)
        return VGPU_CUDA_ERROR_OUT_OF_MEMORY;
    if (n_dependencies > 0)
        memcpy(more, dependencies, n_dependencies * sizeof(*dependencies));
    if (payload_size > 0)
        memcpy(more + numbers, payload, payload_size);
    parameters.n_dependencies = n_dependencies;
    r = vgpu_session_call(s, VGPU_SESSION_OP_NODE_ADD, from, &parameters, sizeof(parameters), more,
                          numbers + payload_size, &reply);
    free(more);
    if (r == 0)
        *ret_node = (uint32_t) reply.value[0];
    return r;
}

int vgpu_session_node_add_host(vgpu_session *s, const vgpu_session_from *from, uint32_t graph,
                               const uint32_t *dependencies, uint32_t n_dependencies,
                               vgpu_session_function function, void *userdata, uint32_t *ret_node)
{
    const vgpu_session_host host = {function, userdata, NULL};

    return vgpu_session_node_add_host_with(s, from, graph, dependencies, n_dependencies, &host,
                                           ret_node);
}

int vgpu_session_node_add_host_with(vgpu_session *s, const vgpu_session_from *from, uint32_t graph,
                                    const uint32_t *dependencies, uint32_t n_dependencies,
                                    const vgpu_session_host *host, uint32_t *ret_node)
{
    const VGPUSessionNode node = {.graph = graph, .type = TYPE_HOST};
    VGPUSessionFence fence;
    client_host *h;
    int r = client_host_new(s, host, &h, &fence);

    if (r != 0)
        return r;
    r = vgpu_session_node_add(s, from, &node, dependencies, n_dependencies, &fence, sizeof(fence),
                              ret_node);
    client_host_given(s, h, r);
    return r;
}

int vgpu_session_node_set_host(vgpu_session *s, const vgpu_session_from *from, uint32_t graph,
                               uint32_t exec, uint32_t node, vgpu_session_function function,
                               void *userdata)
{
    const vgpu_session_host host = {function, userdata, NULL};

    return vgpu_session_node_set_host_with(s, from, graph, exec, node, &host);
}

int vgpu_session_node_set_host_with(vgpu_session *s, const vgpu_session_from *from, uint32_t graph,
                                    uint32_t exec, uint32_t node, const vgpu_session_host *host)
{
    const VGPUSessionNode parameters = {
        .graph = graph,
        .exec = exec,
        .node = node,
        .type = TYPE_HOST,
    };
    VGPUSessionFence fence;
    client_host *h;
    int r = client_host_new(s, host, &h, &fence);

    if (r != 0)
        return r;
    r = vgpu_session_call(s, exec ? VGPU_SESSION_OP_NODE_EXEC_SET : VGPU_SESSION_OP_NODE_SET, from,
                          &parameters, sizeof(parameters), &fence, sizeof(fence), NULL);
    client_host_given(s, h, r);
    return r;
}

/* ---- Questions -------------------------------------------------------------------- */

/* A question, and the place in its parameters that says where the answer goes */
typedef struct Question {
    uint16_t opcode;
    void *parameters;
    size_t size;
    VGPUSessionBytes *into;
} Question;

/* Ask once, and once more where the first room was too little. @each: bytes of one of what the
 * reply's value @which counts */
static int ask(vgpu_session *s, const vgpu_session_from *from, const Question *q,
               unsigned int which, size_t each, void **ret, VGPUSessionReply *reply)
{
    size_t size = 4096;

    for (;;) {
        void *into, *copy = NULL;
        uint64_t bytes;
        int r = vgpu_session_window_alloc(s, size, 0, &into);

        if (r != 0)
            return r;
        (void) vgpu_session_window_bytes(s, into, size, q->into);
        r = vgpu_session_call(s, q->opcode, from, q->parameters, q->size, NULL, 0, reply);
        bytes = reply->value[which] * each;
        if (r == 0 && reply->value[which] > VGPU_SESSION_ALL_NODES_MAX * UINT64_C(8))
            r = VGPU_CUDA_ERROR_UNKNOWN; /* the host lies */
        if (r == 0 && bytes <= size) {
            copy = malloc(bytes + 1);
            if (copy)
                memcpy(copy, into, bytes);
            else
                r = VGPU_CUDA_ERROR_OUT_OF_MEMORY;
        }
        if (vgpu_session_get_failure(s) == 0) /* else the host may still write there */
            vgpu_session_window_free(s, into);
        if (r != 0 || copy) {
            *ret = copy;
            return r;
        }
        size = (size_t) bytes;
    }
}

int vgpu_session_node_get(vgpu_session *s, const vgpu_session_from *from, uint32_t graph,
                          uint32_t node, void **ret_payload, uint64_t ret[static 3])
{
    VGPUSessionNode parameters = {.graph = graph, .node = node};
    const Question q = {VGPU_SESSION_OP_NODE_GET, &parameters, sizeof(parameters),
                        &parameters.into};
    VGPUSessionReply reply = {0};
    void *payload;
    int r = ask(s, from, &q, 1, 1, &payload, &reply);

    if (r != 0)
        return r;
    memcpy(ret, reply.value, 3 * sizeof(*ret));
    if (ret[1] == 0) {
        free(payload);
        payload = NULL;
    }
    *ret_payload = payload;
    return 0;
}

int vgpu_session_graph_list(vgpu_session *s, const vgpu_session_from *from, uint32_t graph,
                            uint32_t what, uint32_t **ret, uint64_t *ret_n)
{
    const size_t n = what == VGPU_GRAPH_LIST_EDGE_DATA ? 4 : what == VGPU_GRAPH_LIST_EDGES ? 2 : 1;
    const size_t each = n * sizeof(uint32_t);
    VGPUSessionNode parameters = {.graph = graph, .what = what};
    const Question q = {VGPU_SESSION_OP_GRAPH_LIST, &parameters, sizeof(parameters),
                        &parameters.into};
    VGPUSessionReply reply = {0};
    void *numbers;
    int r = ask(s, from, &q, 0, each, &numbers, &reply);

    if (r != 0)
        return r;
    *ret = numbers;
    *ret_n = reply.value[0];
    return 0;
}

/* ---- Captures --------------------------------------------------------------------- */

static VGPUSessionEdge *edges_of_numbers(const uint32_t *numbers, uint64_t n)
{
    VGPUSessionEdge *edges = calloc(n + 1, sizeof(*edges));

    for (uint64_t i = 0; edges && i < n; i++)
        edges[i].from = numbers[i];
    return edges;
}

/* Mostly the edges are plain, and an executor may know no others: so it is asked for them only when
 * it says that there are some. */
int vgpu_session_capture_graph(vgpu_session *s, const vgpu_session_from *from, uint32_t stream,
                               uint32_t graph, VGPUSessionEdge **ret, uint64_t *ret_n)
{
    VGPUSessionCapture parameters = {.graph = graph, .stream = stream};
    const Question q = {VGPU_SESSION_OP_CAPTURE_GRAPH, &parameters, sizeof(parameters),
                        &parameters.into};
    VGPUSessionReply reply = {0};
    void *told;
    int r = ask(s, from, &q, 0, sizeof(uint32_t), &told, &reply);

    if (r == 0 && reply.value[1] == 0) {
        *ret = edges_of_numbers(told, reply.value[0]);
        free(told);
    } else if (r == 0) {
        free(told);
        parameters.flags = VGPU_SESSION_EDGE_DATA;
        r = ask(s, from, &q, 0, sizeof(VGPUSessionEdge), &told, &reply);
        if (r == 0)
            *ret = told;
    }
    if (r != 0)
        return r;
    *ret_n = reply.value[0];
    return *ret ? 0 : VGPU_CUDA_ERROR_OUT_OF_MEMORY;
}

static bool edges_have_data(const VGPUSessionEdge *edges, uint32_t n)
{
    static const uint8_t plain[sizeof(edges->data)];

    for (uint32_t i = 0; i < n; i++)
        if (memcmp(edges[i].data, plain, sizeof(plain)) != 0)
            return true;
    return false;
}

int vgpu_session_capture_nodes(vgpu_session *s, const vgpu_session_from *from, uint16_t opcode,
                               const VGPUSessionCapture *capture, const VGPUSessionEdge *edges)
{
    const bool has_data = edges_have_data(edges, capture->n);
    const size_t each = has_data ? sizeof(*edges) : sizeof(edges->from);
    const size_t size = ((size_t) capture->n * each + 7) / 8 * 8;
    VGPUSessionCapture parameters = *capture;
    uint8_t *more;
    int r;

    if (size > VGPU_SESSION_RECORD_MAX)
        return VGPU_CUDA_ERROR_INVALID_VALUE;
    more = calloc(1, size + 1);
    if (!more)
        return VGPU_CUDA_ERROR_OUT_OF_MEMORY;
    if (has_data)
        parameters.flags |= VGPU_SESSION_EDGE_DATA;
    for (uint32_t i = 0; i < capture->n; i++)
        memcpy(more + i * each, &edges[i], each); /* of plain ones: @from */
    r = vgpu_session_call(s, opcode, from, &parameters, sizeof(parameters), more, size, NULL);
    free(more);
    return r;
}
