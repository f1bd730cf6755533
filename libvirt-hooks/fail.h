/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Saying in words why something is refused. */
#ifndef VGPU_HOOKS_FAIL_H
#define VGPU_HOOKS_FAIL_H

/*
 * fail_with() - give a result and its reason
 * @code: the result
 * @ret_error: the reason, to be freed. It is one line: control characters become '?'
 *
 * Returns @code, or -ENOMEM without a reason.
 */
__attribute__((format(printf, 3, 4))) int fail_with(int code, char **ret_error, const char *format,
                                                    ...);

#endif
