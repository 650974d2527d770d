#!/bin/sh
# reaper.sh: ends what the suite started, when the suite ends.
#
# The suite holds the other end of standard input and writes "+PID" for each process group it starts and "-PID" for each that has
# ended. At the end of the input, by whatever way the suite has gone, what is left is killed.
trap '' INT TERM HUP
left=' '
while read -r line; do
    pid=${line#?}
    case $line in
    +*) left="$left$pid " ;;
    -*)
        # One that is not there, since its end was told before its start, must leave the list as it is.
        case $left in
        *" $pid "*) left="${left%% "$pid" *} ${left#* "$pid" }" ;;
        esac
        ;;
    esac
done
for pid in $left; do kill -KILL "-$pid" 2>/dev/null; done
