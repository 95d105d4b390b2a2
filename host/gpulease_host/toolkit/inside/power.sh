#!/.gl/bin/busybox sh
# reboot, poweroff, halt and shutdown of an instance: nothing inside can do that, so it says who can.
echo "gpulease: $(/.gl/bin/busybox basename "$0") has no effect in here. This instance is not ended from inside:" \
    "stop, reboot or end it with the API." >&2
exit 1
