/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Writing a device's slot into the definition of its domain, which libvirt's test driver keeps, as
 * in test-managed-domain.c.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>

#include "cleanup.h"
#include "domain-keep-slot.h"
#include "slot.h"
#include "test-driver.h"
#include "test.h"

#define URI "test:///default"
#define UUID "6f1d8c1e-2a47-4d0b-9f0e-0c5b7a1e4d11"
#define ELEMENT(attributes) "<vgpu:device xmlns:vgpu='urn:vgpu-mediator:domain:1' " attributes "/>"

static virConnectPtr connection;
static char directory[] = "/tmp/vgpu-test-XXXXXX", pid_file[64];

/* ---- The element --------------------------------------------------------------------------- */

static void expect_element(const char *before, int slot, const char *after)
{
    CLEANUP_FREE char *text = NULL;

    assert_int_equal(keep_slot_in_element(before, slot, &text), 1);
    if (!strstr(text, after))
        fail_msg("%s is not in %s", after, text);
}

TEST(test_the_element)
{
    char *none = NULL;

    expect_element(ELEMENT("pool='A' emulator='/q&amp;&#34;a&lt;'"), 0x1d,
                   "<device pool=\"A\" emulator=\"/q&amp;&quot;a&lt;\" slot=\"0x1d\"/>");
    expect_element(ELEMENT("slot='0x1e' pool='A'"), SLOT_NONE,
                   "<device slot=\"none\" pool=\"A\"/>");
    assert_int_equal(keep_slot_in_element(ELEMENT("slot='0x1e'"), 0x1e, &none), 0);
    assert_int_equal(keep_slot_in_element("<other/>", 0x1e, &none), -EBADMSG);
    assert_int_equal(keep_slot_in_element("nonsense", 0x1e, &none), -EBADMSG);
    assert_null(none);
}

/* ---- The domain ---------------------------------------------------------------------------- */

/* libvirt's answer to so many writes. */
static unsigned n_refusals;
static int refusal;
static bool is_refused;

/* In libvirt's place. */
int virDomainSetMetadata(virDomainPtr domain, int type, const char *metadata, const char *key,
                         const char *uri, unsigned int flags)
{
    int (*next)(virDomainPtr, int, const char *, const char *, const char *, unsigned);

    if (n_refusals > 0) {
        n_refusals--;
        is_refused = true;
        return -1;
    }
    *(void **) &next = dlsym(RTLD_NEXT, "virDomainSetMetadata");
    return next(domain, type, metadata, key, uri, flags);
}

int virGetLastErrorCode(void)
{
    int (*next)(void);

    if (is_refused) {
        is_refused = false;
        return refusal;
    }
    *(void **) &next = dlsym(RTLD_NEXT, "virGetLastErrorCode");
    return next();
}

static virDomainPtr start(const char *metadata)
{
    virDomainPtr domain = driver_define(connection, UUID, metadata);

    assert_int_equal(virDomainCreate(domain), 0);
    return domain;
}

/* What runs as its QEMU; @device: NULL: none. */
static pid_t run_qemu(const char *device)
{
    int ends[2];
    pid_t pid;
    FILE *f;

    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    pid = fork();
    if (pid == 0) {
        execl("/bin/sh", "qemu", "-c", "exec >/dev/null 2>&1; sleep 60; true", "qemu", "-machine",
              "pc", "-uuid", UUID, device ? "-device" : NULL, device, NULL);
        _exit(127);
    }
    close(ends[1]);
    assert_int_equal(read(ends[0], &(char){0}, 1), 0); /* it is that program now */
    close(ends[0]);
    f = fopen(pid_file, "we");
    assert_non_null(f);
    fprintf(f, "%d", (int) pid);
    fclose(f);
    return pid;
}

static void end_qemu(pid_t pid)
{
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_int_equal(unlink(pid_file), 0);
}

#define AT_1D "{\"driver\":\"vgpu-stub\",\"bus\":\"pci.0\",\"addr\":\"0x1d\"}"

static void keep(void)
{
    CLEANUP_FREE char *error = NULL;
    int r = keep_slot_of_domain(URI, UUID, directory, &error);

    if (r != 0)
        fail_msg("%d: %s", r, error ? error : strerror(-r));
}

TEST(test_a_domain_that_runs)
{
    virDomainPtr domain = start(ELEMENT("pool='A' priority='high'"));
    pid_t pid = run_qemu(AT_1D);

    keep();
    assert_true(driver_has(domain, 0, "slot=\"0x1d\""));
    assert_true(driver_has(domain, VIR_DOMAIN_XML_INACTIVE, "slot=\"0x1d\""));
    end_qemu(pid);

    /* This start has none; the next may, in the slot of before. */
    pid = run_qemu(NULL);
    keep();
    assert_true(driver_has(domain, 0, "slot=\"none\""));
    assert_true(driver_has(domain, VIR_DOMAIN_XML_INACTIVE, "slot=\"0x1d\""));
    end_qemu(pid);
    driver_undefine(domain);
}

/* As while its memory is loaded, which takes longer than libvirt waits. */
TEST(test_a_domain_that_libvirt_is_busy_with)
{
    virDomainPtr domain = start(ELEMENT("pool='A' priority='high'"));
    pid_t pid = run_qemu(AT_1D);

    refusal = VIR_ERR_OPERATION_TIMEOUT;
    n_refusals = 2;
    keep();
    assert_int_equal(n_refusals, 0);
    assert_true(driver_has(domain, 0, "slot=\"0x1d\""));
    assert_true(driver_has(domain, VIR_DOMAIN_XML_INACTIVE, "slot=\"0x1d\""));
    end_qemu(pid);
    driver_undefine(domain);
}

/* It is nobody's trouble when a domain ends, and a unit that has failed would look like some. */
TEST(test_a_domain_that_has_ended)
{
    virDomainPtr domain = start(ELEMENT("pool='A' priority='high'"));
    pid_t pid = run_qemu(AT_1D);

    refusal = VIR_ERR_OPERATION_INVALID;
    n_refusals = 2;
    keep();
    end_qemu(pid);

    assert_int_equal(virDomainDestroy(domain), 0);
    keep();
    assert_false(driver_has(domain, VIR_DOMAIN_XML_INACTIVE, "slot"));
    driver_undefine(domain);
    keep();
    n_refusals = 0;
}

TEST(test_what_goes_wrong)
{
    virDomainPtr domain = start(ELEMENT("pool='A' priority='high'"));
    char *error = NULL;
    pid_t pid;

    assert_int_equal(keep_slot_of_domain(URI, UUID, directory, &error), KEEP_SLOT_FAILED);
    assert_non_null(strstr(error, "cannot find its QEMU"));
    free(error);

    pid = run_qemu(AT_1D);
    refusal = VIR_ERR_INTERNAL_ERROR;
    n_refusals = 1;
    assert_int_equal(keep_slot_of_domain(URI, UUID, directory, &error), KEEP_SLOT_FAILED);
    free(error);
    end_qemu(pid);
    driver_undefine(domain);
}

static int set_up(void **state)
{
    (void) state;

    if (!mkdtemp(directory))
        return -1;
    snprintf(pid_file, sizeof(pid_file), "%s/web.pid", directory);
    connection = virConnectOpen(URI);
    return connection ? 0 : -1;
}

static int tear_down(void **state)
{
    (void) state;

    virConnectClose(connection);
    return rmdir(directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_element),
        cmocka_unit_test(test_a_domain_that_runs),
        cmocka_unit_test(test_a_domain_that_libvirt_is_busy_with),
        cmocka_unit_test(test_a_domain_that_has_ended),
        cmocka_unit_test(test_what_goes_wrong),
    };

    return cmocka_run_group_tests_name("keep-slot", tests, set_up, tear_down);
}
