#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""compare-xml.py FILE < LIVE

Compares each interface that FILE, the contract, has with that of the same name
in the introspection data on standard input, member by member.
"""

import sys
import xml.etree.ElementTree as ElementTree


def members_of(root):
    """{interface: {(kind, name): what its users see}}"""
    interfaces = {}
    for interface in root.iter('interface'):
        members = interfaces[interface.get('name')] = {}
        for member in interface:
            if member.tag not in ('method', 'signal', 'property'):
                continue
            default = 'in' if member.tag == 'method' else 'out'
            members[member.tag, member.get('name')] = (
                member.get('type'),
                member.get('access'),
                tuple((arg.get('name'), arg.get('type'), arg.get('direction', default))
                      for arg in member.findall('arg')),
                # "true" is what every property has that says nothing
                tuple(sorted((note.get('name'), note.get('value'))
                             for note in member.findall('annotation')
                             if (note.get('name'), note.get('value')) !=
                             ('org.freedesktop.DBus.Property.EmitsChangedSignal', 'true'))),
            )
    return interfaces


def main(path):
    contract = members_of(ElementTree.parse(path).getroot())
    live = members_of(ElementTree.fromstring(sys.stdin.read()))
    bad = not contract
    for interface, members in contract.items():
        found = live.get(interface, {})
        for member in sorted(members.keys() | found.keys()):
            if members.get(member) != found.get(member):
                bad = True
                print(f'{interface} {" ".join(member)}:\n'
                      f'  contract {members.get(member)}\n  live     {found.get(member)}')
    return 1 if bad else 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1]))
