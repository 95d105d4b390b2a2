# Runs with the toolkit as the only thing in the root: each program must load and answer.
set -e
PATH=/.gl/bin
export PATH
/.gl/bin/ssh-keygen -q -t ed25519 -N '' -f /root/key
echo "HostKey /root/key" | cat /.gl/inside/sshd_config - > /root/config
# Its own host key, because an instance has none yet.
sed -i '/gl-own\/host_key/d' /root/config
/.gl/bin/sshd -t -f /root/config
/.gl/bin/gpulease-init -I -S /.gl/inside/self_test_sshd.py /root/config
/.gl/bin/scp 2>&1 | grep -q usage
HOME=/root USER=root OPENSSL_CONF=/.gl/openssl.cnf /.gl/python/bin/python3 -I -c '
import ctypes, sqlite3, ssl, zmq, tornado, ipykernel.kernelapp, jupyterlab.labapp, terminado
'
