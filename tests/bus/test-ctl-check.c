/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vgpuctl check: a host on which all is well, and each thing that may be wrong with it. The host
 * is a directory with the files that there would be; the mediator is a stand-in. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "cleanup.h"
#include "fake-vms.h"
#include "hooks-config.h"
#include "private-bus.h"
#include "test-ctl-run.h"
#include "test.h"

/* The directory, and the one above it, in which tests write more. */
static char top[32], root[48];

#define WELL                                                                                       \
    "set -e; rm -rf \"$ROOT\"; mkdir -p \"$ROOT\"; cd \"$ROOT\"\n"                                 \
    "mkdir -p etc/systemd/system/sockets.target.wants run/vgpu dev proc/123\n"                     \
    "ln -s /none etc/systemd/system/sockets.target.wants/vgpu-mediator.socket\n"                   \
    "echo 'kvm:x:36:\nother:x:37:libvirt-qemu' >etc/group\n"                                       \
    "echo 'vgpu:x:990:990::/:/bin/false\nlibvirt-qemu:x:64055:36::/:/bin/false' >etc/passwd\n"     \
    "mkdir -p var/lib/vgpu-mediator; chown 990 var/lib/vgpu-mediator\n"                            \
    "chmod 700 var/lib/vgpu-mediator\n"                                                            \
    "mkdir -p sys/bus/pci/devices/0000:01:00.0 sys/module/nvidia sys/module/apparmor/parameters\n" \
    "echo 0x10de >sys/bus/pci/devices/0000:01:00.0/vendor\n"                                       \
    "echo 0x030200 >sys/bus/pci/devices/0000:01:00.0/class\n"                                      \
    "echo 550.54.15 >sys/module/nvidia/version\n"                                                  \
    "touch dev/nvidiactl dev/nvidia0 dev/nvidia-uvm\n"                                             \
    "mkdir -p usr/bin usr/lib/systemd/system; "                                                    \
    "printf '#!/bin/sh\\necho 0, Default\\necho 1, Default\\n' >usr/bin/nvidia-smi\n"              \
    "chmod 755 usr/bin/nvidia-smi; echo [Socket] >usr/lib/systemd/system/vgpu-executor.socket\n"   \
    "/usr/bin/python3 -c \"import socket; "                                                        \
    "socket.socket(socket.AF_UNIX).bind('run/vgpu/executor.sock')\"\n"                             \
    "mkdir -p .$(dirname " LAUNCHER_PATH ") .$(dirname " QEMU_PATH ")\n"                           \
    "printf '#!/bin/sh\\necho QEMU emulator version 10.0.2\\n' >." QEMU_PATH "\n"                  \
    "chmod 755 ." QEMU_PATH "; cp ." QEMU_PATH " ." LAUNCHER_PATH "\n"                             \
    "mkdir -p ." PLUGIN_DIR "/qemu-10.0; touch ." PLUGIN_DIR "/qemu-10.0/vgpu-stub.so\n"           \
    "mkdir -p etc/libvirt/hooks/qemu.d; touch etc/libvirt/hooks/qemu.d/50-vgpu-mediator\n"         \
    "chmod 755 etc/libvirt/hooks/qemu.d/50-vgpu-mediator\n"                                        \
    "echo 123 >run/libvirtd.pid; echo \"btime $(($(date +%s) + 60))\" >proc/stat\n"                \
    "echo '123 (libvirtd) S 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 100 0' >proc/123/stat\n"         \
    "echo Y >sys/module/apparmor/parameters/enabled\n"                                             \
    "mkdir -p etc/apparmor.d/abstractions/libvirt-qemu.d etc/apparmor.d/local/abstractions\n"      \
    "touch etc/apparmor.d/abstractions/libvirt-qemu.d/vgpu-mediator\n"                             \
    "echo 'include if exists <abstractions/libvirt-qemu.d>' "                                      \
    ">etc/apparmor.d/abstractions/libvirt-qemu\n"

/* A socket of our own in the directory, which is the mediator's. */
static int listen_there(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    snprintf(address.sun_path, sizeof(address.sun_path), "%s/run/vgpu/mediator.sock", root);
    assert_int_equal(bind(fd, (struct sockaddr *) &address, sizeof(address)), 0);
    assert_int_equal(listen(fd, 8), 0);
    assert_int_equal(chmod(address.sun_path, 0660), 0);
    assert_int_equal(chown(address.sun_path, 0, 36), 0);
    return fd;
}

static void run_script(const char *script)
{
    Ctl c = ctl_shell(script);

    if (c.status != 0)
        fail_msg("'%s': %s", script, c.err);
    ctl_release(&c);
}

/* Makes the host, does @harm to it, and checks it. */
static Ctl check_host(const char *harm)
{
    char option[64], script[1024];
    int fd;
    Ctl c;

    run_script(WELL);
    fd = listen_there();
    snprintf(script, sizeof(script), "set -e; cd \"$ROOT\"; %s", harm);
    run_script(script);
    snprintf(option, sizeof(option), "--root=%s", root);
    c = ctl_run("check", option);
    close(fd);
    return c;
}

TEST(test_all_is_well)
{
    Ctl c = check_host(":");

    if (c.status != 0)
        fail_msg("%s", c.out);
    assert_null(strstr(c.out, "problem "));
    assert_null(strstr(c.out, "note "));
    assert_null(strstr(c.out, "Mend"));
    assert_non_null(strstr(c.out, "\n0 problems, 0 notes.\n"));
    assert_non_null(strstr(c.out, "ok      socket   The mediator listens on "));
    assert_non_null(strstr(c.out, "ok      gpu      NVIDIA's driver 550.54.15 is loaded.\n"));
    assert_non_null(strstr(c.out, "ok      session  Executors of CUDA sessions are units of their "
                                  "own.\nok      session  Several processes may use each GPU.\n"));
    assert_non_null(strstr(c.out, "ok      hook     libvirtd knows the hook.\n"));
    ctl_release(&c);
}

/* What is done to the host, and what vgpuctl says about it. */
typedef struct Harm {
    const char *script;
    int status;
    const char *line, *mend;
} Harm;

#define HOOK "etc/libvirt/hooks/qemu.d/50-vgpu-mediator"
#define LOCAL "etc/apparmor.d/local/"
#define ABSTRACTION "etc/apparmor.d/abstractions/libvirt-qemu"
#define RULES ABSTRACTION ".d/vgpu-mediator"
#define DRIVER "sys/module/nvidia/version"

static const Harm harms[] = {
    {"rm etc/systemd/system/sockets.target.wants/*", 1,
     "problem socket   vgpu-mediator.socket is not enabled", "systemctl enable --now"},
    {"ln -s /dev/null etc/systemd/system/vgpu-mediator.socket", 1,
     "problem socket   vgpu-mediator.socket is masked", "systemctl unmask vgpu-mediator.socket"},
    {"mkdir -p run/systemd/system; ln -s /dev/null run/systemd/system/vgpu-mediator.socket", 1,
     "problem socket   vgpu-mediator.socket is masked", "systemctl unmask vgpu-mediator.socket"},
    {"ln -s /usr/lib/systemd/system/vgpu-mediator.socket etc/systemd/system/", 0,
     "ok      socket   vgpu-mediator.socket is enabled.", ""},
    {"rm run/vgpu/mediator.sock", 1, "problem socket   There is no socket /run/vgpu/mediator.sock.",
     "systemctl restart"},
    {"mv run/vgpu/mediator.sock run/s; /usr/bin/python3 -c \"import socket; "
     "socket.socket(socket.AF_UNIX).bind('run/vgpu/mediator.sock')\"; "
     "chown :36 run/vgpu/mediator.sock; chmod 660 run/vgpu/mediator.sock",
     1, "problem socket   Nobody listens on /run/vgpu/mediator.sock.", "systemctl restart"},
    {"chmod 600 run/vgpu/mediator.sock", 1,
     "problem socket   libvirt's QEMU, user libvirt-qemu, may not connect", "mode 0600"},
    {"chown :38 run/vgpu/mediator.sock", 1,
     "problem socket   libvirt's QEMU, user libvirt-qemu, may not connect", "usermod -aG kvm"},
    {"chown :37 run/vgpu/mediator.sock", 0, "ok      socket   libvirt's QEMU may connect", ""},
    {"sed -i /qemu/d etc/passwd", 0, "note    socket   There is no user libvirt-qemu", ""},

    {"rmdir var/lib/vgpu-mediator", 1,
     "problem state    What is set to last cannot be kept in /var/lib/vgpu-mediator: it is not "
     "there.",
     "systemd-tmpfiles --create vgpu-mediator.conf, and then systemctl restart vgpu-mediator"},
    {"chown 0 var/lib/vgpu-mediator", 1,
     "problem state    What is set to last cannot be kept in /var/lib/vgpu-mediator: it does not "
     "belong to user vgpu.",
     "systemd-tmpfiles --create vgpu-mediator.conf"},
    {"chmod 500 var/lib/vgpu-mediator", 1, ": its owner may not write there.",
     "systemd-tmpfiles --create vgpu-mediator.conf"},
    {"sed -i /^vgpu/d etc/passwd", 1, ": there is no user vgpu.",
     "systemd-sysusers vgpu-mediator.conf, systemd-tmpfiles --create"},

    {"rm -r sys/bus", 0, "note    gpu      There is no NVIDIA GPU", ""},
    {"echo 0x020000 >sys/bus/pci/devices/*/class", 0, "note    gpu      There is no NVIDIA GPU",
     ""},
    {"rm " DRIVER, 1, "problem gpu      There is an NVIDIA GPU, and its driver is not loaded.",
     "modprobe nvidia"},
    {"echo 535.1 >" DRIVER, 1,
     "problem gpu      NVIDIA's driver is version 535.1, and must be 550 or later.", "newer"},
    {"rm dev/nvidiactl", 1, "problem gpu      NVIDIA's driver is loaded, and its devices",
     "nvidia-modprobe -c 0"},
    {"rm dev/nvidia0", 1, "problem gpu      NVIDIA's driver is loaded, and its devices",
     "nvidia-modprobe -c 0"},
    {"rm dev/nvidia-uvm", 1, "/dev/nvidia-uvm, which CUDA needs, is not there.",
     "nvidia-modprobe -c 0 -u"},

    {"rm usr/lib/systemd/system/*", 0,
     "note    session  vgpu-executor.socket is not installed: executors of CUDA sessions run in "
     "the "
     "mediator's own sandbox",
     "install vgpu-mediator again"},
    {"ln -s /dev/null etc/systemd/system/vgpu-executor.socket", 0,
     "note    session  vgpu-executor.socket is masked: ", "systemctl unmask vgpu-executor.socket"},
    {"rm run/vgpu/executor.sock", 0, "note    session  There is no socket /run/vgpu/executor.sock",
     "systemctl start vgpu-executor.socket"},
    {"sed -i 's/1, Default/1, Exclusive_Process/' usr/bin/nvidia-smi", 0,
     "note    session  GPU 1 is in compute mode Exclusive_Process: no CUDA session can be opened "
     "beside",
     "nvidia-smi -i 1 -c DEFAULT"},
    {"rm usr/bin/nvidia-smi", 0, "ok      session  Executors of CUDA sessions are units", ""},

    {"rm ." LAUNCHER_PATH, 1, "problem plugin   The launcher " LAUNCHER_PATH ", which adds",
     "install vgpu-mediator again"},
    {"rm ." QEMU_PATH, 1, "problem plugin   The version of " QEMU_PATH " is not known: No such",
     "apt install qemu-system-x86"},
    {"printf '#!/bin/sh\\necho hello' >." QEMU_PATH, 1, " is not known: it does not say.", ""},
    {"sed -i s/10.0/11.1/ ." QEMU_PATH, 1,
     "problem plugin   There is no plugin for QEMU 11.1, which is installed",
     "build and install the plugin for QEMU 11.1"},

    {"rm " HOOK, 1, "problem hook     libvirt's hook /" HOOK " is not there",
     "systemctl restart libvirtd"},
    {"chmod 644 " HOOK, 1, "problem hook     libvirt's hook /" HOOK " cannot be run.", "chmod 755"},
    {"echo btime 1000 >proc/stat", 1,
     "problem hook     libvirtd has run since before the hook was installed",
     "systemctl restart libvirtd"},
    {"mv run/libvirtd.pid run/virtqemud.pid; sed -i s/libvirtd/virtqemud/ proc/123/stat; "
     "echo btime 1000 >proc/stat",
     1, "problem hook     virtqemud has run since before the hook was installed",
     "systemctl restart virtqemud"},
    {"sed -i s/libvirtd/bash/ proc/123/stat; echo btime 1000 >proc/stat", 0,
     "ok      hook     libvirt does not run", ""},

    {"rm " RULES, 1,
     "problem apparmor AppArmor is on, and the rules for VMs with the device, /" RULES,
     "install vgpu-mediator again"},
    {"echo '# <abstractions/libvirt-qemu.d>' >" ABSTRACTION, 1,
     "problem apparmor AppArmor is on, and no profile of a VM includes /" RULES,
     "echo 'include <abstractions/libvirt-qemu.d>' >>/" LOCAL "abstractions/libvirt-qemu"},
    {"rm " ABSTRACTION "; echo '  #include <abstractions/libvirt-qemu.d>' >" LOCAL
     "abstractions/libvirt-qemu",
     0, "ok      apparmor The profiles of VMs include", ""},
    {"rm " ABSTRACTION, 0, "ok      apparmor There are no profiles for libvirt's VMs.", ""},
    {"echo '# Do include <abstractions/libvirt-qemu.d>' >" ABSTRACTION, 1,
     "problem apparmor AppArmor is on, and no profile of a VM includes /" RULES, ""},
    {"echo N >sys/module/apparmor/parameters/enabled; rm -r " LOCAL, 0,
     "ok      apparmor AppArmor is not on.", ""},
};

TEST(test_each_harm)
{
    for (size_t i = 0; i < ELEMENTSOF(harms); i++) {
        const Harm *h = &harms[i];
        Ctl c = check_host(h->script);

        if (c.status != h->status || !strstr(c.out, h->line) || !strstr(c.out, h->mend))
            fail_msg("after '%s' it exits with %d and says:\n%s%s", h->script, c.status, c.out,
                     c.err);
        ctl_release(&c);
    }
}

TEST(test_json)
{
    char option[64];
    Ctl c = check_host("rm " HOOK);

    ctl_release(&c);
    snprintf(option, sizeof(option), "--root=%s", root);
    c = ctl_run("check", option, "--json=short");
    assert_int_equal(c.status, 1);
    assert_true(strncmp(c.out, "{\"checks\":[{\"check\":\"socket\",\"state\":\"ok\",", 42) == 0);
    assert_non_null(
        strstr(c.out, "{\"check\":\"hook\",\"state\":\"problem\",\"text\":\"libvirt's hook"));
    assert_non_null(strstr(c.out, "\"mend\":null}"));
    ctl_release(&c);
}

/* Long sentences do not leave the terminal. */
TEST(test_on_a_terminal)
{
    char option[64], *text;
    CtlProcess p;

    run_script(WELL);
    snprintf(option, sizeof(option), "--root=%s", root);
    setenv("SYSTEMD_COLORS", "0", 1);
    ctl_terminal_columns = 80;
    ctl_start_terminal(&p, 0, "check", "--no-pager", option);
    assert_int_equal(ctl_end(&p, &text), 1);
    for (const char *line = text; *line; line = strchr(line, '\n') + 1)
        assert_true(strcspn(line, "\r\n") <= 80);
    assert_non_null(strstr(text, "\r\n                 Mend: "));
    free(text);
    ctl_terminal_columns = 100;
    unsetenv("SYSTEMD_COLORS");
}

/* ---- What runs ---------------------------------------------------------------------------- */

static void expect_line(const char *line, const char *mend)
{
    Ctl c = ctl_run("check", "--connect=test:///default");

    if (!strstr(c.out, line) || !strstr(c.out, mend))
        fail_msg("no '%s' or no '%s' in: %s%s", line, mend, c.out, c.err);
    ctl_release(&c);
}

static const FakeObject no_objects[] = {{NULL, {{0}}}};
static const FakeObject pools[] = {
    {"A", {{"Backend", 's', "cuda", 0}, {"Devices", 's', "a GPU", 0}}},
    {"B", {{"ExecutorState", 's', "waiting", 0}}},
    {"C", {{"ExecutorState", 's', "starting", 0}, {"Paused", 'b', NULL, 1}}},
    {NULL, {{0}}},
};
static const FakeObject vms[] = {
    {"web1", {{"DeviceProblem", 's', "no plugin for QEMU 11.1", 0}}},
    {"held", {{"Paused", 'b', NULL, 1}}},
    {"bad", {{"Quarantined", 'b', NULL, 1}}},
    {NULL, {{0}}},
};

TEST(test_mediator)
{
    FakeVMs fake = {0};
    TestBus bus;

    setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nonexistent/bus", 1);
    expect_line("problem bus      The system bus cannot be reached: No such file or directory.",
                "systemctl start dbus");
    assert_int_equal(test_bus_start(&bus), 0);
    expect_line("problem bus      Nobody owns the name org.vgpu.Mediator1",
                "systemctl reload dbus");

    fake_vms_start(&fake, vms, pools);
    expect_line("ok      bus      The mediator answers as org.vgpu.Mediator1.", "");
    expect_line("ok      pool     Pool A computes with cuda on a GPU.", "");
    expect_line("ok      session  Pool A has a GPU for CUDA sessions.", "");
    expect_line("ok      session  Pool C has no GPU, and refuses CUDA sessions.", "");
    expect_line("problem pool     Pool B computes nothing", "journalctl -u vgpu-mediator");
    expect_line("note    pool     Pool C: its executor is starting.", "");
    expect_line("note    pool     Pool C is paused", "vgpuctl resume-pool C");
    expect_line("note    domain   The requests of VM held wait: it is paused",
                "vgpuctl resume held");
    expect_line("note    domain   The requests of VM bad are refused: it is quarantined",
                "vgpuctl release bad");
    expect_line("problem domain   VM web1 runs without its device: no plugin for QEMU 11.1", "");
    fake_vms_stop(&fake);

    fake_vms_start(&fake, no_objects, no_objects);
    expect_line("problem pool     No pool is configured.", "/etc/vgpu/mediator.conf");
    fake_vms_stop(&fake);
    test_bus_stop(&bus);
}

/* A bus that has not read our policy. */
TEST(test_policy)
{
    char *policy = strdup(getenv("VGPU_BUS_POLICY")), path[64];
    FakeVMs fake = {0};
    TestBus bus;
    FILE *f;

    snprintf(path, sizeof(path), "%s/policy", top);
    f = fopen(path, "we");
    assert_non_null(f);
    fputs("<busconfig><policy context=\"default\"><allow own=\"org.vgpu.Mediator1\"/>"
          "<deny send_destination=\"org.vgpu.Mediator1\"/></policy></busconfig>\n",
          f);
    fclose(f);
    setenv("VGPU_BUS_POLICY", path, 1);
    assert_int_equal(test_bus_start(&bus), 0);
    fake_vms_start(&fake, vms, pools);
    expect_line("problem bus      The bus lets nobody ask the mediator: ",
                "/usr/share/dbus-1/system.d/org.vgpu.Mediator1.conf");
    fake_vms_stop(&fake);
    test_bus_stop(&bus);
    setenv("VGPU_BUS_POLICY", policy, 1);
    free(policy);
}

/* ---- Domains ------------------------------------------------------------------------------ */

#define DOMAIN(name, element, emulator)                                                    \
    "<domain type='test'><name>" name "</name><memory>1</memory><os><type>hvm</type></os>" \
    "<metadata>" element "</metadata><devices>" emulator "</devices></domain>"
#define ELEMENT "<vgpu:device xmlns:vgpu='urn:vgpu-mediator:domain:1' pool='A' priority='high'/>"
#define POOL_ELEMENT \
    "<vgpu:device xmlns:vgpu='urn:vgpu-mediator:domain:1' pool='Z' priority='low'/>"
#define NO_SLOT_ELEMENT \
    "<vgpu:device xmlns:vgpu='urn:vgpu-mediator:domain:1' pool='A' priority='high' slot='none'/>"
#define WRONG_ELEMENT \
    "<vgpu:device xmlns:vgpu='urn:vgpu-mediator:domain:1' pool='A' priority='urgent'/>"
#define LAUNCHER "<emulator>" LAUNCHER_PATH "</emulator>"
#define OTHER "<emulator>/usr/bin/qemu</emulator>"

static Ctl check_domains(const char *domains)
{
    char path[64], option[96];
    FILE *f;

    snprintf(path, sizeof(path), "%s/node.xml", top);
    f = fopen(path, "we");
    assert_non_null(f);
    fprintf(f, "<node>%s</node>\n", domains);
    fclose(f);
    snprintf(option, sizeof(option), "--connect=test://%s", path);
    return ctl_run("check", option);
}

TEST(test_domains)
{
    static const struct {
        const char *domains, *line;
    } cases[] = {
        {DOMAIN("none", "", OTHER) DOMAIN("both", ELEMENT, LAUNCHER),
         "ok      domain   1 of 2 domains are defined with the device, and all that it needs.\n"},
        {DOMAIN("edited", ELEMENT, OTHER),
         "problem domain   Domain edited has the element of the device, and its <emulator> is "
         "/usr/bin/qemu: it starts without the device.\n                 Mend: vgpuctl attach"},
        {DOMAIN("half", "", LAUNCHER),
         "problem domain   Domain half has our launcher as <emulator>, and no element"},
        {DOMAIN("bare", NO_SLOT_ELEMENT, LAUNCHER),
         "problem domain   Domain bare runs without its device: "
         "/var/log/libvirt/qemu/bare.log says why.\n"},
        {DOMAIN("wrong", WRONG_ELEMENT, LAUNCHER),
         "problem domain   Domain wrong cannot start: <vgpu:device> in its <metadata>: priority is "
         "'urgent'"},
    };
    FakeVMs fake;
    TestBus bus;
    Ctl c = ctl_run("--help");
    bool libvirt = strstr(c.out, "attach DOMAIN") != NULL;

    ctl_release(&c);
    if (!libvirt) {
        print_message("vgpuctl is built without libvirt\n");
        skip();
    }
    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        c = check_domains(cases[i].domains);
        if (!strstr(c.out, cases[i].line))
            fail_msg("no '%s' in: %s%s", cases[i].line, c.out, c.err);
        ctl_release(&c);
    }

    assert_int_equal(test_bus_start(&bus), 0);
    fake_vms_start(&fake, vms, pools);
    c = check_domains(DOMAIN("lost", POOL_ELEMENT, LAUNCHER) DOMAIN("both", ELEMENT, LAUNCHER));
    if (!strstr(c.out, "problem domain   Domain lost cannot start: the mediator has no pool Z.\n"
                       "                 Mend: [Pool Z] in mediator.conf") ||
        strstr(c.out, "Domain both"))
        fail_msg("%s%s", c.out, c.err);
    ctl_release(&c);
    fake_vms_stop(&fake);
    test_bus_stop(&bus);

    c = ctl_run("check", "--connect=test:///nonexistent");
    assert_non_null(strstr(c.out, "note    domain   libvirt's domains cannot be looked at: "));
    ctl_release(&c);
}

static int start(void **state)
{
    (void) state;
    strcpy(top, "/tmp/vgpu-check.XXXXXX");
    if (!mkdtemp(top))
        return -1;
    snprintf(root, sizeof(root), "%s/root", top);
    setenv("ROOT", root, 1);
    return 0;
}

static int end(void **state)
{
    (void) state;
    run_script("rm -rf \"${ROOT%/root}\"");
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_is_well), cmocka_unit_test(test_each_harm),
        cmocka_unit_test(test_json),        cmocka_unit_test(test_on_a_terminal),
        cmocka_unit_test(test_mediator),    cmocka_unit_test(test_policy),
        cmocka_unit_test(test_domains),
    };

    return cmocka_run_group_tests_name("ctl-check", tests, start, end);
}
