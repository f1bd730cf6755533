#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Does floors.py find what is wrong in a small tree, and nothing in one that is right?

test-floors.py COMPILER...
"""

import os
import subprocess
import sys
import tempfile

CHECKER = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'floors.py')
COMPILER = sys.argv[1:]

RULES = '''
[folders]
lib:
house: lib   # and its own
peephole: *

[floors house]
0: cellar
1: kitchen parlour
2: roof
'''

# Calls go down, kitchen and parlour use each other, and roof.c stays out of the library.
GOOD = {
    'tests/lint/floors.txt': RULES,
    'lib/tools.h': 'int tools(void);',
    'house/cellar.h': '#include "tools.h"\nint cellar(void);',
    'house/cellar.c': '#include "cellar.h"\nint cellar(void) { return tools(); }',
    'house/kitchen.h': 'int kitchen(void);',
    'house/kitchen.c': '#include "cellar.h"\n#include "kitchen.h"\n#include "parlour.h"\n'
                       'int kitchen(void) { return cellar() + parlour(); }',
    'house/parlour.h': 'int parlour(void);\nextern int seats;',
    'house/parlour.c': '#include "kitchen.h"\n#include "parlour.h"\nint seats;\n'
                       'int parlour(void) { return kitchen(); }',
    'house/roof.c': '#include "kitchen.h"\nint main(void) { return kitchen(); }',
    'peephole/peep.c': '#include "kitchen.h"\n#include "tools.h"',
}


def check(tree, *more):
    """Writes the tree, makes house/ into a library, and returns what the checker says of it."""
    with tempfile.TemporaryDirectory() as root:
        for name, content in tree.items():
            path = os.path.join(root, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, 'w', encoding='utf-8') as file:
                file.write(content + '\n')
        if more:
            objects = []
            for name in tree:
                if name.startswith('house/') and name.endswith('.c') and name != 'house/roof.c':
                    objects.append(os.path.join(root, name + '.o'))
                    # GCC 14 calls an implicit declaration an error.
                    subprocess.run([*COMPILER, '-w', '-Wno-implicit-function-declaration',
                                    '-c', '-I', os.path.join(root, 'lib'),
                                    '-o', objects[-1], os.path.join(root, name)], check=True)
            subprocess.run(['ar', 'rcs', os.path.join(root, 'house.a'), *objects], check=True)
            more = [*more, os.path.join(root, 'house.a')]
        run = subprocess.run([CHECKER, root, *more], check=False, capture_output=True, text=True)
        assert run.returncode == (1 if run.stdout else 0), (run.returncode, run.stdout, run.stderr)
        return run.stdout.splitlines()


def but(**changes):
    """The good tree with other files; "__" in a name is a slash, "_c" and "_h" its end."""
    names = {name.replace('__', '/')[:-2] + '.' + name[-1]: content for name, content in changes.items()}
    return {**GOOD, **names}


def with_rules(old, new):
    assert old in RULES
    return {**GOOD, 'tests/lint/floors.txt': RULES.replace(old, new)}


CASES = [
    ('folders: a good tree', GOOD, [], []),
    ('folders: another program\'s header', but(lib__tools_c='#include "kitchen.h"'), [],
     ['lib/tools.c includes house/kitchen.h: lib/ may include nothing (tests/lint/floors.txt)']),
    ('folders: one header of a folder is allowed', with_rules('house: lib', 'house: lib/tools.h'), [], []),
    ('folders: a folder without a rule', but(shed__spade_c=''), [],
     ['shed/ has C files and no rule in tests/lint/floors.txt']),
    ('folders: a rule without a folder', with_rules('lib:\n', 'lib:\nbarn: lib\n'), [],
     ['barn/ has a rule in tests/lint/floors.txt and no C files',
      'barn/ may include lib and does not: the rule in tests/lint/floors.txt is wider than the code']),
    ('folders: a rule wider than the code', with_rules('lib:\n', 'lib: house\n'), [],
     ['lib/ may include house and does not: the rule in tests/lint/floors.txt is wider than the code']),
    ('floors: a good tree', GOOD, ['house'], []),
    ('floors: an include upward', but(house__cellar_h='#include "roof.h"', house__roof_h='', house__cellar_c=''),
     ['house'],
     ['house/cellar.h includes house/roof.h: floor 0 may not include up to floor 2 (tests/lint/floors.txt)']),
    ('floors: a call upward without an include',
     but(house__cellar_c='int kitchen(void);\nint cellar(void) { return kitchen(); }'), ['house'],
     ['house/cellar.c calls kitchen() of house/kitchen.c: floor 0 may not call up to floor 1 '
      '(tests/lint/floors.txt)']),
    ('floors: the address of an upper file\'s variable',
     but(house__cellar_c='extern int seats;\nint *cellar(void) { return &seats; }'), ['house'],
     ['house/cellar.c uses seats of house/parlour.c: floor 0 may not use up to floor 1 '
      '(tests/lint/floors.txt)']),
    ('floors: a file on no floor', but(house__attic_c='int attic;'), ['house'],
     ['house/attic stands on no floor of tests/lint/floors.txt']),
    ('floors: an entry without a file', with_rules('2: roof', '2: roof antenna'), ['house'],
     ['house/antenna stands on a floor of tests/lint/floors.txt and has no file']),
    ('floors: a file outside the library', {**with_rules('2: roof', '2: roof\n3: sky'), 'house/sky.h': ''},
     ['house'],
     ['house/roof.c is not in house.a: what it calls cannot be checked']),
    ('floors: three in a circle', {**with_rules('1: kitchen parlour', '1: kitchen parlour hall'),
                                   'house/hall.c': 'int kitchen(void);\nint hall(void) { return kitchen(); }',
                                   'house/parlour.c': 'int hall(void);\nint parlour(void) { return hall(); }'},
     ['house'],
     ['hall and kitchen and parlour of house/ use each other in a circle: on one floor a pair may, not more']),
    ('rules: a floor left out', with_rules('2: roof', '3: roof'), ['house'],
     ['tests/lint/floors.txt: line 10: floor 2 is expected here']),
    ('rules: a file twice', with_rules('2: roof', '2: roof cellar'), ['house'],
     ['tests/lint/floors.txt: line 10: cellar stands twice']),
    ('rules: no such section', GOOD, ['lib'], ['tests/lint/floors.txt: no section [floors lib]']),
]

print(f'1..{len(CASES)}')
failed = 0
for number, (name, tree, more, expected) in enumerate(CASES, 1):
    said = check(tree, *more)
    failed += said != expected
    print('ok' if said == expected else 'not ok', number, '-', name)
    if said != expected:
        print(*(f'#   {line}' for line in ['expected:', *expected, 'said:', *said]), sep='\n')
sys.exit(1 if failed else 0)
