/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a line has in the journal, seen in place of the journal. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "log.h"
#include "names.h"
#include "test.h"

static char sent[4096]; /* a line for each field */

int __wrap_sd_journal_sendv(const struct iovec *iov, int n);
int __wrap_sd_journal_sendv(const struct iovec *iov, int n)
{
    size_t used = 0;

    for (int i = 0; i < n; i++)
        used += (size_t) snprintf(sent + used, sizeof(sent) - used, "%.*s\n", (int) iov[i].iov_len,
                                  (const char *) iov[i].iov_base);
    return 0;
}

static int start(void **state)
{
    char stream[64];
    struct stat st;

    (void) state;
    if (fstat(STDERR_FILENO, &st) < 0)
        return -1;
    snprintf(stream, sizeof(stream), "%llu:%llu", (unsigned long long) st.st_dev,
             (unsigned long long) st.st_ino);
    return setenv("JOURNAL_STREAM", stream, 1);
}

static const uint8_t uuid[16] = {0x6f, 0x0a, 0x2a, 0x64, 0x7d, 0x0c, 0x4d, 0x5e,
                                 0x9d, 0x0e, 0x0a, 0x4f, 0x5f, 0x0b, 0x1c, 0x2d};

TEST(test_line_names_its_VM)
{
    const LogContext context = {.vm = "web1", .vm_id = 3, .has_request_id = true, .request_id = 23};

    log_context(LOG_WARNING, &context, "request %u rejected", 23u);
    assert_string_equal(sent, "PRIORITY=4\nVGPU_VM=web1\nVGPU_VM_ID=3\nVGPU_REQUEST_ID=23\n"
                              "MESSAGE=web1: request 23 rejected\n");
}

TEST(test_line_without_a_VM)
{
    log_info("configuration read again");
    assert_string_equal(sent, "PRIORITY=6\nMESSAGE=configuration read again\n");
}

TEST(test_change)
{
    const LogContext context = {.vm = "web1", .vm_id = 3, .vm_uuid = uuid};
    const LogChange change = {"Priority", "low", "high", 1000, 77};

    log_event(VGPU_MESSAGE_VM_CHANGED, &context, &change, "Priority changed");
    assert_string_equal(sent, "PRIORITY=6\nMESSAGE_ID=" VGPU_MESSAGE_VM_CHANGED "\n"
                              "VGPU_VM=web1\nVGPU_VM_ID=3\n"
                              "VGPU_VM_UUID=6f0a2a64-7d0c-4d5e-9d0e-0a4f5f0b1c2d\n"
                              "VGPU_SENDER_UID=1000\nVGPU_SENDER_PID=77\n"
                              "VGPU_SETTING=Priority\nVGPU_FROM=low\nVGPU_TO=high\n"
                              "MESSAGE=web1: Priority changed, by user 1000 (process 77)\n");
}

/* Nobody's but the mediator's own. */
TEST(test_change_by_itself)
{
    const LogContext context = {.vm = "web1", .vm_id = 3};
    const LogChange change = {
        .setting = "Quarantined", .from = "quarantined", .to = "released", .by_itself = true};

    log_event(VGPU_MESSAGE_VM_CHANGED, &context, &change, "released from quarantine");
    assert_string_equal(sent, "PRIORITY=5\nMESSAGE_ID=" VGPU_MESSAGE_VM_CHANGED "\n"
                              "VGPU_VM=web1\nVGPU_VM_ID=3\n"
                              "VGPU_SETTING=Quarantined\nVGPU_FROM=quarantined\nVGPU_TO=released\n"
                              "MESSAGE=web1: released from quarantine\n");
}

/* The longest name, with all that a line can have. */
TEST(test_everything)
{
    const LogContext context = {.vm_id = UINT32_MAX,
                                .vm_uuid = uuid,
                                .pool = 'A',
                                .has_request_id = true,
                                .request_id = UINT32_MAX,
                                .error = 1,
                                .peer_pid = 4194304};
    const LogChange change = {"RequestRateLimit", "4294967295", "4294967295", 4294967294, 4194304};
    LogContext named = context;
    char name[256];

    memset(name, 'x', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    named.vm = name;
    log_event(VGPU_MESSAGE_VM_CHANGED, &named, &change, "done");
    assert_non_null(strstr(sent, "x: done, by user 4294967294 (process 4194304)\n"));
    assert_non_null(strstr(sent, "VGPU_PEER_PID=4194304\n"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_line_names_its_VM),
        cmocka_unit_test(test_line_without_a_VM),
        cmocka_unit_test(test_change),
        cmocka_unit_test(test_change_by_itself),
        cmocka_unit_test(test_everything),
    };

    return cmocka_run_group_tests_name("log", tests, start, NULL);
}
