/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A directory that looks like a machine with a device, for tests of vgpu doctor. The device is a
 * file of registers, whose answer to a request is always there already.
 */
#ifndef TEST_GUEST_DOCTOR_FIXTURE_H
#define TEST_GUEST_DOCTOR_FIXTURE_H

#include "doctor.h"
#include "test-guest-sysfs.h"
#include "test.h"
#include "vgpu-ring.h"

#define DOCTOR_RINGS 4u
#define DOCTOR_GROUP 4242
#define DOCTOR_USER 65534

typedef struct doctor_fixture {
    fake_sysfs sysfs;
    volatile uint32_t *bar;
    options options;
    char output[65536]; /* of the last doctor_examine() */
} doctor_fixture;

/* For cmocka; the state is a doctor_fixture. The second one has a device, of a host that is as it
 * should be. */
int doctor_setup_empty(void **state);
int doctor_setup(void **state);
int doctor_teardown(void **state);

/* A file below the root, and the directories that it is in */
void doctor_make_file(doctor_fixture *f, const char *path, const char *content);

void doctor_set_window(doctor_fixture *f, uint64_t size);

/* What the host answers to each request */
void doctor_answer(doctor_fixture *f, const char *backend);
void doctor_answer_error(doctor_fixture *f, uint32_t code);

/* doctor_become() - be this user for the files; only root can, and come back by 0 */
void doctor_become(uid_t user);

/* Have everything looked at. Returns the exit code. */
int doctor_examine(doctor_fixture *f);

/* A line begins with @begin and has @text and @mend in it. */
void doctor_expect(const doctor_fixture *f, const char *begin, const char *text, const char *mend);

/* Have everything looked at, and expect a failure. */
void doctor_expect_failure(doctor_fixture *f, const char *what, const char *text, const char *mend);
void doctor_expect_none(const doctor_fixture *f, const char *text);

/* doctor_test_main() - for main(). A session starts its keeper: this program, which is none. */
#define doctor_test_main(argc, argv, tests)                    \
    ((argc) > 1 && strcmp((argv)[1], RING_KEEPER_COMMAND) == 0 \
         ? EXIT_SUCCESS                                        \
         : cmocka_run_group_tests(tests, NULL, NULL))

#endif
