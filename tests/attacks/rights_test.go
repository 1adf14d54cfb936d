package attacks

import (
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// rightsAttacks returns the attacks on the task's identity, and on what the task may ask the kernel for.
func rightsAttacks() []attack {
	none := noControl("the rows above show it")
	lockless := []string{"strict", "judge"}
	return []attack{
		{50, "the user's inotify instances", "userns", bomb("watches", 100, ""), bounded, shows(bareBomb("watches", 100))},
		{50, "denied calls without end", "launcher", endlessDenials, []string{"default"}, noControl("it is a bound, not an attack")},
		{51, "root that became another user and kept its privileges", "caps", droppedRoot, []string{"container"}, control{who: []string{"root"}, run: droppedBare}},
		{51, "the same in a program that joins", "caps", droppedJoined, []string{"container"}, none},
		{52, "sockets: SCTP, DCCP, SMC, UDPLITE, MPTCP, …, pairs", "seccomp", each("call", protocols), nil, asRoot},
		{52, "the same by int 0x80", "seccomp", each("int80", protocols), nil, asRoot},
		{52, "pairs of datagram sockets where local sockets are denied", "seccomp", each("call", pairs), []string{"net-client", "strict"}, anyone},
		{52, "TIOCSETD", "seccomp", each("call", lineDiscipline), nil, anyone},
		{52, "prctl(PR_SET_SECCOMP) where seccomp is denied", "seccomp", selfFiltered, nil, shows(each("call", selfFilters))},
		{52, "prlimit on init", "seccomp", each("call", limitsOfInit), nil, asRoot},
		{52, "a program that confines itself if it may", "landlock", confined, []string{"default", "build", "container"}, noControl("it is a check, not an attack")},
		{54, "leases and directory notes", "seccomp", each("call", leases), nil, asRoot},
		{54, "read /proc/locks, which shows other sandboxes' locks", "mount", locksSeen, nil, anyone},
		{54, "locks that other processes see", "seccomp", lockedOut, lockless, shows(each("call", locks))},
		{53, "root's id: a launcher without SYS_ADMIN", "userns", rootOutside(without("-sys_admin")...), nil, bareRoot(without("-sys_admin")...)},
		{53, "root's id: Docker's default capabilities", "userns", rootOutside(without(dockers)...), nil, bareRoot(without(dockers)...)},
		{53, "root's id: a launcher without SETUID and SETGID", "userns", rootOutside(without("-setuid,-setgid")...), nil, none},
		{53, "root's id: a launcher without any capability", "userns", rootOutside(without("-all")...), nil, none},
		{53, "root's id: in a user namespace that maps root", "userns", rootOutside("unshare", "-Ur"), nil, bareRoot("unshare", "-Ur")},
		{53, "root's id: the same as another number", "userns", rootOutside("unshare", "-U", "--map-user=1000", "--map-group=1000"), nil, none},
		{53, "root's id: behind --uid and --gid", "userns", behindUID, narrow, none},
	}
}

// dockers has the capabilities that Docker gives a container.
const dockers = "-all,+chown,+dac_override,+fowner,+fsetid,+kill,+setgid,+setuid,+setpcap,+net_bind_service,+net_raw,+sys_chroot,+mknod,+audit_write,+setfcap"

// without returns the beginning of a command line that runs a program with these capabilities.
func without(caps string) []string {
	return []string{"setpriv", "--bounding-set", caps, "--inh-caps", caps, "--"}
}

func behindUID(b *box) outcome {
	return rootOutside(without("-sys_admin")...)(b.with("--uid", "1000", "--gid", "1000"))
}

// rootOutside starts the launcher through a program that leaves it root only in name. The task must have another id on
// the host, or cordon must refuse the launch.
func rootOutside(wrap ...string) func(*box) outcome {
	return func(b *box) outcome {
		if b.who.uid != 0 {
			return absent("only root can be root outside")
		}
		box := b.wrapped(wrap...)
		r := box.run(b.program(), "wait", b.site.mark)
		if r.code == 125 && strings.Contains(r.err, "--host-user caller") {
			return blocked("refused")
		}
		run := box.start(b.program(), "wait", b.site.mark)
		defer run.end()
		_, task := initAndTask(run.cmd.Process.Pid)
		if task == 0 {
			return broken("no task: exit %d %s", r.code, r.err)
		}
		if err := b.hasIDs(task); err != nil {
			return escaped("%v", err)
		}
		return blocked("another id")
	}
}

// bareRoot shows that a program that is started in this way is root on the host, and can read what only root may read.
func bareRoot(wrap ...string) control {
	run := func(b *box) outcome {
		file := b.scratch("secret") + "/key"
		if err := exec.Command("install", "-m", "600", "/etc/passwd", file).Run(); err != nil {
			return broken("%v", err)
		}
		if r := b.wrapped(wrap...).run("/bin/cat", file); r.code == 0 {
			return escaped("read %s", file)
		}
		return blocked("not read")
	}
	return control{who: []string{"root"}, run: run}
}

// The function below is a part of row 50 of the threat model: denied calls without end.

var deniedCount = regexp.MustCompile(`denied: .* ×(\d+) `)

// endlessDenials makes denied calls without end. The launcher must answer them at a bounded rate after the first
// 65,536, because the kernel does not charge the sandbox for the launcher's time.
func endlessDenials(b *box) outcome {
	const seconds = 6
	began := time.Now()
	r := b.with("--timeout", strconv.Itoa(seconds)+"s").run("./bomb", "denied", "100000000")
	total := 0
	for _, m := range deniedCount.FindAllStringSubmatch(r.err, -1) {
		n, _ := strconv.Atoi(m[1])
		total += n
	}
	most := 1<<16 + int(time.Since(began).Seconds()*10_000)
	switch {
	case total == 0:
		return broken("exit %d: %s", r.code, firstLines(r.err, 3))
	case total > most+1000:
		return escaped("%d calls were answered, more than %d", total, most)
	}
	return blocked("%d calls", total)
}

// The functions below are row 51 of the threat model: root becomes another user and keeps its capabilities.

// withRanges runs a program in a mount namespace in which /etc/subuid and /etc/subgid have a range for root. No other
// mount namespace sees these files.
const withRanges = `mount --make-rprivate / && mount --bind "$0" /etc/subuid && mount --bind "$0" /etc/subgid && exec "$@"`

func (b *box) ranged() *box {
	file := b.scratch("ranges") + "/sub"
	if err := os.WriteFile(file, []byte("root:100000:65536\n"), 0o644); err != nil {
		panic(broken("%v", err))
	}
	if !exists("/etc/subuid") || !exists("/etc/subgid") {
		panic(absent("no /etc/subuid"))
	}
	return b.wrapped("unshare", "-m", "sh", "-c", withRanges, file).with("--ranges")
}

func droppedRoot(b *box) outcome {
	if b.who.uid != 0 {
		return absent("only root can have ranges without changing the machine")
	}
	return b.ranged().attack("dropped", "33")
}

func droppedJoined(b *box) outcome {
	if b.who.uid != 0 {
		return absent("only root can have ranges without changing the machine")
	}
	box := b.ranged().with("--name", "dropped")
	run := box.start(b.program(), "wait", b.site.mark)
	defer run.end()
	c := *b
	c.profile = ""
	return outcomeOf(c.run(cordonBin, "exec", "dropped", b.program(), "dropped", "33"))
}

// droppedBare sets the secure bit with which a change of ids removes no capability.
func droppedBare(b *box) outcome {
	return b.wrapped("setpriv", "--securebits", "+no_setuid_fixup", "--").attack("dropped", "33")
}

// The calls below are rows 52 and 54 of the threat model. Their arguments do no harm if a call is allowed.

var protocols = []call{
	{"socket SCTP", unix.SYS_SOCKET, 359, []string{"2", "1", "132"}},
	{"socket SCTP by its type", unix.SYS_SOCKET, 359, []string{"2", "5", "0"}},
	{"socket SCTP, IPv6", unix.SYS_SOCKET, 359, []string{"10", "5", "132"}},
	{"socket DCCP", unix.SYS_SOCKET, 359, []string{"2", "6", "33"}},
	{"socket DCCP by its type, with flags", unix.SYS_SOCKET, 359, []string{"2", "0x80806", "0"}},
	{"socket SOCK_PACKET", unix.SYS_SOCKET, 359, []string{"2", "10", "0"}},
	{"socket UDPLITE", unix.SYS_SOCKET, 359, []string{"2", "2", "136"}},
	{"socket UDPLITE, IPv6, with flags", unix.SYS_SOCKET, 359, []string{"10", "0x80802", "136"}},
	{"socket L2TP", unix.SYS_SOCKET, 359, []string{"2", "2", "115"}},
	{"socket MPTCP", unix.SYS_SOCKET, 359, []string{"2", "1", "262"}},
	{"socket MPTCP, IPv6", unix.SYS_SOCKET, 359, []string{"10", "0x80001", "262"}},
	{"socket SMC as a protocol", unix.SYS_SOCKET, 359, []string{"2", "1", "256"}},
	{"socket SMC as a family", unix.SYS_SOCKET, 359, []string{"43", "1", "0"}},
	{"socket raw, of any protocol", unix.SYS_SOCKET, 359, []string{"2", "3", "255"}},
	{"socketpair TIPC", unix.SYS_SOCKETPAIR, 360, []string{"30", "1", "0", "b:8"}},
	{"socketpair VSOCK", unix.SYS_SOCKETPAIR, 360, []string{"40", "1", "0", "b:8"}},
	{"socketpair ALG", unix.SYS_SOCKETPAIR, 360, []string{"38", "5", "0", "b:8"}},
	{"socketpair INET", unix.SYS_SOCKETPAIR, 360, []string{"2", "1", "262", "b:8"}},
}

// pairs lists calls that try to reach every local datagram socket.
var pairs = []call{
	{"socketpair of datagrams", unix.SYS_SOCKETPAIR, 360, []string{"1", "2", "0", "b:8"}},
	{"socketpair of datagrams, with flags", unix.SYS_SOCKETPAIR, 360, []string{"1", "0x80802", "0", "b:8"}},
	{"socketpair SOCK_RAW", unix.SYS_SOCKETPAIR, 360, []string{"1", "3", "0", "b:8"}},
}

var lineDiscipline = []call{
	{"ioctl TIOCSETD", unix.SYS_IOCTL, 54, []string{"0", "0x5423", "b:4"}},
	{"ioctl TIOCSETD, high bits", unix.SYS_IOCTL, 54, []string{"0", "0x100005423", "b:4"}},
}

// selfFilters lists calls that ask for a filter mode that does not exist.
var selfFilters = []call{
	{"prctl PR_SET_SECCOMP", unix.SYS_PRCTL, 172, []string{"22", "99", "0"}},
	{"prctl PR_SET_SECCOMP, high bits", unix.SYS_PRCTL, 172, []string{"0x100000016", "99", "0"}},
	{"seccomp", unix.SYS_SECCOMP, 354, []string{"99", "0", "0"}},
}

func selfFiltered(b *box) outcome {
	return each("call", selfFilters)(b.with("--deny-syscall", "seccomp"))
}

// limitsOfInit is a call that reads a limit of init, if the sandbox permits the call.
var limitsOfInit = []call{{"prlimit64", unix.SYS_PRLIMIT64, 340, []string{"1", "4", "0", "b:16"}}}

func confined(b *box) outcome { return b.with("--tmpfs", "/tmp").attack("confine", "/tmp") }

var leases = []call{
	{"fcntl F_SETLEASE", unix.SYS_FCNTL, 55, []string{"0", "1024", "2"}},
	{"fcntl F_SETLEASE, high bits", unix.SYS_FCNTL, 55, []string{"0", "0x100000400", "1"}},
	{"fcntl F_NOTIFY", unix.SYS_FCNTL, 55, []string{"0", "1026", "1"}},
}

var locks = []call{
	{"flock", unix.SYS_FLOCK, 143, []string{"0", "5"}},
	{"fcntl F_SETLK", unix.SYS_FCNTL, 55, []string{"0", "6", "b:32"}},
	{"fcntl F_SETLKW", unix.SYS_FCNTL, 55, []string{"0", "7", "b:32"}},
	{"fcntl F_GETLK", unix.SYS_FCNTL, 55, []string{"0", "5", "b:32"}},
	{"fcntl F_OFD_SETLK", unix.SYS_FCNTL, 55, []string{"0", "37", "b:32"}},
	{"fcntl F_OFD_SETLKW", unix.SYS_FCNTL, 55, []string{"0", "38", "b:32"}},
	{"fcntl F_OFD_GETLK", unix.SYS_FCNTL, 55, []string{"0", "36", "b:32"}},
}

// locksSeen looks for a lock that a process outside the sandbox holds.
func locksSeen(b *box) outcome {
	f, err := os.Create(b.scratch("lock") + "/file")
	if err != nil {
		return broken("%v", err)
	}
	defer f.Close()
	lock := unix.Flock_t{Type: unix.F_WRLCK, Start: 12345, Len: 7}
	if err := unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &lock); err != nil {
		return broken("%v", err)
	}
	return b.attack("read", "/proc/locks")
}

func lockedOut(b *box) outcome {
	if r := b.run(b.program(), "wait"); refused(r) {
		return absent("no cgroup for this user, and the profile refuses to start")
	}
	return each("call", locks)(b)
}
