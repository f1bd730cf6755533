/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fake-units.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

#include "test.h"

FakeUnits *fake_units; /* shared with the process that answers */
static pid_t process;

static int on_call(sd_bus_message *call, void *userdata, sd_bus_error *error)
{
    (void) userdata;

    if (sd_bus_message_is_method_call(call, "org.freedesktop.systemd1.Manager", "GetUnitByPID") <=
        0)
        return 0;
    if (fake_units->error[0] != '\0')
        return sd_bus_error_set(error, fake_units->error, "as the test wants");
    if (fake_units->path[0] == '\0')
        return sd_bus_error_set(error, "org.freedesktop.systemd1.NoUnitForPID", "none");
    return sd_bus_reply_method_return(call, "o", fake_units->path);
}

__attribute__((noreturn)) static void run(int ready)
{
    sd_bus *own = NULL;

    (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (sd_bus_open_system(&own) < 0 ||
        sd_bus_add_fallback(own, NULL, "/org/freedesktop/systemd1", on_call, NULL) < 0 ||
        sd_bus_request_name(own, "org.freedesktop.systemd1", 0) < 0 || write(ready, "", 1) != 1)
        _exit(EXIT_FAILURE);
    while (sd_bus_process(own, NULL) > 0 || sd_bus_wait(own, UINT64_MAX) >= 0)
        continue;
    _exit(EXIT_FAILURE);
}

void fake_units_start(void)
{
    int ready[2];
    char byte;

    assert_int_equal(pipe(ready), 0);
    fake_units =
        mmap(NULL, sizeof(*fake_units), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(fake_units != MAP_FAILED);
    strcpy(fake_units->path, FAKE_UNITS_PATH);
    process = fork();
    assert_true(process >= 0);
    if (process == 0)
        run(ready[1]);
    close(ready[1]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    close(ready[0]);
}

void fake_units_stop(void)
{
    (void) kill(process, SIGKILL);
    (void) waitpid(process, NULL, 0);
    munmap(fake_units, sizeof(*fake_units));
}
