#!/bin/sh
# Prints what a terminal or a log must not show as it is.
case $1 in
colours)
    printf '\033]0;building\007\033[1;32mstep: build\033[0m\r\n'
    printf 'Fetching   5 %%\rFetching  50 %%\rFetching 100 %%\033[K\r\n'
    printf '\033]8;;https://ci.example.org/7\033\\the log\033]8;;\033\\ of \033P1$r0m\033\\run 7\n'
    printf 'tests |\010/\010-\010ok\n'
    printf 'caf\351 \342\200\256 right to left\n'
    exit 3
    ;;
secrets)
    echo "step: login with $TOKEN"
    echo "plain $TOKEN."
    printf 'cut %s' "${TOKEN%??????}"
    # The rest of the secret is in another chunk.
    sleep 0.3
    echo "${TOKEN#?????????}."
    echo "Authorization: Basic $(printf 'marvin:%s' "$TOKEN" | base64)"
    printf 'some longer text in front of it, %s, and more behind it' "$TOKEN" | base64 -w 40
    echo "https://example.org/?token=pa%24s%20w0rd%2F%2B%26end&x=pa%24s+w0rd%2f%2b%26end"
    echo "$KEY"
    printf '\033[31mpa$s\033[0m w0rd/+&end\n'
    exit 4
    ;;
leaves)
    # One ends when it is asked to, one does not, and one has left the session.
    sleep 60 &
    (trap '' TERM; while :; do sleep 60; done) &
    setsid sleep 60 </dev/null >/dev/null 2>&1 &
    # It ends by itself just after the program, and is no leftover.
    (sleep 0.1; echo 'the last words') &
    exit 0
    ;;
serves)
    setsid sleep 2 </dev/null >/dev/null 2>&1 &
    echo started
    ;;
esac
