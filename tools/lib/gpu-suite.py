#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""gpu-suite.py SOURCE BUILD OUT - copies what the tests of the suites gpu, memcheck and programs and the benchmarks of a
GPU need to OUT/source and OUT/build, and writes OUT/tests.sh, which runs them from there"""

import itertools
import json
import os
import shlex
import shutil
import subprocess
import sys

BENCHMARKS = ('sessions', 'session-faults', 'cuda-floor', 'cuda-window', 'neighbours-cuda', 'priority-cuda',
              'roundtrip', 'ring')


def introspect(build, what):
    return json.loads(subprocess.check_output(['meson', 'introspect', what, build]))


class Bundle:
    def __init__(self, source, build, out):
        self.source, self.build, self.out = source, build, out

    def place(self, path):
        """Where a path of this machine is in the bundle, or None; Meson names a source from a build elsewhere by .."""
        path = os.path.normpath(path)
        for root, name in ((self.build, 'build'), (self.source, 'source')):
            if path.startswith(root + '/'):
                return name + path[len(root):]
        return None

    def word(self, text):
        """A word of a command or a variable, for the shell; the file that it names is copied"""
        if not os.path.isabs(text) and os.path.isfile(os.path.join(self.build, text)):
            text = os.path.join(self.build, text)
        place = self.place(text)
        if place is None:
            return shlex.quote(text)
        if os.path.isfile(text):
            to = os.path.join(self.out, place)
            os.makedirs(os.path.dirname(to), exist_ok=True)
            shutil.copy2(text, to)
        return '"$here"/' + shlex.quote(place)

    def case(self, name, test):
        environment = [shlex.quote(key) + '=' + self.word(value) for key, value in sorted(test['env'].items())
                       if key != 'LD_LIBRARY_PATH']
        words = environment + [self.word(word) for word in test['cmd']]
        return f"    {name}) limited {int(test['timeout'])} env {' '.join(words)} ;;\n"


def main(source, build, out):
    bundle = Bundle(os.path.realpath(source), os.path.realpath(build), out)
    tests = introspect(build, '--tests')
    suites = {wanted: [test for test in tests if any(name.split(':')[-1] == wanted for name in test['suite'])]
              for wanted in ('gpu', 'memcheck', 'programs')}
    benchmarks = [test for test in introspect(build, '--benchmarks') if test['name'] in BENCHMARKS]
    with open(os.path.join(out, 'tests.sh'), 'w', encoding='utf-8') as f:
        for name, tests in suites.items():
            f.write(f"{name}='{' '.join(test['name'] for test in tests)}'\n")
        f.write(f"benchmarks='{' '.join('bench-' + test['name'] for test in benchmarks)}'\n\n")
        f.write('run_test() {\n    case $1 in\n')
        for test in itertools.chain(*suites.values()):
            f.write(bundle.case(test['name'], test))
        for test in benchmarks:
            f.write(bundle.case('bench-' + test['name'], test))
        f.write('    *) echo "no test $1"; return 2 ;;\n    esac\n}\n')


if __name__ == '__main__':
    main(*sys.argv[1:])
