/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Saying in words why something is refused. */
#ifndef VGPU_HOOKS_FAIL_H
#define VGPU_HOOKS_FAIL_H

/*
 * fail_with() - an answer and its reason
 * @code: what to return
 * @ret_error: the reason, to be freed: one line, whatever control characters the
 *             values in it have
 *
 * Returns @code, or -ENOMEM without a reason.
 */
__attribute__((format(printf, 3, 4))) int fail_with(int code, char **ret_error, const char *format,
                                                    ...);

#endif
