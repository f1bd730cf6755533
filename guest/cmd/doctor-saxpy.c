/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "doctor-session.h"

#define N 10000u
#define BLOCK 256u
#define FACTOR 3.0f

/* y = a x + y, in a PTX that every driver since CUDA 9 takes, for every GPU that those know */
static const char saxpy_ptx[] = ".version 6.0\n"
                                ".target sm_50\n"
                                ".address_size 64\n"
                                "\n"
                                ".visible .entry saxpy(\n"
                                "	.param .u32 saxpy_param_0,\n"
                                "	.param .f32 saxpy_param_1,\n"
                                "	.param .u64 saxpy_param_2,\n"
                                "	.param .u64 saxpy_param_3\n"
                                ")\n"
                                "{\n"
                                "	.reg .pred %p;\n"
                                "	.reg .f32 %f<4>;\n"
                                "	.reg .b32 %r<6>;\n"
                                "	.reg .b64 %rd<4>;\n"
                                "\n"
                                "	mov.u32 %r1, %ctaid.x;\n"
                                "	mov.u32 %r2, %ntid.x;\n"
                                "	mov.u32 %r3, %tid.x;\n"
                                "	mad.lo.s32 %r4, %r1, %r2, %r3;\n"
                                "	ld.param.u32 %r5, [saxpy_param_0];\n"
                                "	setp.ge.u32 %p, %r4, %r5;\n"
                                "	@%p ret;\n"
                                "	ld.param.u64 %rd1, [saxpy_param_2];\n"
                                "	ld.param.u64 %rd2, [saxpy_param_3];\n"
                                "	cvta.to.global.u64 %rd1, %rd1;\n"
                                "	cvta.to.global.u64 %rd2, %rd2;\n"
                                "	mul.wide.u32 %rd3, %r4, 4;\n"
                                "	add.s64 %rd1, %rd1, %rd3;\n"
                                "	add.s64 %rd2, %rd2, %rd3;\n"
                                "	ld.param.f32 %f1, [saxpy_param_1];\n"
                                "	ld.global.f32 %f2, [%rd1];\n"
                                "	ld.global.f32 %f3, [%rd2];\n"
                                "	fma.rn.f32 %f3, %f2, %f1, %f3;\n"
                                "	st.global.f32 [%rd2], %f3;\n"
                                "	ret;\n"
                                "}\n";

/* As the kernel has its parameters */
typedef struct saxpy_parameters {
    uint32_t n;
    float a;
    uint64_t x, y;
} saxpy_parameters;

typedef struct saxpy {
    vgpu_session *s;
    const vgpu_session_from *from;
    uint32_t function;
    saxpy_parameters parameters;
    float x[N], y[N];
} saxpy;

static int saxpy_compile(saxpy *j)
{
    VGPUSessionFunction *layout = NULL;
    uint32_t module;
    int r =
        vgpu_session_module_load(j->s, j->from, saxpy_ptx, sizeof(saxpy_ptx), NULL, NULL, &module);

    if (r == 0)
        r = vgpu_session_function_get(j->s, j->from, module, "saxpy", &j->function, &layout);
    free(layout);
    return r;
}

static int saxpy_upload(saxpy *j)
{
    saxpy_parameters *p = &j->parameters;
    int r;

    *p = (saxpy_parameters){.n = N, .a = FACTOR};
    r = vgpu_session_memory_alloc(j->s, j->from, sizeof(j->x), &p->x);
    if (r == 0)
        r = vgpu_session_memory_alloc(j->s, j->from, sizeof(j->y), &p->y);
    if (r == 0)
        r = vgpu_session_upload(j->s, j->from, 0, p->x, j->x, sizeof(j->x));
    if (r == 0)
        r = vgpu_session_upload(j->s, j->from, 0, p->y, j->y, sizeof(j->y));
    return r;
}

/* What is wrong with a kernel shows in the copy behind it. */
static int saxpy_launch(saxpy *j)
{
    const VGPUSessionLaunch launch = {
        .function = j->function,
        .grid = {(N + BLOCK - 1) / BLOCK, 1, 1},
        .block = {BLOCK, 1, 1},
        .parameters_size = sizeof(j->parameters),
    };
    int r = vgpu_session_post(j->s, VGPU_SESSION_OP_LAUNCH, j->from, &launch, sizeof(launch),
                              &j->parameters, sizeof(j->parameters));

    if (r == 0)
        r = vgpu_session_download(j->s, j->from, 0, j->y, j->parameters.y, sizeof(j->y));
    return r == 0 ? vgpu_session_get_latched(j->s) : r;
}

static const char *saxpy_check(const saxpy *j)
{
    for (uint32_t i = 0; i < N; i++)
        if (j->y[i] != FACTOR * (float) i + 1)
            return "3 x + 1 is another number";
    return NULL;
}

int doctor_saxpy(vgpu_session *s, const vgpu_session_from *from, const char **ret_step)
{
    CLEANUP_FREE saxpy *j = calloc(1, sizeof(*j));
    int r;

    *ret_step = "have memory of this machine";
    if (!j)
        return VGPU_CUDA_ERROR_OUT_OF_MEMORY;
    j->s = s;
    j->from = from;
    for (uint32_t i = 0; i < N; i++) {
        j->x[i] = (float) i;
        j->y[i] = 1;
    }
    *ret_step = "compile a kernel";
    r = saxpy_compile(j);
    if (r != 0)
        return r;
    *ret_step = "have memory";
    r = saxpy_upload(j);
    if (r != 0)
        return r;
    *ret_step = "run a kernel";
    r = saxpy_launch(j);
    if (r == 0)
        *ret_step = saxpy_check(j);
    return r;
}
