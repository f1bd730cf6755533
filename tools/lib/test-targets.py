#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""test-targets.py BUILD SUITE... - prints what ninja has to build for those suites"""

import json
import os
import subprocess
import sys


def introspect(build, what):
    return json.loads(subprocess.check_output(['meson', 'introspect', what, build]))


def main(build, suites):
    # A test's suites are "PROJECT:SUITE".
    wanted = {depend
              for test in introspect(build, '--tests')
              if any(suite.split(':')[-1] in suites for suite in test['suite'])
              for depend in test['depends']}
    root = os.path.realpath(build)
    for target in introspect(build, '--targets'):
        if target['id'] in wanted:
            print(*(os.path.relpath(name, root) for name in target['filename']), sep='\n')


if __name__ == '__main__':
    main(sys.argv[1], sys.argv[2:])
