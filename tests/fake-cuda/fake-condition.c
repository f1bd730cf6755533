/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Conditional nodes. A launch queues one as a choice, which has what each of its graphs would do;
 * when the device comes to it, it queues what the condition says before all else in the stream, and
 * a loop itself again behind that.
 */
#include "fake-capture.h"
#include "fake-module.h"

#include <stdlib.h>
#include <string.h>

enum { INSTANTIATE_ERROR = 1, INSTANTIATE_HANDLE_UNUSED = 5 };

/* Far from addresses, so that nobody takes one for the other */
#define HANDLE_FIRST UINT64_C(0xc0de000000000000)

typedef struct FakeCondition {
    struct FakeCondition *next;
    uint64_t handle;
    CUgraph graph; /* NULL: it has ended */
    CUcontext context;
    unsigned initial, flags, value;
    bool is_used;     /* by a node */
    CUgraphExec exec; /* that decides by it, or NULL */
} FakeCondition;

/* What one of the graphs does */
typedef struct FakeBlock {
    FakeWork *works;
    size_t n, room;
} FakeBlock;

typedef struct FakeChoice {
    unsigned references;
    FakeCondition *condition;
    int type;
    unsigned n;
    FakeBlock blocks[];
} FakeChoice;

/* They stay until the process ends: a kernel may set one whose graph has ended. */
static FakeCondition *conditions;

static void *zeroed(size_t n, size_t size)
{
    void *p = calloc(n + 1, size);

    if (!p)
        abort();
    return p;
}

static FakeCondition *find(uint64_t handle)
{
    FakeCondition *c = conditions;

    while (c && c->handle != handle)
        c = c->next;
    return c;
}

bool fake_condition_set(const FakeLaunch *launch, uint64_t handle, unsigned value)
{
    FAKE_LOCKED();

    FakeCondition *c = find(handle);

    if (!c || c->context != launch->context)
        return false;
    c->value = value;
    return true;
}

void fake_condition_assign(FakeCondition *condition)
{
    condition->value = condition->initial;
}

CUresult cuGraphConditionalHandleCreate(uint64_t *handle, CUgraph graph, CUcontext context,
                                        unsigned value, unsigned flags)
{
    static uint64_t last = HANDLE_FIRST;

    ENTER_SESSION(FAKE_CONTEXT);
    FAKE_LOCKED();

    FakeCondition *c = zeroed(1, sizeof(*c));

    fake_object_check(graph, FAKE_KIND_GRAPH, __func__);
    fake_object_check(context, FAKE_KIND_CONTEXT, __func__);
    if (flags > CU_GRAPH_COND_ASSIGN_DEFAULT)
        fake_misuse("%s: flags %u", __func__, flags);
    *c = (FakeCondition){
        .next = conditions,
        .handle = ++last,
        .graph = graph,
        .context = context,
        .initial = value,
        .flags = flags,
    };
    conditions = c;
    *handle = c->handle;
    return CUDA_SUCCESS;
}

void fake_conditions_leave(CUgraph graph)
{
    for (FakeCondition *c = conditions; c; c = c->next)
        if (c->graph == graph)
            c->graph = NULL;
}

/* ---- Nodes ------------------------------------------------------------------------------------
 */

static CUgraph *bodies_new(unsigned n, CUgraph parent)
{
    CUgraph *bodies = zeroed(n, sizeof(CUgraph));

    for (unsigned i = 0; i < n; i++) {
        bodies[i] = fake_graph_new(NULL);
        bodies[i]->is_child = true;
        bodies[i]->parent = parent;
    }
    return bodies;
}

void fake_bodies_copy(CUgraphNode node)
{
    CUgraph *from = node->work.conditional.bodies;

    node->work.conditional.bodies = bodies_new(node->work.conditional.n, NULL);
    for (unsigned i = 0; i < node->work.conditional.n; i++)
        fake_nodes_copy(&node->work.conditional.bodies[i]->nodes, &from[i]->nodes);
}

void fake_bodies_end(CUgraphNode node)
{
    for (unsigned i = 0; i < node->work.conditional.n; i++)
        fake_graph_end(node->work.conditional.bodies[i]);
    free(node->work.conditional.bodies);
}

/* Its handle is of the graph, or of one that this is in, and no other node has it. */
static FakeCondition *condition_for(CUgraph graph, const CudaConditionalNode *p)
{
    FakeCondition *c = find(p->handle);

    while (c && graph && c->graph != graph)
        graph = graph->parent;
    return c && graph && !c->is_used && c->context == p->context ? c : NULL;
}

static bool size_is_right(const CudaConditionalNode *p)
{
    switch (p->type) {
    case CU_GRAPH_COND_TYPE_IF:
        return p->size == 1 || p->size == 2;
    case CU_GRAPH_COND_TYPE_WHILE:
        return p->size == 1;
    case CU_GRAPH_COND_TYPE_SWITCH:
        return p->size > 0;
    default:
        return false;
    }
}

CUresult cuGraphAddNode_v2(CUgraphNode *node, CUgraph graph, const CUgraphNode *dependencies,
                           const CudaEdgeData *data, size_t n_dependencies, CudaNodeParams *params)
{
    ENTER_SESSION(FAKE_CONTEXT);
    FAKE_LOCKED();

    CudaConditionalNode *p = &params->conditional;
    FakeCondition *c;
    FakeWork w = {.kind = FAKE_WORK_CONDITIONAL};
    CUresult r;

    fake_object_check(graph, FAKE_KIND_GRAPH, __func__);
    if (params->type != CU_GRAPH_NODE_TYPE_CONDITIONAL || data || params->reserved2 != 0 ||
        !size_is_right(p))
        fake_misuse("%s: type %d, %u graphs", __func__, params->type, p->size);
    c = condition_for(graph, p);
    if (!c)
        fake_misuse("%s: not a handle for it", __func__);
    w.conditional.condition = c;
    w.conditional.type = p->type;
    w.conditional.n = p->size;
    w.conditional.bodies = p->graphs = bodies_new(p->size, graph);
    r = fake_node_add(node, graph, dependencies, n_dependencies, &w, __func__);
    if (r == CUDA_SUCCESS)
        c->is_used = true;
    else
        fake_bodies_end(&(struct CUgraphNode_st){.work = w});
    return r;
}

bool fake_conditions_are(const FakeNodes *nodes)
{
    for (size_t i = 0; i < nodes->n; i++)
        if (nodes->all[i]->work.kind == FAKE_WORK_CONDITIONAL)
            return true;
    return false;
}

/* ---- Executable graphs ------------------------------------------------------------------------
 */

static bool body_may_have(const FakeNodes *nodes);

static bool body_node_is_allowed(const FakeWork *w)
{
    switch (w->kind) {
    case FAKE_WORK_KERNEL:
    case FAKE_WORK_COPY:
    case FAKE_WORK_SET:
    case FAKE_WORK_NOTHING:
        return true;
    case FAKE_WORK_GRAPH:
        return body_may_have(&w->graph->nodes);
    case FAKE_WORK_CONDITIONAL:
        for (unsigned i = 0; i < w->conditional.n; i++)
            if (!body_may_have(&w->conditional.bodies[i]->nodes))
                return false;
        return true;
    default:
        return false;
    }
}

static bool body_may_have(const FakeNodes *nodes)
{
    for (size_t i = 0; i < nodes->n; i++)
        if (!body_node_is_allowed(&nodes->all[i]->work))
            return false;
    return true;
}

/* Each condition of it decides for one executable graph at a time. */
static CUresult begin(const FakeNodes *nodes, CUgraphExec exec)
{
    CUresult r = CUDA_SUCCESS;

    for (size_t i = 0; i < nodes->n && r == CUDA_SUCCESS; i++) {
        const FakeWork *w = &nodes->all[i]->work;

        if (w->kind != FAKE_WORK_CONDITIONAL)
            continue;
        if (w->conditional.condition->exec || !body_node_is_allowed(w))
            return CUDA_ERROR_NOT_SUPPORTED;
        w->conditional.condition->exec = exec;
        for (unsigned j = 0; j < w->conditional.n && r == CUDA_SUCCESS; j++)
            r = begin(&w->conditional.bodies[j]->nodes, exec);
    }
    return r;
}

CUresult fake_conditions_begin(CUgraph graph, CUgraphExec exec, int *ret)
{
    CUresult r;

    for (const FakeCondition *c = conditions; c; c = c->next) {
        if (c->graph != graph || c->is_used)
            continue;
        *ret = INSTANTIATE_HANDLE_UNUSED;
        return CUDA_ERROR_INVALID_VALUE;
    }
    r = begin(&exec->nodes, exec);
    if (r != CUDA_SUCCESS) {
        *ret = INSTANTIATE_ERROR;
        fake_conditions_end(exec);
    }
    return r;
}

void fake_conditions_end(CUgraphExec exec)
{
    for (FakeCondition *c = conditions; c; c = c->next)
        if (c->exec == exec)
            c->exec = NULL;
}

/* ---- Launches ---------------------------------------------------------------------------------
 */

static void flatten(FakeBlock *to, const FakeNodes *nodes, const char *what);

static FakeWork choice_make(const FakeWork *node, const char *what)
{
    const unsigned n = node->conditional.n;
    FakeChoice *choice = zeroed(1, sizeof(*choice) + n * sizeof(choice->blocks[0]));

    choice->references = 1;
    choice->condition = node->conditional.condition;
    choice->type = node->conditional.type;
    choice->n = n;
    for (unsigned i = 0; i < n; i++)
        flatten(&choice->blocks[i], &node->conditional.bodies[i]->nodes, what);
    return (FakeWork){.kind = FAKE_WORK_CHOICE, .choice = choice};
}

/* What is used must live. */
static FakeWork work_make(const struct CUgraphNode_st *node, const char *what)
{
    FakeWork w;

    if (node->work.kind == FAKE_WORK_CONDITIONAL)
        return choice_make(&node->work, what);
    if (node->work.kind == FAKE_WORK_KERNEL)
        fake_object_check(node->work.launch.function, FAKE_KIND_FUNCTION, what);
    if ((node->work.kind == FAKE_WORK_RECORD || node->work.kind == FAKE_WORK_WAIT_EVENT) &&
        node->work.event.event->destroyed)
        fake_misuse("%s: an event was destroyed", what);
    fake_work_copy(&w, &node->work);
    return w;
}

static void block_add(FakeBlock *b, const FakeWork *work)
{
    if (b->n == b->room) {
        b->room = b->room ? 2 * b->room : 16;
        b->works = realloc(b->works, b->room * sizeof(*b->works));
        if (!b->works)
            abort();
    }
    b->works[b->n++] = *work;
}

/* The works in an order in which they may run, which become the block's */
static void flatten(FakeBlock *to, const FakeNodes *nodes, const char *what)
{
    CUgraphNode *sorted = fake_nodes_sort(nodes);
    FakeWork w;

    if (!sorted)
        abort();
    for (size_t i = 0; i < nodes->n; i++) {
        if (sorted[i]->disabled)
            continue;
        if (sorted[i]->work.kind == FAKE_WORK_GRAPH) {
            flatten(to, &sorted[i]->work.graph->nodes, what);
        } else {
            w = work_make(sorted[i], what);
            block_add(to, &w);
        }
    }
    free(sorted);
}

static void assign(CUstream s, const FakeNodes *nodes)
{
    for (size_t i = 0; i < nodes->n; i++) {
        const FakeWork *w = &nodes->all[i]->work;
        FakeWork first = {.kind = FAKE_WORK_ASSIGN};

        if (w->kind != FAKE_WORK_CONDITIONAL)
            continue;
        first.assign = w->conditional.condition;
        if (first.assign->flags & CU_GRAPH_COND_ASSIGN_DEFAULT)
            fake_push(s, &first);
        for (unsigned j = 0; j < w->conditional.n; j++)
            assign(s, &w->conditional.bodies[j]->nodes);
    }
}

void fake_graph_run(CUstream s, const FakeNodes *nodes, const char *what)
{
    FakeBlock block = {0};

    assign(s, nodes);
    flatten(&block, nodes, what);
    for (size_t i = 0; i < block.n; i++)
        fake_push(s, &block.works[i]);
    free(block.works);
}

void fake_choice_ref(FakeChoice *choice)
{
    choice->references++;
}

void fake_choice_unref(FakeChoice *choice)
{
    if (--choice->references > 0)
        return;
    for (unsigned i = 0; i < choice->n; i++) {
        for (size_t j = 0; j < choice->blocks[i].n; j++)
            fake_work_clear(&choice->blocks[i].works[j]);
        free(choice->blocks[i].works);
    }
    free(choice);
}

/* Which of the graphs it is; as many as there are: none */
static unsigned choose(const FakeChoice *c)
{
    const unsigned value = c->condition->value;

    if (c->type == CU_GRAPH_COND_TYPE_SWITCH)
        return value < c->n ? value : c->n;
    return value != 0 ? 0 : 1;
}

void fake_choice_run(CUstream s, const FakeWork *work)
{
    FakeChoice *c = work->choice;
    const unsigned i = choose(c);

    if (i >= c->n)
        return;
    if (c->type == CU_GRAPH_COND_TYPE_WHILE)
        fake_push_next(s, work, 1, work->sequence);
    fake_push_next(s, c->blocks[i].works, c->blocks[i].n, work->sequence);
}
