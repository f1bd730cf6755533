#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# clang-format.sh SOURCE-ROOT - is every C file formatted as .clang-format says?
# The device in qemu-stub/ has QEMU's style, which clang-format does not know.
set -euo pipefail
cd "$1"

command -v clang-format >/dev/null || { echo "clang-format is not installed"; exit 77; }
# Other versions wrap some lines differently.
version=$(clang-format --version | grep -oE 'version [0-9]+' | cut -d ' ' -f 2)
[ "$version" = 14 ] || { echo "the files are formatted by clang-format 14, this is $version"; exit 77; }
find bench common ctl daemon executor fuzz guest libvirt-hooks protocol tests -name '*.[ch]' -print0 |
    xargs -0 -r clang-format --dry-run --Werror
