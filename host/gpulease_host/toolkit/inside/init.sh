# The first program of a container in mode ssh or jupyter, with the image's and the client's variables around it.
# Some of them would reach into the toolkit's own programs (LD_PRELOAD, PYTHONHOME), so they are put aside for
# sessions, and what follows starts with none. Python goes by a name that nobody kills by habit.
/.gl/bin/busybox cat /proc/1/environ > /.gl-run/environ
exec /.gl/bin/busybox env -i PATH=/.gl/bin HOME=/root USER=root LANG=C.UTF-8 OPENSSL_CONF=/.gl/openssl.cnf \
    /.gl/bin/gpulease-init -I -S -c 'import sys; sys.path.insert(0, "/.gl"); from inside.init import main; main()'
