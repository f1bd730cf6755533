#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Counts the test cases of Meson's test logs.

count-tests.py LOGBASE...

LOGBASE.json and LOGBASE.junit.xml are what `meson test --logbase` leaves in
meson-logs. Each TAP line is a case; so is a test that has none. A test that
ended badly without a failed case of its own (it crashed, ran out of time, or
printed fewer cases than it planned) counts as one more failure. Prints every
skip with its reason and every failure with what TAP says of it, then one line
"PASSED FAILED SKIPPED". Exits with 1 when a case failed, or when there was none at all.
"""

import itertools
import json
import sys
import xml.etree.ElementTree as ElementTree


def text_of(element, tag):
    found = element.find(tag)
    return (found.text or '').strip() if found is not None else ''


def outcome_of(case):
    if case.find('failure') is not None or case.find('error') is not None:
        return 'failed'
    return 'skipped' if case.find('skipped') is not None else 'passed'


def reason_of(case):
    """Why a case was skipped: TAP's own words, or the last line it printed."""
    said = text_of(case, 'system-out') or text_of(case, 'system-err')
    last = said.splitlines()[-1] if said else 'no reason given'
    return last.split('# SKIP', 1)[-1].strip()


def diagnosis_of(output):
    """What a test's TAP output says of the cases that failed: the comments after them."""
    said = []
    failed = False
    for line in output.splitlines():
        if line.startswith(('ok', 'not ok')):
            failed = line.startswith('not ok')
        if failed:
            said.append(line)
    return said


def print_diagnoses(logbase):
    with open(logbase + '.json', encoding='utf-8') as log:
        for run in map(json.loads, log):
            said = diagnosis_of(run.get('stdout', ''))
            if said:
                print(run['name'])
                print(*(f'  {line}' for line in itertools.islice(said, 60)), sep='\n')


def cases_of(logbase):
    """Yields (test, case, outcome, reason), test by test."""
    seen = {}
    for suite in ElementTree.parse(logbase + '.junit.xml').getroot():
        project, _, test = suite.get('name').partition('.')
        for case in suite.findall('testcase'):
            # A test without TAP lines is a case of the suite that has the project's name.
            name = test or case.get('name')
            outcome = outcome_of(case)
            seen.setdefault(name, set()).add(outcome)
            yield name, case.get('name') if test else '', outcome, reason_of(case)

    with open(logbase + '.json', encoding='utf-8') as log:
        for line in log:
            run = json.loads(line)
            bad = run['result'] not in ('OK', 'SKIP', 'EXPECTEDFAIL')
            if bad and 'failed' not in seen.get(run['name'], set()):
                yield run['name'], f"the whole test: {run['result']}", 'failed', ''


def main(logbases):
    count = {'passed': 0, 'failed': 0, 'skipped': 0}
    for logbase in logbases:
        for test, case, outcome, reason in cases_of(logbase):
            count[outcome] += 1
            if outcome != 'passed':
                print(f"{outcome.upper()}: {' / '.join(filter(None, (test, case)))}"
                      + (f': {reason}' if outcome == 'skipped' else ''))
    for logbase in logbases:
        print_diagnoses(logbase)
    print(count['passed'], count['failed'], count['skipped'])
    return 1 if count['failed'] or not sum(count.values()) else 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
