#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""compare-xml.py FILE... < LIVE

Compares each of the project's interfaces in the introspection data on standard
input with that of the same name in the FILEs, the contract, member by member.
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
                # a property without the annotation has "true"
                tuple(sorted((note.get('name'), note.get('value'))
                             for note in member.findall('annotation')
                             if (note.get('name'), note.get('value')) !=
                             ('org.freedesktop.DBus.Property.EmitsChangedSignal', 'true'))),
            )
    return interfaces


def main(paths):
    contract = {}
    for path in paths:
        contract.update(members_of(ElementTree.parse(path).getroot()))
    live = {name: members
            for name, members in members_of(ElementTree.fromstring(sys.stdin.read())).items()
            if name.startswith('org.vgpu.')}
    bad = not live
    for interface, found in live.items():
        members = contract.get(interface, {})
        for member in sorted(members.keys() | found.keys()):
            if members.get(member) != found.get(member):
                bad = True
                print(f'{interface} {" ".join(member)}:\n'
                      f'  contract {members.get(member)}\n  live     {found.get(member)}')
    return 1 if bad else 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
