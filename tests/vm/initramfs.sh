# Runs with the initramfs as root, where pivot_root(2) cannot work: what cordon says there, and that root.enter: chroot
# does. There are busybox and cordon, and no PATH of a distribution.
export PATH=/bin
failed=0
fail() { echo "FAIL: $*"; failed=1; }

root=/srv/root
for dir in bin dev etc proc run sys tmp usr var/tmp home root work; do busybox mkdir -p $root/$dir; done
busybox cp /bin/busybox $root/bin/busybox
container="cordon run -p container --root $root --host-user caller"

# By pivot_root it is refused, and the error says what to do.
$container -- /bin/busybox true >/out 2>&1 && fail "pivot_root worked on an initramfs: $(busybox cat /out)"
busybox grep -q 'pivot_root' /out || fail "the error does not name pivot_root: $(busybox cat /out)"
busybox grep -q 'hint: .*--enter chroot' /out || fail "no hint names --enter chroot: $(busybox cat /out)"

# By chroot the container is all that the task sees. Its output goes through a pipe, because the profile takes capabilities from
# a task that writes a file where other users reach it. The profile leaves it CAP_SYS_CHROOT, the classic way out of one: go
# into another root, and then up from a directory that is not below it. Landlock would stop that too, so it is off. First
# the attack itself: it gets out of a plain chroot(1).
out=$($container --enter chroot -- /bin/busybox sh -c 'busybox ls / && ! busybox test -e /orders.json && busybox grep CapEff: /proc/self/status' 2>&1) ||
	fail "--enter chroot: $out"
echo "$out" >/out
busybox grep -q 'CapEff:	00000000a80425fb' /out || fail "not the capabilities of a container: $(busybox cat /out)"
busybox cp /init $root/bin/escape
busybox chroot $root /bin/escape escape-chroot /orders.json || fail "the attack does not work without cordon"
$container --enter chroot --no-landlock -- /bin/escape escape-chroot /orders.json >/out 2>&1 && fail "out of the root: $(busybox cat /out)"
busybox grep -q 'open /orders.json: no such file' /out || fail "the attack was not tried: $(busybox cat /out)"

# The host's own tree, read-only.
cordon run --enter chroot --host-user caller -- /bin/busybox sh -c '! busybox touch /x && busybox test -e /orders.json' >/out 2>&1 ||
	fail "the host's tree: $(busybox cat /out)"

# Nothing is left.
busybox grep -v -E ' (rootfs|proc|sysfs|devtmpfs) ' /proc/mounts && fail "mounts are left"
exit $failed
