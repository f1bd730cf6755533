#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# The executor with kernels that the fake driver takes, also in a build without
# nvcc: for tests that let the mediator start it. Complaints of the fake driver go to the log, also
# where standard error is for what kernels say.
exec 9>&2
export VGPU_FAKE_CUDA_ERRORS=9
exec "$VGPU_REAL_EXECUTOR" --kernels="$VGPU_FAKE_CUDA_KERNELS" "$@"
