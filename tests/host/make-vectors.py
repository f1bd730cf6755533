#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""make-vectors.py DIRECTORY TYPE N

Writes two vectors of random numbers to a.bin and b.bin and their sum, computed
here and independently of the project, to sum.bin.
"""

import random
import struct
import sys

CODES = {'int32': 'i', 'int64': 'q', 'float32': 'f', 'float64': 'd'}


def rounded(code, value):
    """The value as the type holds it: integers wrap, floats round to nearest even."""
    size = 8 * struct.calcsize('<' + code)
    if code in 'iq':
        value = (value + (1 << size - 1)) % (1 << size) - (1 << size - 1)
    return struct.unpack('<' + code, struct.pack('<' + code, value))[0]


def main(directory, name, n):
    code = CODES[name]
    if code in 'iq':
        bits = 8 * struct.calcsize('<' + code)
        draw = lambda: rounded(code, random.getrandbits(bits))
    else:
        draw = lambda: rounded(code, random.uniform(-1e6, 1e6))
    a, b = ([draw() for _ in range(n)] for _ in 'ab')
    # A double holds the sum of two floats exactly enough to be rounded correctly.
    sums = [rounded(code, x + y) for x, y in zip(a, b)]
    for file, values in (('a', a), ('b', b), ('sum', sums)):
        with open(f'{directory}/{file}.bin', 'wb') as f:
            f.write(struct.pack(f'<{n}{code}', *values))


if __name__ == '__main__':
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
