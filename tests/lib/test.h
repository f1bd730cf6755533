/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Includes cmocka with the headers that it needs before it, and defines the head of a test. */
#ifndef VGPU_TEST_H
#define VGPU_TEST_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* TEST() - the head of a test that does not use the state of its group */
#define TEST(name) static void name(__attribute__((unused)) void **state)

#endif
