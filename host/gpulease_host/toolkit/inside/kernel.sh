#!/.gl/bin/busybox sh
# Starts the kernel of a notebook in the image's own Python, so that what is installed there can be imported.
# With ipykernel there, that Python is the kernel. Without, the toolkit's Python speaks Jupyter's protocol and the
# image's Python runs the cells. An image without Python, or with one before 3.8, gets the toolkit's.
for name in python3 python; do
    python=$(/.gl/bin/within /.gl/bin/busybox which "$name") || continue
    /.gl/bin/within "$python" -c 'import sys; sys.exit(sys.version_info < (3, 8))' 2>/dev/null || continue
    if /.gl/bin/within "$python" -c 'import ipykernel, sys; from ipykernel import kernelapp
sys.exit(ipykernel.version_info < (6,))' 2>/dev/null; then
        exec /.gl/bin/within "$python" -m ipykernel_launcher "$@"
    fi
    exec /.gl/python/bin/python3 -I /.gl/inside/kernel_bridge.py --image-python="$python" "$@"
done
# The cells see the contract's variables, and this Python heeds none of them: PYTHONHOME would keep it from starting.
exec /.gl/bin/within /.gl/python/bin/python3 -E -s -m ipykernel_launcher "$@"
