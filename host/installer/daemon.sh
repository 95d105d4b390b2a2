# Part of install.sh: the daemon as a unit of systemd.

start_daemon() {
    if [ -n "$PREFIX" ] || ! has_systemd; then
        say "Daemon: start it with $PROGRAM daemon"
        rm -f "$STATE/restart-pending"
        return
    fi
    data=$(ask_docker info | sed -n 's/.*"DockerRootDir":"\([^"]*\)".*/\1/p') || data=''
    mount_points "$STATE" >"$WORK/mounts-of-state"
    mount_points "$STATE" "$data" >"$WORK/mounts"
    unit >"$WORK/unit"
    put "$UNIT" 644 <"$WORK/unit"
    systemctl daemon-reload
    systemctl enable -q gpulease-host
    # Containers run on while the daemon restarts.
    if [ -e "$STATE/restart-pending" ]; then deed=restart; else deed=start; fi
    systemctl "$deed" gpulease-host
    wait_for daemon_answers ||
        fail "The daemon does not answer. See why with journalctl -u gpulease-host, and run the same line again."
    rm -f "$STATE/restart-pending"
    say "Daemon: runs"
}

mount_points() { # FOLDER ...: of what is not on the root file system
    for folder in "$@"; do
        if [ -n "$folder" ]; then findmnt -n -o TARGET -T "$folder" 2>/dev/null || true; fi
    done | grep -x '[A-Za-z0-9/._-]\{2,\}' | sort -u
}

# The daemon never gives up: the disk of its state that comes late, or never, is looked for again and again. A dependency
# on its mount would fail once, for good. Without Docker's disk it starts: it has ends and reports to see to. systemd below 254 knows no RestartSteps, says so, and tries again each 2 seconds.
# It never forgets a restart, so the longest delay is what a daemon that has failed often takes ever after.
# The processes beside the daemon are its tunnels and builds of the toolkit: it ends them, or they are killed.
unit() {
    cat <<END
[Unit]
Description=GPULease host
After=docker.service amazon-ssm-agent.service network-online.target time-set.target
Wants=docker.service network-online.target
StartLimitIntervalSec=0
END
    while read -r mount; do echo "After=$(systemd-escape --path --suffix=mount "$mount")"; done <"$WORK/mounts"
    printf '\n[Service]\n'
    while read -r mount; do echo "ExecStartPre=mountpoint -q $mount"; done <"$WORK/mounts-of-state"
    if [ "$DOCKER_SOCKET" != /var/run/docker.sock ]; then echo "Environment=DOCKER_HOST=unix://$DOCKER_SOCKET"; fi
    cat <<END
ExecStart=$PROGRAM daemon
Environment=AWS_SHARED_CREDENTIALS_FILE=/root/.aws/credentials
Restart=always
RestartSec=2
RestartSteps=6
RestartMaxDelaySec=30
TimeoutStopSec=30
KillMode=mixed
OOMScoreAdjust=-500
LimitNOFILE=65536
StandardOutput=journal
StandardError=journal

[Install]
WantedBy=multi-user.target
END
}

daemon_answers() { "$PROGRAM" status >/dev/null 2>&1; }
