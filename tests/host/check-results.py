#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""check-results.py OPERATION TYPE A.bin B.bin RESULT [PARAMETER]

Checks what a guest has computed from two files of numbers, against exact
arithmetic and the error bounds of protocol/vgpu-ring.h. RESULT is a file, or - for
a number on standard input (dot, sum, min, max: of a alone, but for dot). The
PARAMETER is axpy's factor, or the inner size of matmul.
"""

import operator
import struct
import sys
from fractions import Fraction

CODES = {'int32': 'i', 'int64': 'q', 'float32': 'f', 'float64': 'd'}
N_SHOWN = 5


def rounded(code, value):
    """The exact value as the type holds it: integers wrap, floats round to nearest even.

    A float32 is rounded twice, by way of float64, which makes no difference to the
    sum or product of two of them.
    """
    if code in 'iq':
        bits = 8 * struct.calcsize('<' + code)
        return (value + (1 << bits - 1)) % (1 << bits) - (1 << bits - 1)
    return Fraction(*struct.unpack('<' + code, struct.pack('<' + code, float(value))))


def elementwise(code, function, a, b):
    return [(rounded(code, function(x, y)), 0) for x, y in zip(a, b)]


def axpy(code, alpha, a, b):
    factor = rounded(code, Fraction(alpha))
    return elementwise(code, lambda x, y: rounded(code, factor * x) + y, a, b)


def total(code, terms):
    exact, magnitude = sum(terms), sum(abs(term) for term in terms)
    if code in 'iq':
        return [(rounded(code, exact), 0)]
    if code == 'd':
        bound = magnitude / 2**44 + Fraction(len(terms), 2**1074)
    else:
        bound = abs(exact) / 2**24 + magnitude / 2**43 + Fraction(1, 2**150)
    return [(exact, bound)]


def matmul(code, inner, a, b):
    unit = Fraction(1, 2**(24 if code == 'f' else 53))
    columns = len(b) // inner
    expected = []
    for i in range(len(a) // inner):
        for j in range(columns):
            products = [a[i * inner + l] * b[l * columns + j] for l in range(inner)]
            expected.append((sum(products), 2 * inner * unit * sum(map(abs, products))))
    return expected


def expect(operation, code, a, b, parameter):
    """A list of (value, how far the result may be from it)"""
    if operation == 'vecadd':
        return elementwise(code, operator.add, a, b)
    if operation == 'mul':
        return elementwise(code, operator.mul, a, b)
    if operation == 'axpy':
        return axpy(code, parameter, a, b)
    if operation == 'matmul':
        return matmul(code, int(parameter), a, b)
    if operation == 'dot':
        return total(code, [x * y for x, y in zip(a, b)])
    if operation == 'sum':
        return total(code, a)
    return [({'min': min, 'max': max}[operation](a), 0)]


def read_vector(code, path):
    number = int if code in 'iq' else Fraction
    with open(path, 'rb') as f:
        return [number(value) for value, in struct.iter_unpack('<' + code, f.read())]


def read_result(code, path):
    if path != '-':
        return read_vector(code, path)
    text = sys.stdin.read()
    return [int(text) if code in 'iq' else rounded(code, Fraction(text))]


def main(operation, name, a, b, result, parameter=None):
    code = CODES[name]
    expected = expect(operation, code, read_vector(code, a), read_vector(code, b), parameter)
    found = read_result(code, result)
    print(f'{operation} of {name}: {len(found)} results, {len(expected)} expected')
    wrong = [(i, got, value, bound) for i, (got, (value, bound)) in enumerate(zip(found, expected))
             if abs(got - value) > bound]
    for i, got, value, bound in wrong[:N_SHOWN]:
        print(f'  number {i} is {got}, about {float(got)!r}: it should be {value}, '
              f'about {float(value)!r}, give or take {float(bound)!r}')
    print(f'  {len(wrong)} are wrong')
    return 1 if wrong or len(found) != len(expected) else 0


if __name__ == '__main__':
    sys.exit(main(*sys.argv[1:]))
