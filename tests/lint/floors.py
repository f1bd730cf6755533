#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Does the code keep to the floors that tests/lint/floors.txt writes down?

floors.py SOURCE-ROOT                  which folder includes which
floors.py SOURCE-ROOT FOLDER ARCHIVE   the files of FOLDER, one above the other

What a file includes is read from the file. What it calls is read from the
objects in ARCHIVE, the static library that the build made of FOLDER: a symbol
that one member wants and another member defines. Prints each arrow that goes the
wrong way, each file that floors.txt does not name, and each name in floors.txt
that has no file; exits with 1 when there is any.
"""

import collections
import os
import re
import subprocess
import sys

RULES = 'tests/lint/floors.txt'
SOURCE = re.compile(r'\.(c|h|cu|cuh|h\.in)$')
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.MULTILINE)


class BadRules(Exception):
    """floors.txt itself is wrong."""


def read_rules(root):
    """Returns ({folder: what it may include}, {folder: {stem: floor}})."""
    folders, floors, section = {}, {}, None
    with open(os.path.join(root, RULES), encoding='utf-8') as rules:
        for number, line in enumerate(rules, 1):
            line = line.partition('#')[0].strip()
            if not line:
                continue
            if line == '[folders]':
                section = None
                continue
            if match := re.fullmatch(r'\[floors (\S+)\]', line):
                section = floors.setdefault(match[1], {})
                continue
            name, colon, rest = line.partition(':')
            if not colon:
                raise BadRules(f'line {number}: neither a section nor "NAME: ..."')
            if section is None:
                if name in folders:
                    raise BadRules(f'line {number}: {name} stands twice')
                folders[name] = rest.split()
                continue
            floor = max(section.values(), default=-1) + 1
            if name != str(floor):
                raise BadRules(f'line {number}: floor {floor} is expected here')
            for stem in rest.split():
                if stem in section:
                    raise BadRules(f'line {number}: {stem} stands twice')
                section[stem] = floor
    return folders, floors


def stem_of(path):
    return SOURCE.sub('', os.path.basename(path))


def find_sources(root):
    """All C files of the tree, by their path from the root; build directories are left out."""
    found = []
    for folder, subfolders, files in os.walk(root):
        subfolders[:] = sorted(name for name in subfolders if not name.startswith('.')
                               and not os.path.exists(os.path.join(folder, name, 'build.ninja')))
        found += [os.path.relpath(os.path.join(folder, name), root)
                  for name in sorted(files) if SOURCE.search(name)]
    return found


def includes_of(root, path):
    with open(os.path.join(root, path), encoding='utf-8') as source:
        return INCLUDE.findall(source.read())


def candidates_for(name, path, by_name):
    """The files of the tree that `#include "NAME"` in PATH can mean."""
    folder = os.path.dirname(path)
    found = [file for file in by_name.get(os.path.basename(name), [])
             if re.sub(r'\.in$', '', file).endswith('/' + re.sub(r'^(\.\./)+', '', name))]
    # The headers that Meson makes are each program's own, under the same names.
    return ([file for file in found if os.path.dirname(file) == folder]
            or [file for file in found if not file.endswith('.in')])


def index_by_name(sources):
    by_name = collections.defaultdict(list)
    for path in sources:
        by_name[re.sub(r'\.in$', '', os.path.basename(path))].append(path)
    return by_name


def check_folders(root, folders):
    sources = find_sources(root)
    by_name = index_by_name(sources)
    wrong = []

    with_sources = {os.path.dirname(path) for path in sources}
    wrong += [f'{folder}/ has C files and no rule in {RULES}' for folder in sorted(with_sources - set(folders))]
    wrong += [f'{folder}/ has a rule in {RULES} and no C files' for folder in sorted(set(folders) - with_sources)]
    used = set()
    for path in sources:
        folder = os.path.dirname(path)
        for name in includes_of(root, path):
            found = candidates_for(name, path, by_name)
            if not found or any(os.path.dirname(file) == folder for file in found):
                continue
            items = {item for file in found for item in (os.path.dirname(file), file, '*')}
            allowed = items & set(folders.get(folder, []))
            used |= {(folder, item) for item in allowed}
            if not allowed and folder in folders:
                wrong.append(f'{path} includes {" or ".join(found)}: '
                             f'{folder}/ may include {" and ".join(folders[folder]) or "nothing"} ({RULES})')
    wrong += [f'{folder}/ may include {item} and does not: the rule in {RULES} is wider than the code'
              for folder in folders for item in folders[folder] if (folder, item) not in used]
    return wrong


def stem_of_member(member):
    """ACCESS of "libmediator.a.p/ACCESS.c.o": a member of a thin archive has a path."""
    return stem_of(re.sub(r'\.o$', '', member))


def tool(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()


def symbols_of(archive):
    """Returns ({stem: symbols it wants}, {symbol: (stem that defines it, is it a function?)})."""
    wants = {stem_of_member(member): set() for member in tool('ar', 't', archive)}
    defines = {}
    for line in tool('nm', '-A', '-P', '-g', archive):
        # "ARCHIVE[MEMBER]: SYMBOL TYPE ..."
        match = re.match(r'.*\[(.*)\]: (\S+) (\S)', line)
        if not match:
            raise BadRules(f'nm of {archive} printed "{line}"')
        stem, symbol, kind = stem_of_member(match[1]), match[2], match[3]
        if kind in 'Uwv':
            wants[stem].add(symbol)
        else:
            defines[symbol] = stem, kind in 'TWi'
    return wants, defines


def circles_of(arrows):
    """The sets of more than two stems that all reach each other."""
    def reached_from(start):
        seen, rest = set(), [start]
        while rest:
            for stem in arrows[rest.pop()] - seen:
                seen.add(stem)
                rest.append(stem)
        return seen

    reach = {stem: reached_from(stem) for stem in list(arrows)}
    circles = {frozenset(other for other in reach[stem] if stem in reach.get(other, ())) for stem in reach}
    return [sorted(circle) for circle in circles if len(circle) > 2]


def check_floors(root, folder, floors, archive):
    sources = [path for path in find_sources(root) if os.path.dirname(path) == folder]
    by_name = index_by_name(sources)
    stems = {stem_of(path) for path in sources}
    wrong = []

    wrong += [f'{folder}/{stem} stands on no floor of {RULES}' for stem in sorted(stems - set(floors))]
    wrong += [f'{folder}/{stem} stands on a floor of {RULES} and has no file' for stem in sorted(set(floors) - stems)]

    beside = collections.defaultdict(set)

    def arrow(source, verb, what, stem, to):
        lower, upper = floors.get(stem), floors.get(to)
        if stem == to or lower is None or upper is None:
            return
        if upper > lower:
            wrong.append(f'{source} {verb}s {what}: floor {lower} may not {verb} up to floor {upper} ({RULES})')
        elif upper == lower:
            beside[stem].add(to)

    for path in sources:
        for name in includes_of(root, path):
            for file in candidates_for(name, path, by_name):
                arrow(path, 'include', file, stem_of(path), stem_of(file))

    wants, defines = symbols_of(archive)
    for stem in sorted(wants):
        for symbol in sorted(wants[stem] & set(defines)):
            to, is_function = defines[symbol]
            verb, what = ('call', symbol + '()') if is_function else ('use', symbol)
            arrow(f'{folder}/{stem}.c', verb, f'{what} of {folder}/{to}.c', stem, to)
    # On the top floor there is nothing to call up to: main.c need not be in the library.
    wrong += [f'{path} is not in {os.path.basename(archive)}: what it calls cannot be checked'
              for path in sources if path.endswith('.c') and stem_of(path) not in wants
              and floors.get(stem_of(path)) != max(floors.values())]

    wrong += [f'{" and ".join(circle)} of {folder}/ use each other in a circle: on one floor a pair may, not more'
              for circle in circles_of(beside)]
    return wrong


def main(arguments):
    if len(arguments) not in (1, 3):
        sys.exit(__doc__)
    root = arguments[0]
    try:
        folders, floors = read_rules(root)
        if len(arguments) == 1:
            wrong = check_folders(root, folders)
        else:
            folder, archive = arguments[1:]
            if folder not in floors:
                raise BadRules(f'no section [floors {folder}]')
            wrong = check_floors(root, folder, floors[folder], archive)
    except BadRules as error:
        wrong = [f'{RULES}: {error}']
    for line in wrong:
        print(line)
    return 1 if wrong else 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
