#!/bin/sh
# Makes this machine a GPULease host: Debian or Ubuntu, as root. The service hands it out filled in, and POST /v1/hosts
# answers the line that runs it. A step that is done is skipped, so the same line is run again until it says "Done";
# without registration options it brings a registered host up to date, and with --uninstall it takes all of it away.
# It is served as one text: what stands in installer/ comes where its name stands between @.
# Ends with 0 (done), 1 (failed, after a sentence that says what to do next) or 2 (wrong use).
set -eu

API_URL='@API_URL@'
PACKAGE='@PACKAGE@'
PACKAGE_SHA256='@PACKAGE_SHA256@'

CLOCK_TOLERANCE_S=60 # the service takes two minutes; this leaves room for a drift
REPORT_TIMEOUT_S=300 # how long a registered agent may take until the service has heard of it
START_TIMEOUT_S=30   # of Docker and of the daemon
LOCK_TIMEOUT_S=1800  # how long others may install packages: first updates of a new machine take their time
ROOM_MIB=2048        # for the program, the packages and the toolkit
UPDATE_ROOM_MIB=256
POLL_S=3
UNIT=/etc/systemd/system/gpulease-host.service
POLICY=/usr/sbin/policy-rc.d # what it answers, packages of Debian and Ubuntu do
POLICY_MARK='# Of the installer of GPULease, which removes it.'
FIRST='' # what apt-get does before it lets dpkg install
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin
LC_ALL=C # what programs say is read here
export LC_ALL
unset PYTHONPATH PYTHONHOME

main() {
    read_options "$@"
    [ "$(id -u)" = 0 ] || fail "This needs root. Run the same line in a root shell, for example after: sudo -i"
    WORK=$(mktemp -d) || fail "There is no place for temporary files, as mktemp says above. Mend that," \
        "and run the same line again."
    trap 'rm -rf "$WORK"; remove_policy' EXIT
    trap 'exit 1' HUP INT TERM
    remove_policy # of a run that was cut off
    if [ -n "$UNINSTALL" ]; then uninstall; else install_host; fi
}

install_host() {
    check_machine
    check_room
    check_clock
    set_up_python
    install_program
    set_up_docker
    if [ -n "$TOKEN" ]; then check_gpus; fi
    set_up_ways_in
    if [ -n "$TOKEN" ]; then
        set_up_agent
        register_host
    fi
    start_daemon
    say "Done: this machine is host $(registered_host). Look at it with GET $API_URL/v1/hosts/$(registered_host)."
}

usage() {
    cat <<'END'
usage: install.sh --token TOKEN --activation-id ID --activation-code CODE --region REGION [OPTION ...]
       install.sh [OPTION ...]        on a registered host: bring its program up to date
       install.sh --uninstall [--lose-data] [--with-packages] [OPTION ...]        leave the machine as it was

  --simulate-gpus N          declare N GPUs that do not exist: for trials
  --prefix DIR               keep every file below DIR, and install or set up nothing else: for trials
  --agent-command PROGRAM    call this in place of amazon-ssm-agent: for trials
  --lose-data                leave although contracts have instances here: they and their data are gone then
  --with-packages            remove the packages that were installed for GPULease, too
END
}

say() { printf 'gpulease: %s\n' "$*"; }

fail() {
    printf 'gpulease: %s\n' "$*" >&2
    exit 1
}

refuse() {
    printf 'gpulease: %s\n' "$*" >&2
    usage >&2
    exit 2
}

read_options() {
    TOKEN='' ACTIVATION_ID='' ACTIVATION_CODE='' REGION='' SIMULATED='' PREFIX='' AGENT=''
    UNINSTALL='' LOSE_DATA='' WITH_PACKAGES=''
    while [ $# -gt 0 ]; do
        case $1 in
        -h | --help) usage && exit 0 ;;
        --uninstall | --lose-data | --with-packages)
            case $1 in
            --uninstall) UNINSTALL=$1 ;;
            --lose-data) LOSE_DATA=$1 ;;
            --with-packages) WITH_PACKAGES=$1 ;;
            esac
            shift
            continue
            ;;
        --token | --activation-id | --activation-code | --region | --simulate-gpus | --prefix | --agent-command) ;;
        *) refuse "There is no option $1." ;;
        esac
        if [ $# -lt 2 ] || [ -z "$2" ]; then refuse "$1 needs a value."; fi
        case $1 in
        --token) TOKEN=$2 ;;
        --activation-id) ACTIVATION_ID=$2 ;;
        --activation-code) ACTIVATION_CODE=$2 ;;
        --region) REGION=$2 ;;
        --simulate-gpus) SIMULATED=$2 ;;
        --prefix) PREFIX=${2%/} ;;
        --agent-command) AGENT=$2 ;;
        esac
        shift 2
    done
    VENV=$PREFIX/opt/gpulease
    PROGRAM=$PREFIX/usr/local/bin/gpulease-host
    STATE=$PREFIX/var/lib/gpulease
    check_options
}

check_options() {
    case $SIMULATED in *[!0-9]*) refuse "--simulate-gpus is a number." ;; esac
    case $REGION in *[!a-z0-9-]*) refuse "--region is the name of an AWS Region, such as eu-central-1." ;; esac
    case $PREFIX in
    *[!A-Za-z0-9/._-]*) refuse "--prefix may have letters, digits and / . _ - only." ;;
    '' | /*) ;;
    *) refuse "--prefix is an absolute path." ;;
    esac
    case "${UNINSTALL:+u}${LOSE_DATA:+d}${WITH_PACKAGES:+p}" in
    d | p | dp) refuse "--lose-data and --with-packages belong to --uninstall." ;;
    esac
    case "${UNINSTALL:+u}${TOKEN:+t}${ACTIVATION_ID:+i}${ACTIVATION_CODE:+c}${REGION:+r}" in
    u | ticr) ;;
    u*) refuse "--uninstall goes without the options of a registration." ;;
    '')
        [ -n "$(registered_host)" ] ||
            refuse "This machine is no host yet. Paste the whole line that POST /v1/hosts answered."
        ;;
    *) refuse "--token, --activation-id, --activation-code and --region belong together. Paste the whole line." ;;
    esac
}

check_machine() {
    [ "$(uname -s)" = Linux ] || fail "This is not Linux. Run the line on the GPU machine."
    case $(uname -m) in
    x86_64) ARCHITECTURE=amd64 ;;
    aarch64) ARCHITECTURE=arm64 ;;
    *) fail "A host is an x86_64 or aarch64 machine, and this is $(uname -m). Run the line on another machine." ;;
    esac
    command -v curl >/dev/null || fail "curl is missing. Install it with apt-get, and run the same line again."
    say "Machine: $ARCHITECTURE"
}

check_room() {
    needed=$ROOM_MIB
    if [ -z "$TOKEN" ]; then needed=$UPDATE_ROOM_MIB; fi
    for folder in "$VENV" "$STATE"; do
        there=$folder
        until [ -d "$there" ]; do there=$(dirname "$there"); done
        [ -w "$there" ] || fail "$there cannot be written to. Mount it for writing, and run the same line again."
        free=$(($(df -Pk "$there" | tail -n 1 | tr -s ' ' | cut -d ' ' -f 4) / 1024))
        [ "$free" -ge "$needed" ] ||
            fail "$there has $free MiB free, and $needed are needed. Make room, and run the same line again."
    done
}

check_clock() {
    download "$API_URL/v1/health" /dev/null -D "$WORK/headers"
    told=$(tr -d '\r' <"$WORK/headers" | sed -n 's/^[Dd]ate: *//p' | tail -n 1)
    if [ -z "$told" ]; then
        say "Clock: not compared, for the service tells no time"
        return
    fi
    off=$(($(date +%s) - $(date -d "$told" +%s)))
    if [ "${off#-}" -gt "$CLOCK_TOLERANCE_S" ]; then
        fail "The clock is off by $off seconds. Set it (timedatectl set-ntp true), and run the same line again."
    fi
    say "Clock: right"
}

download() { # URL FILE [curl's options ...]
    url=$1 file=$2
    shift 2
    curl -fsSL --retry 3 --connect-timeout 10 --max-time 300 -o "$file" "$@" "$url" ||
        fail "$url could not be read. See that this machine reaches it, and run the same line again."
}

set_up_python() {
    command -v python3 >/dev/null || install_packages python3 python3-venv
    PYTHON=''
    for each in python3 python3.14 python3.13 python3.12 python3.11; do
        if "$each" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            PYTHON=$each
            break
        fi
    done
    if [ -z "$PYTHON" ]; then
        say "Python: 3.11 or newer is needed, and python3 is older" # as on Ubuntu 22.04, which has both
        install_packages python3.11 python3.11-venv
        PYTHON=python3.11
    fi
    "$PYTHON" -c 'import ensurepip, venv' 2>/dev/null || install_packages "$PYTHON-venv"
    say "Python: $("$PYTHON" -V)"
}

check_gpus() {
    if [ -n "$SIMULATED" ]; then
        say "GPUs: $SIMULATED simulated ones"
        return
    fi
    nvidia-smi -L 2>/dev/null | grep '^GPU ' >/dev/null ||
        fail "nvidia-smi shows no GPU. Install NVIDIA's driver (Debian: nvidia-driver, from contrib and non-free;" \
            "Ubuntu: ubuntu-drivers install --gpgpu, and nvidia-utils of the same number), reboot, and run the same" \
            "line again."
    command -v nvidia-container-runtime-hook >/dev/null ||
        fail "NVIDIA's container toolkit is missing. Install nvidia-container-toolkit from NVIDIA's" \
            "package source, restart Docker, and run the same line again."
    say "GPUs: $(nvidia-smi -L | grep -c '^GPU ')"
}

install_program() {
    wanted=${PACKAGE#*-}
    wanted=${wanted%-py3-none-any.whl}
    if [ "$(installed_version)" = "$wanted" ]; then
        say "Program: $wanted is installed"
    else
        say "Program: installing $wanted"
        want_restart
        download "$API_URL/v1/host/package" "$WORK/$PACKAGE"
        printf '%s  %s\n' "$PACKAGE_SHA256" "$WORK/$PACKAGE" | sha256sum --check --status ||
            fail "The package is not the one that this installer is for: the service was updated meanwhile, or it was" \
                "changed on its way. Run the same line again."
        "$VENV/bin/python" -m pip --version >/dev/null 2>&1 || "$PYTHON" -m venv --clear "$VENV" ||
            fail "$VENV could not be made, and Python says why above. Mend that, and run the same line again."
        "$VENV/bin/python" -m pip install -q --no-cache-dir --disable-pip-version-check --only-binary :all: \
            "$WORK/$PACKAGE" ||
            fail "pip could not install the host program, and says why above. Mend that, and run the same line again."
    fi
    put "$PROGRAM" 755 <<END
#!/bin/sh
export GPULEASE_HOST_DIR="\${GPULEASE_HOST_DIR:-$STATE}"
exec $VENV/bin/gpulease-host "\$@"
END
}

installed_version() {
    "$VENV/bin/python" -c 'from importlib.metadata import version; print(version("gpulease-host"))' 2>/dev/null || true
}

set_up_ways_in() { # the daemon builds of these packages what lets clients in, in modes ssh and jupyter
    missing=$("$PROGRAM" toolkit packages) ||
        fail "The host program does not run; why stands above. Mend that, and run the same line again."
    # shellcheck disable=SC2086 # one word a package
    set -- $missing
    if [ $# = 0 ]; then
        say "ssh and jupyter: the packages for them are here"
    elif [ -n "$PREFIX" ] || ! command -v apt-get >/dev/null; then
        say "ssh and jupyter: contracts of these modes wait until somebody installs $*"
    else
        case " $* " in
        *" openssh-server "*) install_without_sshd "$@" ;;
        *) install_packages "$@" ;;
        esac
    fi
}

set_up_agent() {
    if [ -z "$AGENT" ]; then
        AGENT=amazon-ssm-agent
        command -v "$AGENT" >/dev/null || install_agent
    fi
    deed=start
    register_agent # which makes it a restart: the agent takes its registration at its start
    if [ "$AGENT" = amazon-ssm-agent ] && has_systemd; then
        { systemctl enable -q "$AGENT" && systemctl "$deed" "$AGENT"; } ||
            fail "The agent does not start. See why with journalctl -u $AGENT, and run the same line again."
        check_agents_path
    elif [ "$AGENT" = amazon-ssm-agent ]; then
        say "Agent: there is no systemd here, so start $AGENT yourself, now"
    fi
}

check_agents_path() { # by which it finds the program
    pid=$(systemctl show -p MainPID --value "$AGENT" 2>/dev/null) || pid=''
    if [ ! -r "/proc/$pid/environ" ]; then return; fi
    path=$(tr '\0' '\n' <"/proc/$pid/environ" | sed -n 's/^PATH=//p')
    case ":${path:-$PROGRAM}:" in
    *":${PROGRAM%/*}:"* | ":$PROGRAM:") ;;
    *)
        fail "The agent would not find gpulease-host, with its PATH $path. Add ${PROGRAM%/*} to it (systemctl edit" \
            "$AGENT), and run the same line again."
        ;;
    esac
}

# Untried: the only step that nobody has seen at work, for it needs AWS's own bucket.
install_agent() {
    command -v dpkg >/dev/null || fail "Install amazon-ssm-agent as AWS describes it, and run the same line again."
    say "Agent: installing amazon-ssm-agent"
    download "https://s3.$REGION.amazonaws.com/amazon-ssm-$REGION/latest/debian_$ARCHITECTURE/amazon-ssm-agent.deb" \
        "$WORK/agent.deb"
    noting_packages dpkg -i "$WORK/agent.deb" ||
        fail "dpkg could not install amazon-ssm-agent, and says why above. Mend that, and run the same line again."
}

register_agent() {
    registration=$PREFIX/var/lib/amazon/ssm/registration
    if [ -s "$registration" ] && [ "$(cat "$STATE/activation" 2>/dev/null)" != "$ACTIVATION_ID" ]; then
        fail "This machine's agent is registered already: $(cat "$registration"). Where that may end, run" \
            "$AGENT -register -clear, and then the same line again."
    fi
    if [ -s "$registration" ]; then
        say "Agent: registered"
        return
    fi
    say "Agent: registering"
    deed=restart
    make_state_folder
    # Noted first: whatever registration is found later is then known to be ours.
    put "$STATE/activation" 600 <<END
$ACTIVATION_ID
END
    "$AGENT" -register -code "$ACTIVATION_CODE" -id "$ACTIVATION_ID" -region "$REGION" -y </dev/null ||
        fail "The agent could not register, and says why above. If the activation is used up or over, announce the" \
            "machine again with POST /v1/hosts; else run the same line again."
}

register_host() {
    if [ "$(registered_host)" = "${TOKEN%%.*}" ]; then
        say "Registration: this machine is host $(registered_host)"
        return
    fi
    say "Registration: waiting until the service has heard of the agent"
    set -- --api-url "$API_URL" --token "$TOKEN" ${SIMULATED:+--simulate-gpus "$SIMULATED"}
    waited=0
    until "$PROGRAM" register "$@" >"$WORK/answer" 2>&1; do
        if ! grep -q '(busy, ' "$WORK/answer"; then
            cat "$WORK/answer" >&2
            fail "The machine could not register; the reason stands above. Mend that, and run the same line again. If" \
                "the token is used up or over, announce the machine again with POST /v1/hosts."
        fi
        [ "$waited" -lt "$REPORT_TIMEOUT_S" ] ||
            fail "The service has not heard of the agent for $waited seconds. See that $AGENT runs," \
                "and run the same line again."
        sleep "$POLL_S"
        waited=$((waited + POLL_S))
    done
}

registered_host() {
    sed -n 's/^ *"host_id": *\([0-9]*\).*/\1/p' "$STATE/config.json" 2>/dev/null || true
}

has_systemd() { [ -d /run/systemd/system ]; }

# Noted before anything changes, and until the new daemon answers: another step may fail first.
want_restart() { make_state_folder && : >"$STATE/restart-pending"; }

make_state_folder() { mkdir -p "$STATE" && chmod 700 "$STATE"; }

put() { # FILE MODE: standard input becomes the file, in one step, unless it is that already
    { mkdir -p "$(dirname "$1")" && cat >"$1.new" && chmod "$2" "$1.new"; } ||
        fail "$1 could not be written, as it says above. Mend that, and run the same line again."
    if [ ! -L "$1" ] && cmp -s "$1.new" "$1"; then rm "$1.new"; else
        want_restart
        mv -f "$1.new" "$1"
    fi
}

wait_for() { # COMMAND: until it succeeds, or START_TIMEOUT_S are over
    patience=$START_TIMEOUT_S
    until "$1"; do
        [ "$patience" -gt 0 ] || return 1
        sleep 1
        patience=$((patience - 1))
    done
}

# @packages.sh@
# @docker.sh@
# @daemon.sh@
# @uninstall.sh@

# All of it is read before any of it runs: a download that breaks off does nothing, and no step reads the script.
main "$@" </dev/null
