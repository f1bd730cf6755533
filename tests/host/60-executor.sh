# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
# shellcheck disable=SC2154
#
# The executor dies while it has a request.

test_a_request_of_a_killed_executor_fails_alone_or_succeeds() {
    local restarts answer

    restarts=$(pool_property ExecutorRestarts)
    request_in_flight a
    host_run kill -KILL "$(pool_property ExecutorPID)"
    answer=$(answer_of a)
    echo "the guest got: $answer"
    [ "$answer" = $'42\nexit 0' ] || [[ $answer == *CUDA_ERROR*'exit 1' ]]

    equal "the next request" "$(vm_run a 'vgpu add 1 2')" 3
    equal "the neighbour's" "$(vm_run b 'vgpu add 3 4')" 7
    equal ExecutorRestarts "$(pool_property ExecutorRestarts)" "$((restarts + 1))"
}

test_the_death_is_in_the_journal() {
    host_run journalctl --no-pager -q -p warning -u "$service" | grep -i executor
}
