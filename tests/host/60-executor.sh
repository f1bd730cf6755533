# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
# shellcheck disable=SC2154
#
# The executor dies with a request in its hands.

# request_in_flight VM - a request that its executor, stopped, can't answer; what
# becomes of it will be in the guest's /answer
request_in_flight() {
    host_run kill -STOP "$(pool_property ExecutorPID)"
    vm_run "$1" 'rm -f /answer; (vgpu add 20 22 >/tmp/answer 2>&1; echo "exit $?" >>/tmp/answer; mv /tmp/answer /answer) >/dev/null 2>&1 &'
    eventually 20 pool_property_is InFlight 1
}

# answer_of VM - the answer, when it is there
answer_of() {
    # shellcheck disable=SC2016 # expanded in the guest
    vm_run "$1" 'n=0; until [ -e /answer ] || [ $n -ge 300 ]; do usleep 100000; n=$((n + 1)); done; cat /answer'
}

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
