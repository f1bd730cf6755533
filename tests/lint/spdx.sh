#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# spdx.sh SOURCE-ROOT - does every source file say its licence in its first lines?
set -euo pipefail
cd "$1"

missing=0
while read -r file; do
    case $file in
    *LICENSE | .clang-format | .gitignore | */corpus/*) continue ;;
    esac
    head -n 5 "$file" | grep -q 'SPDX-License-Identifier: \(LGPL-2.1-or-later\|GPL-2.0-or-later\)' || {
        echo "$file has no SPDX-License-Identifier"
        missing=1
    }
done < <("$(dirname "$0")/sources.sh")
exit "$missing"
