/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* cmocka, what it wants to have been included before it, and the head of a test. */
#ifndef VGPU_TEST_H
#define VGPU_TEST_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* TEST() - the head of a test that needs no state of its group */
#define TEST(name) static void name(__attribute__((unused)) void **state)

#endif
