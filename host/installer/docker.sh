# Part of install.sh: a Docker that a host can use, with live-restore.

set_up_docker() {
    name_docker
    if docker --version 2>/dev/null | grep -i podman >/dev/null; then
        fail "Here docker is Podman, which is not enough for a host. Remove podman-docker, and run the same line again."
    fi
    if ! command -v dockerd >/dev/null; then
        [ ! -e /snap/bin/docker ] || fail_for_snap
        [ -S "$DOCKER_SOCKET" ] || install_packages docker.io
    fi
    command -v ip6tables-restore >/dev/null || install_packages iptables
    command -v ip >/dev/null || install_packages iproute2
    wait_for docker_answers ||
        fail "Docker does not answer on $DOCKER_SOCKET. Start it (systemctl start docker), and run the same line again."
    check_docker
    if [ -z "$PREFIX" ]; then
        make_state_folder
        "$PROGRAM" live-restore on ||
            fail "Docker's live-restore is off, without which containers end when Docker restarts. Why it stays off," \
                "and what to do, stands above. Then run the same line again."
    elif ask_docker info | grep '"LiveRestoreEnabled":true' >/dev/null; then
        say "Docker: answers, with live-restore"
    else
        say "Docker: answers, without live-restore, which --prefix leaves as it is"
    fi
}

name_docker() {
    DOCKER_SOCKET=${DOCKER_HOST:-unix:///var/run/docker.sock}
    DOCKER_SOCKET=${DOCKER_SOCKET#unix://}
}

check_docker() { # that it is one which a host can use
    ask_docker info >"$WORK/docker" || fail "Docker does not say what it is. Restart it, and run the same line again."
    ask_docker version >>"$WORK/docker" || true
    if grep '"Podman Engine"' "$WORK/docker" >/dev/null; then
        fail "On $DOCKER_SOCKET is Podman, which is not enough for a host. Turn podman.socket off, remove" \
            "podman-docker, and run the same line again."
    elif grep '"DockerRootDir":"/var/snap/' "$WORK/docker" >/dev/null; then
        fail_for_snap
    elif grep '"name=rootless"' "$WORK/docker" >/dev/null; then
        fail "On $DOCKER_SOCKET is a rootless Docker, which can keep no limits. Unset DOCKER_HOST, and run the same" \
            "line again: it takes the Docker of this machine, or installs one."
    fi
}

fail_for_snap() {
    fail "Here Docker is a snap, which may not read the folders of a host. Remove it, with all its containers" \
        "(snap remove docker), and run the same line again: it installs docker.io."
}

docker_answers() { ask_docker _ping >/dev/null 2>&1; }

ask_docker() { curl -fsS --max-time 30 --unix-socket "$DOCKER_SOCKET" "http://docker/$1"; }
