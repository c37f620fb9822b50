#!/bin/sh
# Fails in the way that its argument names.
echo "step: $1"
case $1 in
exit) echo 'it broke' >&2; exit 7 ;;
signal) kill -SEGV $$ ;;
slow) sleep 30 ;;
loud)
    for line in $(seq 1 40); do
        printf 'line %s \033[31mred\007 \342\200\256back\n' "$line"
    done
    head -c 3000 /dev/zero | tr '\0' x
    exit 1
    ;;
orphan)
    # What it leaves behind ends with it.
    (sleep 30; touch survived) &
    exit 0
    ;;
esac
