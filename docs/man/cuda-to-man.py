#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""cuda-to-man.py NM PAGE SYMBOLS LIBRARY OUTPUT - makes vgpu-cuda(7): the page, and in it a table of every function of
the driver. SYMBOLS, guest/cuda/libcuda/symbols.h, says which there are; a function that no file of the library has
is a weak symbol in it, which refuses."""
import re
import subprocess
import sys

MARK = '.\\" COVERAGE\n'

# An area, and what its functions' names begin with. The first that fits counts, so the narrow ones come first.
AREAS = [
    ("Graphics", ["cuGraphics", "cuGL", "cuEGL", "cuVDPAU"]),
    ("Beginning, errors, names", ["cuInit", "cuDriverGet", "cuGet"]),
    ("Primary contexts", ["cuDevicePrimaryCtx"]),
    ("Memory pools", ["cuMemPool", "cuMemAllocAsync", "cuMemAllocFromPoolAsync", "cuMemFreeAsync", "cuDeviceGetMemPool",
                      "cuDeviceSetMemPool", "cuDeviceGetDefaultMemPool", "cuMemGetMemPool", "cuMemSetMemPool",
                      "cuMemGetDefaultMemPool"]),
    ("Graphs", ["cuGraph", "cuUserObject", "cuDeviceGetGraphMem", "cuDeviceSetGraphMem", "cuDeviceGraphMem"]),
    ("Green contexts", ["cuGreenCtx", "cuDevResource", "cuDevSmResource", "cuCtxFromGreenCtx", "cuCtxGetDevResource",
                        "cuDeviceGetDevResource", "cuStreamGetGreenCtx"]),
    ("Devices", ["cuDevice", "cuFlushGPUDirect"]),
    ("Peers", ["cuCtxEnablePeer", "cuCtxDisablePeer", "cuMulticast"]),
    ("Contexts", ["cuCtx"]),
    ("Modules, libraries, kernels", ["cuModule", "cuLibrary", "cuKernel", "cuFunc", "cuLink"]),
    ("Launches", ["cuLaunch", "cuParam", "cuOccupancy"]),
    ("Virtual memory", ["cuMemAddress", "cuMemCreate", "cuMemRelease", "cuMemMap", "cuMemUnmap", "cuMemSetAccess",
                        "cuMemGetAccess", "cuMemExport", "cuMemImport", "cuMemRetain", "cuMemGetAllocation"]),
    ("Copies", ["cuMemcpy"]),
    ("Setting memory", ["cuMemset"]),
    ("Managed memory", ["cuMemAllocManaged", "cuMemAdvise", "cuMemPrefetch", "cuMemDiscard", "cuMemRange",
                        "cuStreamAttachMem"]),
    ("Memory", ["cuMem", "cuPointer"]),
    ("Memory of other processes", ["cuIpc"]),
    ("Arrays and textures", ["cuArray", "cuMipmapped", "cuTex", "cuSurf", "cuTensorMap"]),
    ("Streams", ["cuStream", "cuThread"]),
    ("Events", ["cuEvent"]),
    ("External memory", ["cuImportExternal", "cuExternal", "cuDestroyExternal", "cuSignalExternal", "cuWaitExternal"]),
    ("Tools", ["cuProfiler", "cuCoredump", "cuLogs", "cuCheckpoint"]),
]

LEGEND = r"""A function is
.Em served
where it does what the driver's does, in all of its variants that a program of CUDA 3.2 or later may call;
.Em partly
where some of those are refused; and
.Em refused
where each returns CUDA_ERROR_NOT_SUPPORTED.
A function that is served may refuse what it is asked for, with the same error.
.Pp
Variants are the functions that the driver has under one name: for other versions of CUDA, and with
.Sq ptds
or
.Sq ptsz
for programs whose default stream is each thread's own.
.Sq plain
is the name as it is.
Those in parentheses are refused.
"""


class Function:
    """A base name with its variants."""

    def __init__(self, base):
        self.base = base
        self.variants = []  # (symbol, since, is it served?)

    def short(self, symbol):
        """A variant as the table has it."""
        if symbol == self.base:
            return "plain"
        return symbol[len(self.base):] if symbol.startswith(self.base + "_") else symbol

    def state(self):
        """What a program may count on. Before 3.2 addresses had 32 bits."""
        served = [since for _, since, is_served in self.variants if is_served]
        modern = [is_served for _, since, is_served in self.variants if since >= 3020 or since == 0]
        if not served:
            return "refused"
        return "served" if all(modern) else "partly"

    def row(self):
        names = [self.short(symbol) if is_served else f"({self.short(symbol)})"
                 for symbol, _, is_served in self.variants]
        if self.variants[0][0] == self.base and len(self.variants) == 1:
            names = []
        return f"{self.base}\t{self.state()}\tT{{\n{' '.join(names)}\nT}}"


def read_symbols(path):
    """Every (symbol, base, since) of the header."""
    with open(path, encoding="utf-8") as file:
        text = file.read()
    rows = re.findall(r"^ *X\((\w+), (\w+), (\d+), \w+\)", text, re.M)
    if len(rows) != text.count("\n    X("):
        sys.exit("a row of the table of symbols has not been understood")
    return [(symbol, base, int(since)) for symbol, base, since in rows]


def read_exports(nm, path):
    """What the library exports, by name: is it served?"""
    lines = subprocess.run([nm, "-D", "--defined-only", path], check=True, capture_output=True, text=True).stdout
    return {name: kind == "T" for _, kind, name in (line.split() for line in lines.splitlines())}


def area_of(base):
    for area, beginnings in AREAS:
        if base.startswith(tuple(beginnings)):
            return area
    return sys.exit(f"{base} belongs to no area of cuda-to-man.py")


def count(functions):
    """How many are served, partly served and refused."""
    states = [f.state() for f in functions]
    return [states.count(state) for state in ("served", "partly", "refused")]


def summary(areas):
    everything = [f for functions in areas.values() for f in functions]
    served, partly, refused = count(everything)
    names = [is_served for f in everything for _, _, is_served in f.variants]
    lines = [f"Of the driver's {len(everything)} functions {served} are served, {partly} partly, and {refused} are "
             f"refused; with their variants they are {len(names)} names, of which {sum(names)} are served.",
             ".Pp", ".TS", "lb rb rb rb rb", "l r r r r.", "Area\tFunctions\tServed\tPartly\tRefused"]
    for area, functions in areas.items():
        lines.append("\t".join([area, str(len(functions))] + [str(n) for n in count(functions)]))
    return "\n".join(lines + [".TE", ".Pp", LEGEND])


def matrix(areas):
    parts = []
    for area, functions in areas.items():
        rows = "\n".join(f.row() for f in functions)
        parts.append(f".Ss {area}\n.TS\nlb lb lb\nl l lx.\nFunction\tState\tVariants\n{rows}\n.TE\n")
    return "".join(parts)


def main():
    nm, page, symbols, library, output = sys.argv[1:]
    exports = read_exports(nm, library)
    areas = {area: [] for area, _ in sorted(AREAS)}
    functions = {}
    for symbol, base, since in read_symbols(symbols):
        if base not in functions:
            functions[base] = Function(base)
            areas[area_of(base)].append(functions[base])
        if symbol not in exports:
            sys.exit(f"{library} does not export {symbol}")
        functions[base].variants.append((symbol, since, exports[symbol]))
    with open(page, encoding="utf-8") as file:
        text = file.read()
    if text.count(MARK) != 1:
        sys.exit(f"{page} does not say where the table goes")
    with open(output, "w", encoding="utf-8") as file:
        file.write(text.replace(MARK, summary(areas) + matrix(areas)))


main()
