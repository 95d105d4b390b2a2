#!/bin/sh
# Fills the folder $2 with Debian $1 as a machine of a host's owner has it, and with what the tests need, so that the
# guest itself has to download and compile nothing. Runs as root in a mount namespace of its own (see images.py).
# $3: this checkout. $4: a file with the names of its files. $5: the packages. $6: the guest's public key.
set -eu
suite=$1 root=$2 checkout=$3 files=$4 packages=$5 key=$6
export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8

script=''
[ -e "/usr/share/debootstrap/scripts/$suite" ] || script=sid # debootstrap of today does not know tomorrow's names
# shellcheck disable=SC2086
debootstrap --variant=minbase --include=ca-certificates "$suite" "$root" "${MIRROR:-http://deb.debian.org/debian}" $script

mount --bind "$root" "$root" # a toolkit is proven in mount namespaces, which need a mount for their root
mount --bind /proc "$root/proc"
mount --bind /sys "$root/sys"
mount --bind /dev "$root/dev"
mount --bind /dev/pts "$root/dev/pts"
cp /etc/resolv.conf "$root/etc/resolv.conf"
cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt" # the mirror's and the index's, as here
printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d" && chmod 755 "$root/usr/sbin/policy-rc.d"
# A mirror that is some weeks behind will do.
chroot "$root" apt-get -q -o Acquire::Check-Valid-Until=false update
# shellcheck disable=SC2086
chroot "$root" apt-get -q install -y --no-install-recommends $packages
rm "$root/usr/sbin/policy-rc.d"

mkdir -p "$root/root/gpulease"
# One time for all files, here and whenever the checkout is copied anew: a toolkit is old when a time has changed.
tar -C "$checkout" --files-from "$files" --mtime=@1700000000 -c | tar -C "$root/root/gpulease" -x
chroot "$root" sh -eu -c '
    export PIP_CERT=/etc/ssl/certs/ca-certificates.crt
    cd /root/gpulease
    sh local/venv.sh python3 .venv && touch .venv/.installed
    PYTHONPATH=functions:host:. .venv/bin/python -m local.toolkits || true # what is missing, the tests tell
    rm -rf /root/.cache /var/cache/apt/archives/*.deb
'

chroot "$root" systemctl -q enable systemd-networkd ssh
chroot "$root" systemctl -q disable firewalld ufw nftables nginx docker-registry # tests start what they need
# What would only disturb: time is dear in a guest.
chroot "$root" systemctl -q mask apt-daily.timer apt-daily-upgrade.timer man-db.timer e2scrub_all.timer fstrim.timer \
    dpkg-db-backup.timer systemd-networkd-wait-online.service
mkdir -p "$root/root/.ssh" "$root/etc/systemd/network"
chmod 700 "$root/root/.ssh"
echo "$key" >"$root/root/.ssh/authorized_keys"
echo guest >"$root/etc/hostname"
printf '127.0.0.1 localhost guest\n' >"$root/etc/hosts"
printf '/dev/vda / ext4 errors=remount-ro 0 1\n' >"$root/etc/fstab"
printf '[Match]\nName=eth0\n[Network]\nDHCP=yes\n' >"$root/etc/systemd/network/10-guest.network"
