/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Drivers that sessions cannot use are refused, with the reason. */
#include "test-session-fixture.h"

#include <stdio.h>
#include <stdlib.h>

static CudaSessionDriver driver;

TEST(test_too_old)
{
    char reason[200] = "";

    assert_int_equal(cuda_session_driver_open(&driver, reason, sizeof(reason)), -ENODEV);
    assert_string_equal(reason, "the driver is too old for sessions: it has no cuDeviceGetUuid_v2");
    assert_null(driver.base.shared_object);
}

TEST(test_session_is_refused)
{
    SessionGuest g;
    char *text;

    session_guest_open(&g, NULL);
    session_guest_spawn(&g, NULL);
    assert_int_equal(session_guest_start(&g), -ENODEV);
    (void) session_guest_end(&g, &text);
    if (!strstr(text, "cuDeviceGetUuid_v2"))
        fail_msg("said \"%s\"", text);
    free(text);
    session_guest_close(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_too_old),
        cmocka_unit_test(test_session_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
