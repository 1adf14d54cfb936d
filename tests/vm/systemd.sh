# Runs where systemd does, as root in a service and as an ordinary user in a session: the sandbox's group is a scope of the
# manager's. What is enforced is read from the group's own files and from the manager, not from cordon's report.
shopt -s nullglob
cordon=/cordon/bin/cordon
failed=0
work=$(mktemp -d)
fail() { echo "FAIL: $*"; failed=1; }
is() { [ "$2" = "$3" ] || fail "$1 is $2, not $3"; }
has() { grep -q -- "$2" "$work/$1" || fail "$3: $(cat "$work/$1")"; }

manage=--system scopes=/sys/fs/cgroup/system.slice
if [ "$(id -u)" != 0 ]; then
	manage=--user scopes=/sys/fs/cgroup/user.slice/user-$UID.slice/user@$UID.service/user.slice
	systemctl --user is-system-running --wait >/dev/null
fi
run="$cordon run --remove missing=cgroup"

left() { # what a sandbox may have left, once there was a moment for it
	for _ in $(seq 50); do
		local groups=$(find /sys/fs/cgroup -name 'cordon-*') units=$(systemctl $manage list-units --all --plain --no-legend 'cordon-*')
		[ -n "$groups$units" ] || return 0
		sleep 0.2
	done
	fail "left after $1: $groups $units"
}

# hold starts a sandbox that runs until `let go`. Its scope is $scope, its launcher $launcher.
hold() {
	mkfifo "$work/go"
	$run "$@" -- sh -c 'echo begun; read x; exit 0' <"$work/go" >"$work/out" 2>"$work/err" &
	launcher=$!
	exec 9>"$work/go"
	for _ in $(seq 300); do
		grep -q begun "$work/out" && break
		kill -0 $launcher 2>/dev/null || break
		sleep 0.1
	done
	grep -q begun "$work/out" || fail "$*: $(cat "$work/err")"
	scope=$(echo "$scopes"/cordon-*.scope)
	[ -d "$scope" ] || fail "$*: no scope in $scopes: $(find /sys/fs/cgroup -name 'cordon-*')"
}
let_go() {
	exec 9>&-
	wait $launcher
	local code=$?
	rm "$work/go"
	return $code
}
property() { systemctl $manage show --value -p "$1" "${scope##*/}"; }

# The limits are in the group, and the manager's own: what it writes when it looks at the unit again.
hold --memory 64MiB --pids 40 --cpus 0.5
check() {
	is memory.max "$(cat "$scope/memory.max")" 67108864
	is memory.swap.max "$(cat "$scope/memory.swap.max")" 0
	is pids.max "$(cat "$scope/pids.max")" 41 # and init
	is cpu.max "$(cat "$scope/cpu.max")" "50000 100000"
}
check
is MemoryMax "$(property MemoryMax)" 67108864
is TasksMax "$(property TasksMax)" 41
is CPUQuotaPerSecUSec "$(property CPUQuotaPerSecUSec)" 500ms
is Delegate "$(property Delegate)" yes
[ "$(wc -l <"$scope/cgroup.procs")" -ge 2 ] || fail "init and the task are not in the scope: $(cat "$scope/cgroup.procs")"
grep -q "^$launcher\$" "$scope/cgroup.procs" && fail "the launcher is in the scope"
systemctl $manage daemon-reload
check
let_go || fail "exit code $?: $(cat "$work/err")"
left "a run"

# They hold: a task that takes more memory is killed, by the group's limit.
$run --memory 16MiB -- sh -c 'head -c 64M /dev/zero | tail >/dev/null; exit 7' >"$work/out" 2>"$work/err"
is "exit code of what takes too much memory" $? 137
has err 'oom\|memory' "the limit is not named"
left "an end for memory"

# The scope ends with a launcher that is killed.
hold --memory 64MiB --pids 40
kill -9 $launcher
wait $launcher 2>/dev/null
exec 9>&-
rm "$work/go"
left "kill -9"
pgrep -f 'echo begun' && fail "the task has outlived its launcher"

# What is started in a running sandbox is in its scope. From a session the user cannot put it there, and is told how.
$run --detach --name held --memory 64MiB -- sleep 1000 >"$work/out" 2>"$work/err" || fail "detach: $(cat "$work/err")"
scope=$(echo "$scopes"/cordon-*.scope)
within=""
if [ "$(id -u)" != 0 ]; then
	$cordon exec held -- true 2>"$work/err" && fail "exec from a session, out of the scope"
	has err 'hint: .*systemd-run --user --scope' "no hint"
	within="systemd-run --user --scope --quiet"
fi
before=$(wc -l <"$scope/cgroup.procs")
$within $cordon exec held -- sh -c 'cat /proc/self/cgroup; sleep 5; exit 0' >"$work/out" 2>"$work/err" &
for _ in $(seq 100); do
	[ -s "$work/out" ] && break
	sleep 0.1
done
[ "$(wc -l <"$scope/cgroup.procs")" -gt "$before" ] || fail "exec is not in the scope: $(cat "$scope/cgroup.procs" "$work/err")"
is "the group that exec sees" "$(cat "$work/out")" "0::/"
wait $! || fail "exec: $(cat "$work/err")"
$cordon kill held && $cordon rm held >"$work/out" 2>&1 || $cordon rm -f held >"$work/out" 2>&1
left "a sandbox that was detached"

# Where the manager makes none, that is an error which says what to do, and the program is not run.
refuse="--cgroup-parent refused.slice"
if [ "$(id -u)" = 0 ]; then
	systemctl mask --quiet --runtime refused.slice
else
	refuse=""
	export DBUS_SESSION_BUS_ADDRESS=unix:path=/nonexistent
fi
$run $refuse --memory 64MiB --pids 40 -- touch "$work/ran" >"$work/out" 2>"$work/err"
is "exit code without a scope" $? 125
has err '^cordon: error: .*limits.memory: systemd' "not the error"
has err '^cordon: hint: .*missing' "no hint"
grep -q "failed to" "$work/err" && fail "the library's words: $(cat "$work/err")"
[ -e "$work/ran" ] && fail "the program ran without its limits"
left "a scope that was refused"

# Unless the profile says that it may be missing: then rlimits stand in, and the report says so.
$run --missing cgroup $refuse --memory 64MiB --pids 40 --report "$work/report" -- sh -c 'ulimit -d; ulimit -p; cat /proc/self/cgroup' >"$work/out" 2>"$work/err"
is "exit code with a scope that may be missing" $? 0
has out '^65536$' "RLIMIT_DATA does not stand in"
has out '^40$' "RLIMIT_NPROC does not stand in"
has err 'missing: cgroup: limits.memory' "the report does not say so"
has report '"layer": "cgroup"' "the JSON report does not say so"
left "a scope that was missing"
unset DBUS_SESSION_BUS_ADDRESS
[ "$(id -u)" = 0 ] || export DBUS_SESSION_BUS_ADDRESS=unix:path=$XDG_RUNTIME_DIR/bus

if [ "$(id -u)" = 0 ]; then
	# A controller that systemd switches off with the last unit which wants it: a group beside its units loses its limit, a
	# scope does not. First that it does.
	systemd-run --quiet --unit=wants -p CPUWeight=200 -p IOWeight=200 sleep 1000
	mkdir /sys/fs/cgroup/system.slice/beside
	[ -e /sys/fs/cgroup/system.slice/beside/cpu.max ] || fail "the controller cpu is not on"
	hold --cpus 0.5 --io-weight 50
	weights=$(cd "$scope" && echo io.*weight)
	[ -n "$weights" ] || fail "no file for io-weight"
	for weight in $weights; do
		is "$weight" "$(cat "$scope/$weight")" "default 50"
	done
	echo "io-weight: Linux $(uname -r): $weights; $(cat /sys/block/vda/queue/scheduler)"
	systemctl stop wants
	is cpu.max "$(cat "$scope/cpu.max")" "50000 100000"
	let_go || fail "exit code $?: $(cat "$work/err")"
	for _ in $(seq 50); do
		[ -e /sys/fs/cgroup/system.slice/beside/cpu.max ] || break
		sleep 0.1
	done
	[ -e /sys/fs/cgroup/system.slice/beside/cpu.max ] && fail "systemd has not switched the controller cpu off: this shows nothing"
	rmdir /sys/fs/cgroup/system.slice/beside
	# In a service with Delegate=yes the group is made without a manager.
	systemd-run --quiet --wait --pipe -p Delegate=yes $run --cpus 0.5 --memory 64MiB -v -- true >"$work/out" 2>"$work/err" || fail "delegated: $(cat "$work/err")"
	has err 'cpu.max=50000 100000' "no limit in a delegated service"
	has err '[.]service/cordon-[^ ]*/cpu.max' "not in the delegated service"
	left "a delegated service"
else
	# What was not delegated to the user's manager.
	$run --io-weight 50 -- true >"$work/out" 2>"$work/err"
	is "exit code without the controller io" $? 125
	has err '^cordon: error: .*limits.io-weight' "not the error"
	has err 'Delegate=.*io' "no hint says how to delegate it"
	left "a controller that is not there"
	# A scope in another scope's place: beside what the user's manager runs.
	systemd-run --user --quiet --wait --pipe $run --memory 64MiB --cpus 0.5 -v -- true >"$work/out" 2>"$work/err" || fail "in a user service: $(cat "$work/err")"
	has err 'user.slice/cordon-.*scope/cpu.max' "not in a scope"
	systemd-run --user --scope --quiet -p Delegate=yes $run --memory 64MiB -v -- true >"$work/out" 2>"$work/err" || fail "in a delegated scope: $(cat "$work/err")"
	has err 'memory.max=67108864' "no limit in a delegated scope"
	left "units of the user's manager"
fi
rm -r "$work"
exit $failed
