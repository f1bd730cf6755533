/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* "vgpuctl list --all". */
#ifndef VGPU_CTL_OVERRIDES_H
#define VGPU_CTL_OVERRIDES_H

#include "ctl.h"

/* overrides_list() - every VM that is known, that libvirt could start, or that settings are kept
 * for, with these. Says what is wrong. Returns 0 or a negative errno */
int overrides_list(Context *c);

#endif
