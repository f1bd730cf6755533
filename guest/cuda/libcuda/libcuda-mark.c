/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the file says of itself to who finds it and does not load it: "vgpu doctor" looks for this
 * text. */
__attribute__((used)) static const char libcuda_mark[] =
    "vgpu-mediator libcuda " VGPU_MEDIATOR_VERSION
#ifdef LIBCUDA_HANDSHAKE
    " with the runtime"
#endif
    ;
