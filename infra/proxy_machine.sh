#!/bin/bash
# Makes a fresh Debian 12 a proxy: user data of `stacks/proxy.py`, run once, as root. It is given, in front of this:
# REGION PACKAGE SECRET CONFIG HOST_KEY RESERVED_PORTS UNPRIVILEGED_FROM STACK RESOURCE
#
# Nobody can log in to such a machine, and nothing on it is worth keeping: it is replaced, not repaired.
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive

# What the network brings is asked for until it is there; CloudFormation gives up on us in the end.
again() { until "$@"; do sleep 15; done; }

again apt-get -q -y update
again apt-get -q -y install openssh-server openssh-client nginx-light python3 awscli unattended-upgrades
# The distribution's own: the proxy starts an sshd and an nginx that are not root's.
systemctl disable --now ssh.service nginx.service

useradd --system --create-home --home-dir /var/lib/gpulease-proxy --shell /usr/sbin/nologin gpulease-proxy
chmod 0700 /var/lib/gpulease-proxy

mkdir -p /opt/gpulease/proxy
again aws s3 cp --only-show-errors --region "$REGION" "$PACKAGE" /opt/gpulease/proxy.zip
python3 -m zipfile -e /opt/gpulease/proxy.zip /opt/gpulease/proxy
printf '%s\n' "$CONFIG" > /etc/gpulease-proxy.json

# JupyterLab's port without root; and no connection of the machine's own may take a number that is a tenant's.
cat > /etc/sysctl.d/60-gpulease-proxy.conf <<END
net.ipv4.ip_unprivileged_port_start = $UNPRIVILEGED_FROM
net.ipv4.ip_local_port_range = 1024 65535
net.ipv4.ip_local_reserved_ports = $RESERVED_PORTS
END
sysctl --quiet --load /etc/sysctl.d/60-gpulease-proxy.conf

cat > /opt/gpulease/take-secret <<END
#!/bin/bash
set -euo pipefail
aws secretsmanager get-secret-value --region '$REGION' --secret-id '$SECRET' --query SecretString --output text |
    python3 -m proxy.secret_files --config /etc/gpulease-proxy.json --host-key '$HOST_KEY'
END
chmod 0755 /opt/gpulease/take-secret

# Before the secret is filled there is no proxy: it is asked for every 20 s.
cat > /etc/systemd/system/gpulease-proxy.service <<'END'
[Unit]
Description=GPULease proxy
Wants=network-online.target
After=network-online.target
StartLimitIntervalSec=0

[Service]
User=gpulease-proxy
Environment=PYTHONPATH=/opt/gpulease PYTHONDONTWRITEBYTECODE=1
ExecStartPre=/opt/gpulease/take-secret
ExecStart=/usr/bin/python3 -m proxy --config /etc/gpulease-proxy.json
Restart=always
RestartSec=20
LimitNOFILE=65536
TasksMax=infinity
OOMPolicy=continue
StandardOutput=journal+console
NoNewPrivileges=yes
PrivateTmp=yes
ProtectHome=yes
ProtectSystem=strict
ReadWritePaths=/var/lib/gpulease-proxy

[Install]
WantedBy=multi-user.target
END

# A certificate that was renewed is served within the hour.
cat > /etc/systemd/system/gpulease-proxy-secret.service <<'END'
[Unit]
Description=GPULease proxy: take what is new in its secret

[Service]
Type=oneshot
User=gpulease-proxy
Environment=PYTHONPATH=/opt/gpulease PYTHONDONTWRITEBYTECODE=1
ExecStart=/opt/gpulease/take-secret
StandardOutput=journal+console
NoNewPrivileges=yes
PrivateTmp=yes
ProtectHome=yes
ProtectSystem=strict
ReadWritePaths=/var/lib/gpulease-proxy
END
cat > /etc/systemd/system/gpulease-proxy-secret.timer <<'END'
[Unit]
Description=GPULease proxy: look for what is new in its secret

[Timer]
OnCalendar=hourly
RandomizedDelaySec=600

[Install]
WantedBy=timers.target
END

systemctl daemon-reload
systemctl enable --now --no-block gpulease-proxy.service gpulease-proxy-secret.timer

# Now this machine gets its address, and the next one is made.
again aws cloudformation signal-resource --region "$REGION" --stack-name "$STACK" \
    --logical-resource-id "$RESOURCE" --unique-id "$(cloud-init query instance_id)" --status SUCCESS
