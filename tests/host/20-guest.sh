# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
# shellcheck disable=SC2154
#
# What a user of a virtual machine does

test_vgpu_selftest_passes_in_the_guest() {
    vm_run a 'vgpu selftest'
}

test_the_journal_has_VM_request_and_error_in_fields_of_their_own() {
    # selftest has just provoked some errors
    host_run journalctl --no-pager -q -o json -u "$service" VGPU_VM_ID=1 \
        VGPU_ERROR=INVALID_REQUEST >"$cache/host/journal"
    head -n 1 "$cache/host/journal"
    grep -q '"VGPU_VM":"unregistered-1"' "$cache/host/journal"
    grep -q '"VGPU_REQUEST_ID":"[0-9]' "$cache/host/journal"
    grep -q '"PRIORITY":"[0-9]' "$cache/host/journal"
}

test_vgpu_info_names_pool_priority_and_backend() {
    local info

    info=$(vm_run a 'vgpu info')
    echo "$info"
    grep -qE '^ *pool: +A$' <<<"$info"
    grep -qE '^ *priority: +high$' <<<"$info"
    equal "the backend" "$(sed -n 's/^ *backend: *//p' <<<"$info")" "$(pool_property Backend)"
}

# add_files VM TYPE OPTION - adds vectors in files, and compares with the host's own sum
add_files() {
    vm_run "$1" "vgpu $3 vecadd --type $2 /a-$2.bin /b-$2.bin -o /c.bin"
    vm_run "$1" 'base64 /c.bin' | base64 -d | cmp - "$vectors/sum-$2.bin"
}

test_vecadd_of_files_by_polling() {
    for type in int32 int64 float32 float64; do
        add_files a "$type" ''
    done
}

test_vecadd_of_files_by_interrupt() {
    for type in int32 int64 float32 float64; do
        add_files a "$type" --interrupt
    done
}

test_an_interrupt_ends_the_wait() {
    wakes a 'vgpu --interrupt add 20 22' 42
}

test_vecadd_refuses_operands_of_different_length() {
    local status=0

    vm_run a 'vgpu vecadd --type int32 /a-int32.bin /b-int64.bin -o /c.bin' || status=$?
    equal "the exit status" "$status" 2
    equal "the next request" "$(vm_run a 'vgpu add 4 5')" 9
}
