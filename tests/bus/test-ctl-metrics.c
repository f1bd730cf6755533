/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What vgpuctl writes for Prometheus, read by those that read it on a host: promtool, and
 * node_exporter's textfile collector. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "test-ctl-run.h"
#include "test.h"
#include "world.h"

static int start(void **state)
{
    (void) state;
    if (world_start("[Pool A]\nBackend=cpu\n") < 0)
        return -1;
    register_vm("web1", 1, "A", "high");
    register_vm("back\\slash \"quoted\"", 2, "A", "medium");
    setenv("VGPU_TEST_DIRECTORY", mediator.directory, 1);
    return 0;
}

/* Runs a script, which must work. */
static Ctl run_well(const char *script)
{
    Ctl c = ctl_shell(script);

    if (c.status != 0)
        fail_msg("'%s' exited with %d: %s%s", script, c.status, c.out, c.err);
    return c;
}

static bool is_installed(const char *program)
{
    char script[128];
    Ctl c;
    bool there;

    snprintf(script, sizeof(script), "command -v %s", program);
    c = ctl_shell(script);
    there = c.status == 0;
    ctl_release(&c);
    if (!there)
        print_message("%s is not installed\n", program);
    return there;
}

/* ---- The formats -------------------------------------------------------------------------- */

TEST(test_prometheus)
{
    static const char *const options[] = {NULL, "--format=prometheus"};

    for (unsigned i = 0; i < 2; i++) {
        Ctl c = ctl_run("metrics", options[i]);

        assert_int_equal(c.status, 0);
        assert_string_equal(c.err, "");
        assert_non_null(strstr(c.out, "# TYPE vgpu_vm_info gauge\n"));
        assert_non_null(strstr(c.out, "# TYPE vgpu_vm_requests_completed_total counter\n"));
        assert_non_null(strstr(c.out, "# TYPE vgpu_vm_wait_seconds histogram\n"));
        assert_null(strstr(c.out, "# UNIT"));
        assert_null(strstr(c.out, "# EOF"));
        ctl_release(&c);
    }
}

TEST(test_openmetrics)
{
    Ctl c = ctl_run("metrics", "--format=openmetrics");

    assert_int_equal(c.status, 0);
    assert_non_null(strstr(c.out, "# TYPE vgpu_vm info\n"));
    assert_non_null(strstr(c.out, "# TYPE vgpu_vm_requests_completed counter\n"));
    assert_non_null(strstr(c.out, "# UNIT vgpu_vm_wait_seconds seconds\n"));
    assert_string_equal(c.out + strlen(c.out) - 6, "# EOF\n");
    ctl_release(&c);
    ctl_refuse("--format= takes prometheus or openmetrics, not 'json'.", "metrics",
               "--format=json");
}

/* promtool reads it as Prometheus does, and looks for habits that are not Prometheus' own. */
TEST(test_promtool)
{
    Ctl c;

    if (!is_installed("promtool"))
        skip();
    c = run_well("set -o pipefail; \"$VGPU_CTL\" metrics | promtool check metrics 2>&1");
    assert_string_equal(c.out, "");
    ctl_release(&c);
}

/* ---- A file ------------------------------------------------------------------------------- */

static void in_directory(const char *name, char path[128])
{
    snprintf(path, 128, "%s/%s", mediator.directory, name);
}

TEST(test_output)
{
    char path[128], option[160];
    struct stat st, again;
    Ctl c;

    umask(077);
    in_directory("vgpu.prom", path);
    snprintf(option, sizeof(option), "--output=%s", path);
    ctl_expect("", "metrics", option);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0644);
    /* A new file takes the place of the old one, so that nobody reads half of one. */
    ctl_expect("", "metrics", "-o", path);
    assert_int_equal(stat(path, &again), 0);
    assert_int_not_equal(st.st_ino, again.st_ino);
    c = run_well("diff <(grep -v wait \"$VGPU_TEST_DIRECTORY/vgpu.prom\")"
                 " <(\"$VGPU_CTL\" metrics | grep -v wait)");
    ctl_release(&c);

    /* Nothing else is left there, and what fails leaves the old file. */
    c = ctl_shell("\"$VGPU_CTL\" pause-pool none; ulimit -f 1;"
                  " trap '' XFSZ; \"$VGPU_CTL\" metrics -o \"$VGPU_TEST_DIRECTORY/vgpu.prom\"");
    assert_int_equal(c.status, 1);
    assert_non_null(strstr(c.err, "/vgpu.prom: File too large\n"));
    ctl_release(&c);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_ino, again.st_ino);
    c = run_well("ls -A \"$VGPU_TEST_DIRECTORY\" | grep -c vgpu.prom");
    assert_string_equal(c.out, "1\n");
    ctl_release(&c);
    assert_int_equal(unlink(path), 0);
}

TEST(test_output_refused)
{
    ctl_refuse("Failed to write metrics to /nonexistent/vgpu.prom: No such file or directory",
               "metrics", "--output=/nonexistent/vgpu.prom");
    ctl_refuse("Failed to write metrics to /: Is a directory", "metrics", "--output=/");
    ctl_refuse("Failed to write metrics to /dev/full: it is no regular file.", "metrics",
               "--output=/dev/full");
}

/* ---- node_exporter ------------------------------------------------------------------------ */

/* The real exporter takes the file, and has our metrics at its address. */
TEST(test_node_exporter)
{
    Ctl c;

    if (!is_installed("prometheus-node-exporter"))
        skip();
    c = run_well(
        "set -e\n"
        "mkdir \"$VGPU_TEST_DIRECTORY/textfile\"\n"
        "\"$VGPU_CTL\" metrics --output=\"$VGPU_TEST_DIRECTORY/textfile/vgpu.prom\"\n"
        "/usr/bin/python3 - <<'END'\n"
        "import os, socket, subprocess, sys, time, urllib.request\n"
        "with socket.socket() as s:\n"
        "    s.bind(('127.0.0.1', 0))\n"
        "    address = '127.0.0.1:%d' % s.getsockname()[1]\n"
        "directory = os.environ['VGPU_TEST_DIRECTORY'] + '/textfile'\n"
        "exporter = subprocess.Popen(['prometheus-node-exporter', '--collector.disable-defaults',\n"
        "    '--collector.textfile', '--collector.textfile.directory=' + directory,\n"
        "    '--web.listen-address=' + address], stderr=subprocess.DEVNULL)\n"
        "try:\n"
        "    for _ in range(600):\n"
        "        try:\n"
        "            text = urllib.request.urlopen('http://%s/metrics' % address).read().decode()\n"
        "            break\n"
        "        except OSError:\n"
        "            time.sleep(0.1)\n"
        "finally:\n"
        "    exporter.kill()\n"
        "    exporter.wait()\n"
        "assert '\\nnode_textfile_scrape_error 0\\n' in text, text\n"
        "assert '\\nvgpu_vm_requests_completed_total{vm=\"web1\"} 0\\n' in text, text\n"
        "assert 'vm=\"back\\\\\\\\slash \\\\\"quoted\\\\\"\"' in text, text\n"
        "END\n"
        "rm -r \"$VGPU_TEST_DIRECTORY/textfile\"\n");
    ctl_release(&c);
}

/* ---- Who builds on it --------------------------------------------------------------------- */

/* The alert rules and the dashboard name only what there is. */
TEST(test_contrib)
{
    Ctl c =
        run_well("set -e -o pipefail\n"
                 "names=$(grep -oh 'vgpu_[a-z0-9_]*' \"$VGPU_CONTRIB\"/* | sort -u)\n"
                 "[ $(wc -w <<<\"$names\") -ge 10 ]\n"
                 "metrics=$(\"$VGPU_CTL\" metrics)\n"
                 "for name in $names; do\n"
                 "    grep -q -e \"^$name[{ ]\" -e \"^# TYPE $name \" <<<\"$metrics\" ||\n"
                 "        { echo \"there is no $name\" >&2; exit 1; }\n"
                 "done\n"
                 "/usr/bin/python3 -m json.tool \"$VGPU_CONTRIB/vgpu-grafana.json\" >/dev/null\n");

    ctl_release(&c);
    if (!is_installed("promtool"))
        skip();
    c = run_well("promtool check rules \"$VGPU_CONTRIB/vgpu-alerts.yml\"");
    ctl_release(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_prometheus),     cmocka_unit_test(test_openmetrics),
        cmocka_unit_test(test_promtool),       cmocka_unit_test(test_output),
        cmocka_unit_test(test_output_refused), cmocka_unit_test(test_node_exporter),
        cmocka_unit_test(test_contrib),
    };

    return cmocka_run_group_tests_name("ctl-metrics", tests, start, world_end);
}
