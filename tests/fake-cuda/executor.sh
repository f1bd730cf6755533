#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# The executor with kernels that the fake driver takes, also in a build without
# nvcc: for tests that let the mediator start it.
exec "$VGPU_REAL_EXECUTOR" --kernels="$VGPU_FAKE_CUDA_KERNELS" "$@"
