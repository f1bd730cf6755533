/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* cmocka, and what it wants to have been included before it. */
#ifndef VGPU_TEST_CMOCKA_HEADERS_H
#define VGPU_TEST_CMOCKA_HEADERS_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#endif
