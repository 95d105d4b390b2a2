# Part of install.sh: --uninstall. What is gone already is skipped, so it too is run again until it says "Done". The
# state folder goes last: it has the notes of what was installed.

uninstall() {
    if [ ! -e "$STATE" ] && [ ! -e "$VENV" ] && [ ! -e "$PROGRAM" ] && [ ! -e "$UNIT" ]; then
        say "Done: nothing of GPULease is here."
        return
    fi
    host=$(registered_host)
    make_state_folder
    name_docker
    empty_docker
    remove_unit
    leave_agent
    remove_packages
    # The state folder may be a disk of its own.
    { rm -rf --one-file-system "$VENV" "$PROGRAM" && find "$STATE" -mindepth 1 -xdev -delete; } ||
        fail "What rm or find names above could not be removed. Mend that, and run the same line again."
    rmdir "$STATE" 2>/dev/null || true
    say "Done: GPULease is gone from this machine."
    if [ -n "$host" ]; then
        say "The service still has host $host. Once it is offline, declare it lost: POST $API_URL/v1/hosts/$host/lost"
    fi
}

empty_docker() { # containers, networks, firewall, control group, settings: the program knows what it made
    if [ ! -e "$STATE/config.json" ] && [ ! -e "$STATE/docker-settings" ]; then return; fi
    if ! "$PROGRAM" --help 2>/dev/null | grep 'gpulease-host leave' >/dev/null; then
        [ -n "$LOSE_DATA" ] ||
            fail "The host program does not run, or is too old to remove what it made in Docker. Run this script without" \
                "options first, which brings it up to date. With --lose-data, what it made stays."
        say "Left, because the host program does not remove it: containers gpulease-*, networks gl-*, live-restore in" \
            "Docker's daemon.json, firewall chains GPULEASE-INPUT and GPULEASE-FORWARD"
        return
    fi
    if runs_by_systemd; then systemctl stop gpulease-host; fi
    "$PROGRAM" leave ${LOSE_DATA:+"$LOSE_DATA"} || {
        if runs_by_systemd; then systemctl start gpulease-host; fi
        fail "This machine is a host still; why stands above. Mend that, and run the same line again."
    }
    if [ -z "$PREFIX" ]; then
        "$PROGRAM" live-restore off || fail "Docker's settings could not be put back; why stands above. Mend that, and run the same line" \
            "again."
    fi
}

runs_by_systemd() { [ -z "$PREFIX" ] && has_systemd && [ -e "$UNIT" ]; }

remove_unit() {
    if ! runs_by_systemd; then return; fi
    systemctl disable -q --now gpulease-host || fail "The daemon does not end. See why: journalctl -u gpulease-host. Then run the same line again."
    rm "$UNIT"
    systemctl daemon-reload
    systemctl reset-failed gpulease-host 2>/dev/null || true
    say "Daemon: gone"
    if [ -e "$UNIT.d" ]; then say "Left: $UNIT.d, which somebody else made"; fi
}

leave_agent() { # an agent that serves somebody else is left alone
    if [ ! -s "$STATE/activation" ]; then return; fi
    if [ -z "$AGENT" ]; then AGENT=amazon-ssm-agent; fi
    if command -v "$AGENT" >/dev/null; then
        if [ "$AGENT" = amazon-ssm-agent ] && has_systemd; then systemctl disable -q --now "$AGENT" || true; fi
        "$AGENT" -register -clear </dev/null ||
            fail "The agent could not forget its registration, and says why above. Mend that, and run the same line again."
    fi
    rm "$STATE/activation"
    say "Agent: its registration is gone, and it is off"
}

remove_packages() { # those that were not here before, if the owner says so and nothing else has come to need them
    if [ ! -s "$STATE/packages" ]; then return; fi
    sort -u "$STATE/packages" >"$WORK/noted"
    ours=$(installed_packages | comm -12 "$WORK/noted" - | tr '\n' ' ')
    if [ -z "${ours% }" ]; then return; fi
    if [ -z "$WITH_PACKAGES" ]; then
        say "Left: packages that were installed for GPULease. If nothing else needs them: apt-get remove $ours"
        return
    fi
    why=$(why_packages_stay)
    if [ -n "$why" ]; then
        say "Left: packages that were installed for GPULease, because $why: $ours"
        return
    fi
    # shellcheck disable=SC2086 # one word a package
    with_lock apt-get -q -y remove $ours ||
        fail "apt-get could not remove $ours, and says why above. Mend that, and run the same line again."
    say "Packages: removed $ours"
}

why_packages_stay() {
    case " $ours" in
    *" docker.io "*)
        has=$(ask_docker 'containers/json?all=1' 2>/dev/null) || has=''
        case $has in
        '[]') ;;
        '') echo "Docker does not answer, and may have containers of yours" && return ;;
        *) echo "Docker has containers of yours" && return ;;
        esac
        ;;
    esac
    case " $ours" in
    *" openssh-server "*)
        if systemctl -q is-enabled ssh.service 2>/dev/null || systemctl -q is-enabled ssh.socket 2>/dev/null; then
            echo "sshd was turned on since"
            return
        fi
        ;;
    esac
    # shellcheck disable=SC2086 # one word a package
    others=$(LC_ALL=C apt-get -s remove $ours 2>/dev/null | sed -n 's/^Remv \([^ :]*\).*/\1/p' | sort -u |
        comm -23 - "$WORK/noted" | tr '\n' ' ')
    if [ -n "$others" ]; then echo "other packages need them ($others)"; fi
}
