#!/.gl/bin/busybox sh
# root's shell as sshd and JupyterLab's terminals see it: the image's own, with the contract's variables.
# Not as a login shell: many an image's /etc/profile would take the image's PATH away again.
. /.gl-run/environment.sh
cd "$HOME" 2>/dev/null || cd /
exec "$SHELL" "$@"
