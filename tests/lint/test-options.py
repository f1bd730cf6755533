#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""test-options.py SOURCE-ROOT BUILD - an installation needs no test, fuzz target or benchmark.

Configures the project with -Dtests=false: nothing of them is built, and what is installed is all that
BUILD, which has them, installs. Prints TAP.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

OWN = ('tests', 'fuzz', 'bench')


def introspect(build, what):
    return json.loads(subprocess.check_output(['meson', 'introspect', what, build]))


def test_targets(root, build):
    """What is built without being asked for, and is of a folder of the tests."""
    return [target['name'] for target in introspect(build, '--targets')
            if target['build_by_default'] and
            (pathlib.Path(target['defined_in']).relative_to(root).parts[0] in OWN or
             target['name'].startswith('vgpu-stub-wrong'))]


def installed(build):
    return sorted(introspect(build, '--installed').values())


def option(build, name):
    return next(o['value'] for o in introspect(build, '--buildoptions') if o['name'] == name)


def main(root, build):
    with tempfile.TemporaryDirectory() as without:
        subprocess.run(['meson', 'setup', '-Dtests=false',
                        f'-Dlibcuda={str(option(build, "libcuda")).lower()}',
                        f'-Dqemu_headers={",".join(option(build, "qemu_headers"))}', root, without],
                       check=True, stdout=subprocess.DEVNULL)
        cases = [('without tests, none is built', test_targets(root, without), []),
                 ('everything is installed all the same', installed(without), installed(build))]
    for number, (name, found, wanted) in enumerate(cases, 1):
        print(f'{"ok" if found == wanted else "not ok"} {number} - {name}')
        if found != wanted:
            print(f'# {sorted(set(found) ^ set(wanted))}')
    print(f'1..{len(cases)}')
    return 0 if all(found == wanted for _, found, wanted in cases) else 1


if __name__ == '__main__':
    sys.exit(main(os.path.realpath(sys.argv[1]), sys.argv[2]))
