# Part of install.sh: Debian's and Ubuntu's packages, beside whoever else installs some, and a note of what came.

install_packages() { # none where only --prefix may be touched
    [ -z "$PREFIX" ] ||
        fail "$* is missing. With --prefix nothing is installed: install it, and run the same line again."
    command -v apt-get >/dev/null ||
        fail "$* is missing. Install it with this system's package manager, and run the same line again."
    [ -z "$(ls /var/lib/dpkg/updates 2>/dev/null)" ] ||
        fail "An installation of packages was interrupted here. Run dpkg --configure -a, and the same line again."
    say "Installing $*"
    with_lock apt-get -q update ||
        say "apt-get could not read every source of packages, as it says above, and goes on with what it has"
    # Nothing that is here may be removed for it, such as another Docker.
    lean=--no-install-recommends
    case " $* " in *" docker.io "*) lean='' ;; esac # which needs AppArmor's parser to start containers
    noting_packages apt-get -q -y --no-remove ${lean:+"$lean"} ${FIRST:+-o "DPkg::Pre-Invoke::=$FIRST"} install "$@" ||
        fail "apt-get could not install $*, and says why above. Mend that, and run the same line again.$(on_hold)"
}

on_hold() {
    held=$(apt-mark showhold 2>/dev/null | tr '\n' ' ') || true
    if [ -n "$held" ]; then printf ' Packages are on hold here: %s' "$held"; fi
}

noting_packages() { with_lock bring_and_note "$@"; } # COMMAND ...: what it brings, --uninstall can remove

# Looked at anew for each try, for whoever had the lock has installed packages meanwhile, perhaps the same ones.
bring_and_note() {
    installed_packages >"$WORK/before"
    packages_named "$@" >"$WORK/named"
    outcome=0
    "$@" || outcome=$?
    make_state_folder
    installed_packages | comm -13 "$WORK/before" - | comm -12 "$WORK/named" - >>"$STATE/packages"
    return "$outcome"
}

packages_named() { # by a trial of apt-get, as new; dpkg brings no other than the agent
    if [ "$1" != apt-get ]; then
        echo amazon-ssm-agent
        return
    fi
    shift
    apt-get -s "$@" 2>/dev/null | sed -n 's/^Inst \([^ :]*\)\(:[^ ]*\)\{0,1\} (.*/\1/p' | sort -u
}

installed_packages() {
    # shellcheck disable=SC2016 # for dpkg-query
    { dpkg-query -W -f '${db:Status-Abbrev}${Package}\n' 2>/dev/null || true; } | sed -n 's/^ii //p' | sort -u
}

with_lock() { # COMMAND ...: apt-get or dpkg; again for as long as another program installs packages
    # needrestart, which comes with Docker, would ask what to restart, or restart Docker itself.
    export DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 NEEDRESTART_MODE=l
    waited=0
    while :; do
        status=0
        "$@" 2>"$WORK/complaints" || status=$?
        holder=$(grep -i -m 1 -E 'could not get lock|unable to (acquire|lock)|lock (is|was) locked by' \
            "$WORK/complaints") || holder=''
        if [ "$status" = 0 ] || [ -z "$holder" ] || [ "$waited" -ge "$LOCK_TIMEOUT_S" ]; then break; fi
        if [ "$waited" = 0 ]; then say "Waiting until another program has installed its packages: $holder"; fi
        sleep "$POLL_S"
        waited=$((waited + POLL_S))
    done
    cat "$WORK/complaints" >&2
    return "$status"
}

install_without_sshd() { # a machine that had none must not let anybody in on port 22 from now on
    cat >"$WORK/policy" <<END
#!/bin/sh
$POLICY_MARK
exit 101
END
    chmod 755 "$WORK/policy"
    # By apt-get itself once nobody else can install packages, whose services it would keep off too.
    FIRST="[ -e $POLICY ] || cp -p $WORK/policy $POLICY"
    install_packages "$@"
    FIRST=''
    remove_policy
    if has_systemd; then # and not with the next boot either; Ubuntu starts it by its socket
        systemctl disable -q --now ssh.socket 2>/dev/null || true
        systemctl disable -q --now ssh.service ||
            fail "sshd is installed, and could not be turned off. Run systemctl disable --now ssh.service," \
                "and the same line again."
    fi
    say "ssh and jupyter: this machine's own sshd is off"
}

remove_policy() {
    if grep -qxF "$POLICY_MARK" "$POLICY" 2>/dev/null; then rm -f "$POLICY"; fi
}
