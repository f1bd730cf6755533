#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""test-packages.py SOURCE-ROOT BUILD - is every package that the build needs in the one list of them?

tools/packages prints the list, and README.md refers to that. What the build needs is what Meson has found:
each dependency's pkg-config file and each program that has to be there belong to a Debian package.
Prints TAP.
"""

import json
import pathlib
import re
import shutil
import subprocess
import sys


def packages(root, *lists):
    return subprocess.check_output([root / 'tools' / 'packages', *lists], text=True).split()


def brought_along(packages_listed):
    """What those packages depend on: libgio-2.0-dev, where that has become a part of libglib2.0-dev."""
    said = subprocess.run(['dpkg-query', '-W', '-f', '${Depends}\n', *packages_listed], stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, text=True, check=False).stdout
    return re.findall(r'(?:^|, )([\w.+-]+)', said, re.MULTILINE)


def owner(path):
    """The Debian package that has installed this file."""
    said = subprocess.run(['dpkg', '-S', path], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                          text=True, check=False).stdout
    return said.split(':')[0] if said else None


def pkg_config_file(name):
    directory = subprocess.run(['pkg-config', '--variable=pcfiledir', name], stdout=subprocess.PIPE,
                               text=True, check=False).stdout.strip()
    return f'{directory}/{name}.pc' if directory else None


def needed(root, build):
    """Yields (what needs it, file)."""
    for dependency in json.loads(subprocess.check_output(['meson', 'introspect', '--dependencies', build])):
        path = pkg_config_file(dependency['name'])
        if path:
            yield dependency['name'], path
    for description in root.glob('*/meson.build'):
        for name in re.findall(r"find_program\('([\w-]+)'\)", description.read_text(encoding='utf-8')):
            yield name, shutil.which(name)


def main(root, build):
    cases = []

    if shutil.which('dpkg'):
        listed = packages(root, 'build', 'headers', 'check')
        listed += brought_along(name for name in listed if name.startswith('libglib'))
        for name, path in sorted(set(needed(root, build))):
            package = owner(path)
            cases.append((f'{name} is in a package of the list', package in listed, f'{path}: {package}'))

    # Lists that somebody would have to keep up by hand
    own = re.compile(r'apt(-get)? (-\w+ )*install (?!\$\(tools/packages|[A-Z./])[a-z]|^Needs gcc', re.MULTILINE)
    for path in ['README.md', 'HACKING.md', *root.glob('docs/man/*'), *root.glob('tools/*')]:
        path = root / path
        if path.is_file():
            found = own.search(path.read_text(encoding='utf-8'))
            cases.append((f'{path.relative_to(root)} has no list of its own', not found, found and found.group(0)))

    for number, (name, good, said) in enumerate(cases, 1):
        print(f'{"ok" if good else "not ok"} {number} - {name}')
        if not good:
            print(f'# {said}')
    print(f'1..{len(cases)}')
    return 0 if all(good for _, good, _ in cases) else 1


if __name__ == '__main__':
    sys.exit(main(pathlib.Path(sys.argv[1]), sys.argv[2]))
