#!/.gl/bin/busybox sh
# Runs a program with the contract's variables, as the image's own programs expect them.
. /.gl-run/environment.sh
exec "$@"
