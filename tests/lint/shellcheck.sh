#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Usage: shellcheck.sh SOURCE-ROOT. Has shellcheck nothing to say about any shell script?
set -euo pipefail
cd "$1"

command -v shellcheck >/dev/null || { echo "shellcheck is not installed"; exit 77; }
"$(dirname "$0")/sources.sh" | xargs -d '\n' grep -lE -m 1 '^#!/bin/(ba)?sh|^# shellcheck shell=' |
    xargs -d '\n' shellcheck
