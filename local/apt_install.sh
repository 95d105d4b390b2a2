#!/bin/sh
# Install the Debian packages that are named. Another apt, such as the upgrades after a boot, may be at work for minutes:
# it is waited for. APT_WAIT_S: seconds at most.
set -eu
most_s=${APT_WAIT_S:-1200}
waited_s=0
log=$(mktemp)
trap 'rm -f "$log"' EXIT

apt() {
    until LC_ALL=C DEBIAN_FRONTEND=noninteractive apt-get -q "$@" >"$log" 2>&1; do
        grep -q -e 'Could not get lock' -e 'locked by another process' "$log" || return 1
        if [ "$waited_s" -ge "$most_s" ]; then
            echo "Another apt has been at work for $waited_s s: try again when it is done." >&2
            exit 1
        fi
        [ "$waited_s" -gt 0 ] || echo "Another apt is at work (unattended upgrades?): waiting for it, $most_s s at most …"
        sleep 2
        waited_s=$((waited_s + 2))
    done
}

apt update || tail -n 5 "$log" >&2 # one source of many that fails need not be the one
apt install -y --no-install-recommends "$@" || {
    tail -n 5 "$log" >&2
    exit 1
}
