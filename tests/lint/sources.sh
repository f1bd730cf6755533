#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Prints the project's source files, those of the current directory and below.
set -euo pipefail

if git rev-parse --is-inside-work-tree >/dev/null 2>&1; then
    git -c safe.directory='*' ls-files
else
    find . -type f -not -path './build*' -not -path './.*' -printf '%P\n'
fi
