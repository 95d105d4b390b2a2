# Part of install.sh: the daemon as a unit of systemd.

start_daemon() {
    if [ -n "$PREFIX" ] || ! has_systemd; then
        say "Daemon: start it with $PROGRAM daemon"
        return
    fi
    mount_points >"$WORK/mounts"
    unit >"$WORK/unit"
    put "$UNIT" 644 <"$WORK/unit"
    systemctl daemon-reload
    systemctl enable -q gpulease-host
    # Containers run on while the daemon restarts.
    if [ -n "$CHANGED" ]; then systemctl restart gpulease-host; else systemctl start gpulease-host; fi
    wait_for daemon_answers ||
        fail "The daemon does not answer. See why with journalctl -u gpulease-host, and run the same line again."
    say "Daemon: runs"
}

mount_points() { # of what is not on the root file system: state, and Docker's data
    data=$(ask_docker info | sed -n 's/.*"DockerRootDir":"\([^"]*\)".*/\1/p') || data=''
    for folder in "$STATE" "$data"; do
        if [ -n "$folder" ]; then findmnt -n -o TARGET -T "$folder" 2>/dev/null || true; fi
    done | grep -x '[A-Za-z0-9/._-]\{2,\}' | sort -u
}

# The daemon never gives up: a disk that comes late, or never, is looked for again and again. A dependency on its mount
# would fail once, for good. systemd below 254 knows no RestartSteps, says so, and tries again each 2 seconds.
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
    while read -r mount; do echo "ExecStartPre=mountpoint -q $mount"; done <"$WORK/mounts"
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
