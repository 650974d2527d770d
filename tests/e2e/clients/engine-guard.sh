#!/bin/sh
# engine-guard.sh DOCKERD DIRECTORY: runs a private Docker Engine until standard input ends, then removes its traces.
#
# The suite holds the other end of standard input, so the engine goes when the suite goes: at its end, on a panic, on
# Ctrl-C and on SIGKILL alike. The word "keep" leaves the directory, for an engine that is to be started again.
dockerd=$1
directory=$2
trap '' INT HUP
PATH=$PATH:/usr/sbin:/sbin:$(dirname "$dockerd"):$(dirname "$dockerd")/../bin
export PATH

"$dockerd" --config-file "$directory/daemon.json" --data-root "$directory/data" --exec-root "$directory/exec" \
    --pidfile "$directory/docker.pid" --host "unix://$directory/docker.sock" --storage-driver "${DOCKGATE_E2E_STORAGE:-overlay2}" </dev/null &
engine=$!

read -r word
# A container whose first process ignores SIGTERM would hold the engine back for ten seconds.
docker="timeout 10 docker -H unix://$directory/docker.sock"
running=$($docker ps -q 2>/dev/null) && [ -n "$running" ] && $docker kill $running >/dev/null 2>&1
if kill -TERM "$engine" 2>/dev/null; then
    # A watchdog for an engine that does not heed SIGTERM.
    (sleep 15; kill -KILL "$engine" 2>/dev/null) >/dev/null 2>&1 &
    watchdog=$!
    wait "$engine" 2>/dev/null
    kill "$watchdog" 2>/dev/null
fi
[ "$word" = keep ] && exit 0

# What a killed engine leaves: its containerd, the shims, and their mounts; and the gates of a killed suite. All carry
# a directory in their arguments.
certs=$(dirname "$directory")/certs/
for process in /proc/[0-9]*; do
    if tr '\0' ' ' <"$process/cmdline" 2>/dev/null | grep -q -e "$directory/exec/containerd" -e "$directory/data" -e " $certs"; then
        kill -KILL "${process#/proc/}" 2>/dev/null
    fi
done
awk -v under="$directory/" 'index($2, under) == 1 { print $2 }' /proc/mounts | sort -r | while read -r mount; do
    umount -l "$mount" 2>/dev/null
done
rm -rf "$directory"
