"""What the installer calls, as programs that note how they were called and do as little as it takes to be believed.

Each is a shell script. `$FACTS` holds what is true of the machine, one file a fact; `$CALLS` what was called.
"""

CURL = """
while [ $# -gt 1 ]; do
    case $1 in
    -o) file=$2 ;;
    -D) headers=$2 ;;
    esac
    shift
done
case $1 in
*/v1/health) printf 'HTTP/1.1 200 OK\\r\\ndate: %s\\r\\n\\r\\n' "$(cat "$FACTS/date")" >"$headers" ;;
*/v1/host/package) cat "$FACTS/package" >"$file" ;;
http://docker/_ping) [ -e "$FACTS/docker-runs" ] ;;
http://docker/info) cat "$FACTS/docker-info" ;;
http://docker/version) cat "$FACTS/docker-version" ;;
http://docker/containers/*) [ -e "$FACTS/docker-runs" ] && cat "$FACTS/docker-containers" ;;
https://s3.*) echo deb >"$file" ;;
*) exit 22 ;;
esac
"""

APT_GET = """
asked=''
for word in "$@"; do
    case $word in
    DPkg::Pre-Invoke::=*) first=${word#*=} ;;
    -* | install | remove | update) ;;
    *) asked="$asked $word" ;;
    esac
done
case "$*" in
"-s "*" install "*)
    for package in $asked; do
        if grep -qx "ii $package" "$FACTS/packages"; then
            echo "Inst $package [1.0] (1.1 Debian:13/stable [amd64])"
        else
            echo "Inst $package (1.1 Debian:13/stable [amd64])"
        fi
    done
    exit
    ;;
esac
if [ -s "$FACTS/lock-holders" ]; then
    if [ -e "$ROOT/usr/sbin/policy-rc.d" ]; then echo "policy-rc.d while another installs" >>"$CALLS"; fi
    head -n 1 "$FACTS/lock-holders" >&2
    sed -i 1d "$FACTS/lock-holders"
    cat "$FACTS/others-install" >>"$FACTS/packages" 2>/dev/null
    exit 100
fi
sh -c "${first:-:}"
case "$*" in
*update) [ ! -e "$FACTS/broken-source" ] || exit 100 ;;
*" install "*)
    echo "asks $DEBIAN_FRONTEND $NEEDRESTART_SUSPEND $NEEDRESTART_MODE" >>"$CALLS"
    for package in $asked; do echo "ii $package" >>"$FACTS/packages"; done
    echo "ii by-others-meanwhile" >>"$FACTS/packages"
    ;;
"-s remove "*) cat "$FACTS/would-go" ;;
*" remove "*) : >"$FACTS/packages" ;;
esac
case "$*" in
*docker.io) has dockerd ":"; touch "$FACTS/docker-runs" ;;
*iptables) has ip6tables-restore ":" ;;
*iproute2) has ip ":" ;;
*python3.11-venv) has python3.11 "$(cat "$FACTS/python")" ;;
*python3-venv) touch "$FACTS/has-venv" ;;
*patchelf)
    if [ -e "$ROOT/usr/sbin/policy-rc.d" ]; then
        "$ROOT/usr/sbin/policy-rc.d" ssh start || echo "policy-rc.d $?" >>"$CALLS"
    fi
    [ ! -e "$FACTS/apt-refuses" ] || exit 100
    : >"$FACTS/missing-packages"
    ;;
esac
"""

DPKG = """
if [ -s "$FACTS/dpkg-lock-holders" ]; then
    head -n 1 "$FACTS/dpkg-lock-holders" >&2
    sed -i 1d "$FACTS/dpkg-lock-holders"
    exit 2
fi
has amazon-ssm-agent "$(cat "$FACTS/agent")"
echo "ii amazon-ssm-agent" >>"$FACTS/packages"
"""

SYSTEMCTL = """
case "$*" in
"-q is-enabled "*) [ -e "$FACTS/sshd-is-on" ] ;;
esac
"""

AGENT = """
[ ! -e "$FACTS/agent-refuses" ] || exit 1
if [ "$*" = "-register -clear" ]; then
    rm "$ROOT/var/lib/amazon/ssm/registration"
    exit
fi
mkdir -p "$ROOT/var/lib/amazon/ssm"
echo '{"ManagedInstanceID":"mi-1"}' >"$ROOT/var/lib/amazon/ssm/registration"
"""

PYTHON = """
case "$1 $2" in
"-V ") echo Python 3.12.1 ;;
"-c "*version_info*) [ "${0##*/}" != python3 ] || [ ! -e "$FACTS/old-python" ] ;;
"-c "*ensurepip*) [ -e "$FACTS/has-venv" ] ;;
"-c "*) exec "$REAL_PYTHON" "$@" ;;
"-m venv") mkdir -p "$4/bin" && cp "$FACTS/venv-python" "$4/bin/python" && chmod 755 "$4/bin/python" ;;
esac
"""

VENV_PYTHON = """#!/bin/sh
here=$(dirname "$0")
case "$*" in
"-m pip --version") ;;
"-m pip install "*)
    echo "pip install" >>"$CALLS"
    for wheel in "$@"; do :; done
    version=${wheel##*/gpulease_host-}
    echo "${version%-py3-none-any.whl}" >"$here/version"
    cp "$FACTS/gpulease-host" "$here/gpulease-host" && chmod 755 "$here/gpulease-host"
    ;;
-c*) cat "$here/version" ;;
esac
"""

GPULEASE_HOST = """#!/bin/sh
echo "gpulease-host $*" >>"$CALLS"
if [ "$1" = --help ]; then
    cat "$FACTS/usage"
fi
if [ "$*" = "toolkit packages" ]; then
    cat "$FACTS/missing-packages"
fi
if [ -e "$FACTS/refuses-$1" ]; then
    cat "$FACTS/refuses-$1" >&2
    exit 1
fi
if [ "$1" = register ]; then
    if [ -s "$FACTS/refusals" ]; then
        head -n 1 "$FACTS/refusals" >&2
        sed -i 1d "$FACTS/refusals"
        exit 1
    fi
    printf '{\\n  "host_id": %s,\\n  "v": 1\\n}\\n' "${5%%.*}" >"$GPULEASE_HOST_DIR/config.json"
fi
"""

ALWAYS = {
    "curl": CURL,
    "apt-get": APT_GET,
    "apt-mark": 'cat "$FACTS/on-hold"',
    "dpkg": DPKG,
    "dpkg-query": 'cat "$FACTS/packages"',
    "df": """echo head; echo "/dev/x 9 9 $(cat "$FACTS/free-kib") 9% /" """,
    "findmnt": 'for path in "$@"; do :; done; cat "$FACTS/mounted$(echo "$path" | tr / _)" 2>/dev/null || echo /',
    "systemd-escape": 'for path in "$@"; do :; done; echo "${path#/}.mount"',
    "systemctl": SYSTEMCTL,
    "id": 'cat "$FACTS/uid"',
    "uname": 'case $1 in -s) echo Linux ;; -m) cat "$FACTS/processor" ;; esac',
    "sleep": "",
    "python3": PYTHON,
}

GPU = {
    "nvidia-smi": "echo 'GPU 0: NVIDIA H100 (UUID: GPU-1)'",
    "nvidia-container-runtime-hook": "",
}

REAL_TOOLS = (
    *(
        "cat",
        "chmod",
        "cmp",
        "comm",
        "cp",
        "cut",
        "date",
        "dirname",
        "find",
        "grep",
        "head",
        "ls",
        "mkdir",
        "mktemp",
        "mv",
    ),
    *("rm", "rmdir", "sed", "sh", "sha256sum", "sort", "tail", "touch", "tr"),
)
"""Of this machine, and no other: what is missing in a test is really not to be found."""
