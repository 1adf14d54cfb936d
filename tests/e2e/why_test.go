package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// denied is an operation that a profile does not allow. The test shows that the operation fails, asks `cordon why`
// about it, and shows that it succeeds with the suggested flags.
type denied struct {
	flags  string // for cordon run and cordon why, separated by spaces
	script string // for sh; for perl, if it begins with "perl "
	ask    string
	layer  string
	fails  string // a word of the error; "" means any error
	fixed  bool   // the flags of the answer make the script succeed
}

// The call numbers are for amd64. $H is a home and $W the working directory; both belong to the caller. $P is a process
// of the host, $T a port where a process of the host listens, and $A an abstract socket.
var denials = []denied{
	// Mounts: files that are not shown.
	{"", "cat $H/notes", "open:$H/notes", "mount", "No such file", true},
	{"", "ls $H/project", "open:$H/project", "mount", "No such file", true},
	{"-p mini", "cat /etc/hostname", "open:/etc/hostname", "mount", "No such file", true},
	{"-p mini", "ls /var/lib", "open:/var/lib", "mount", "No such file", true},
	{"-p mini", "cat $W/data", "open:$W/data", "mount", "No such file", true},
	{"", "perl socket(S,1,1,0);connect(S,pack('S a*',1,'$H/sock'))or die $!", "connect:$H/sock", "mount", "No such file", true},
	// Mounts: read-only, noexec.
	{"", "echo x >>data", "open:data:w", "mount", "Read-only", true},
	{"", "echo x >new", "open:new:w", "mount", "Read-only", true},
	{"", "mkdir sub/new", "open:sub/new:w", "mount", "Read-only", true},
	{"-p build", "echo x >$W.beside/file", "open:$W.beside/file:w", "mount", "", false}, // build shows another /var/tmp
	{"--ro $H/project", "echo x >$H/project/file", "open:$H/project/file:w", "mount", "Read-only", true},
	{"", "h=$(cat /proc/sys/kernel/hostname); echo $h >/proc/sys/kernel/hostname", "open:/proc/sys/kernel/hostname:w", "mount", "", false},
	{"--mount {bind:$W,mode:rw,noexec:true}", "$W/script", "open:$W/script:x", "mount", "ermission denied", false},
	{"", "cp /bin/true /dev/shm/t.$$; /dev/shm/t.$$; e=$?; rm /dev/shm/t.$$; exit $e", "open:/dev/shm/t:x", "mount", "ermission denied", false},
	// Hide rules and masks.
	{"", "cat /etc/shadow", "open:/etc/shadow", "mount", "ermission denied", false},
	{"--hide $W/data", "cat $W/data", "open:$W/data", "mount", "ermission denied", false},
	{"--hide **/*.env", "cat $W/sub/x.env", "open:sub/x.env", "mount", "ermission denied", false},
	{"--ro $H --hide $H/.ssh", "ls $H/.ssh", "open:$H/.ssh", "mount", "ermission denied", false},
	{"--ro $H --hide $H/.ssh", "cat $H/.ssh/id", "open:$H/.ssh/id", "mount", "ermission denied", false},
	// The file's own permissions.
	{"", "cat $W/sub/none", "open:sub/none", "file", "ermission denied", false},
	{"--rw $W", "echo >$W/sub/none", "open:sub/none:w", "file", "ermission denied", false},
	{"", "cat /nowhere/x", "open:/nowhere/x", "file", "No such file", false},
	{"", "./data", "exec:./data", "file", "ermission denied", false},
	// Landlock.
	{"--landlock-read /usr --landlock-read /etc", "cat $W/data", "open:$W/data", "landlock", "ermission denied", true},
	{"--landlock-read /usr --landlock-read /etc", "ls $W", "open:$W", "landlock", "ermission denied", true},
	{"--rw $W --landlock-write /tmp", "echo x >$W/data", "open:$W/data:w", "landlock", "ermission denied", true},
	{"--rw $W --landlock-write /tmp", "echo x >$W/fresh", "open:$W/fresh:w", "landlock", "ermission denied", false},
	{"--landlock-execute /usr", "$W/script", "open:$W/script:x", "landlock", "ermission denied", true},
	{"--net host", "perl socket(S,1,1,0);connect(S,pack('S a*',1,qq(\\0$A)))or die $!", "connect:@$A", "landlock", "not permitted", false},
	// System calls by number.
	{"", "perl syscall(250,0,-4,1)<0 and die $!", "keyctl", "seccomp", "not permitted", false},
	{"", "perl syscall(272,0x20000)<0 and die $!", "unshare(CLONE_NEWNS)", "seccomp", "not permitted", false},
	{"", "perl $p='/';syscall(161,$p)<0 and die $!", "chroot", "seccomp", "not permitted", false},
	{"", "perl $p='/tmp';syscall(165,$p,$p,$p,0,0)<0 and die $!", "mount", "seccomp", "not permitted", false},
	{"", "perl syscall(101,0,0,0,0)<0 and die $!", "ptrace", "seccomp", "not permitted", false},
	{"", "perl syscall(321,0,0,0)<0 and die $!", "bpf", "seccomp", "not permitted", false},
	{"", "perl syscall(425,1,0)<0 and die $!", "io_uring_setup", "seccomp", "", false},
	{"", "perl syscall(323,0)<0 and die $!", "userfaultfd", "seccomp", "not permitted", false},
	{"", "perl syscall(298,0,0,-1,-1,0)<0 and die $!", "perf_event_open", "seccomp", "not permitted", false},
	{"-p mini --deny-syscall getpgid", "perl syscall(121,0)<0 and die $!", "getpgid", "seccomp", "not permitted", false},
	{"-p narrow", "perl $i=syscall(29,0,4096,0x3b6);$i<0 and die $!;syscall(31,$i,0,0)", "shmget", "seccomp", "not permitted", true},
	// System calls by argument.
	{"", "perl socket(S,40,1,0)or die $!", "socket(AF_VSOCK, SOCK_STREAM, 0)", "seccomp", "family not supported", false},
	{"", "perl socket(S,2,1,262)or die $!", "socket(AF_INET, SOCK_STREAM, IPPROTO_MPTCP)", "seccomp", "Protocol not supported", false},
	{"", "perl socket(S,16,3,9)or die $!", "socket(AF_NETLINK, SOCK_RAW, NETLINK_AUDIT)", "seccomp", "Protocol not supported", false},
	{"", "perl socket(S,17,3,0)or die $!", "socket(AF_PACKET, SOCK_RAW, 0)", "seccomp", "family not supported", false},
	{"", "perl $x='x';ioctl(STDIN,0x5412,$x)or die $!", "ioctl(0, TIOCSTI)", "seccomp", "not permitted", false},
	{"", "perl syscall(135,0x400000)<0 and die $!", "personality(READ_IMPLIES_EXEC)", "seccomp", "not permitted", false},
	{"-p ruled", "perl syscall(140,0,0)<0 and die $!", "getpriority(PRIO_PROCESS)", "seccomp", "not permitted", true},
	// Capabilities.
	{"", "perl socket(S,2,1,0);bind(S,pack('S n N x8',2,80,0))or die $!", "cap:NET_BIND_SERVICE", "caps", "ermission denied", true},
	{"--uid 0 --gid 0", "perl socket(S,2,1,0);bind(S,pack('S n N x8',2,80,0))or die $!", "cap:NET_BIND_SERVICE", "caps", "ermission denied", true},
	{"--uid 1000 --gid 1000 --cap NET_BIND_SERVICE", "perl socket(S,2,1,0);bind(S,pack('S n N x8',2,80,0))or die $!", "cap:NET_BIND_SERVICE", "caps", "ermission denied", true},
	// Namespaces and the network.
	{"", "kill -0 $P", "signal:$P", "pid", "", false},
	{"", "perl socket(S,2,1,0);connect(S,pack('S n N x8',2,$T,0x7f000001))or die $!", "connect:127.0.0.1:$T", "net", "refused", true},
	{"", "perl socket(S,2,1,0);connect(S,pack('S n N x8',2,80,0xc0000201))or die $!", "connect:192.0.2.1:80", "net", "unreachable", false},
	{"", "perl socket(S,1,1,0);connect(S,pack('S a*',1,qq(\\0$A)))or die $!", "connect:@$A", "net", "refused", false},
	// Limits.
	{"--rlimit nofile=16", "perl open($f[$_],'</dev/null')or die $! for 0..40", "limit:rlimit=nofile=64", "limits", "Too many open files", true},
	{"--rw $W --rlimit fsize=1KiB", "perl open(F,'>big');print F 'x'x9999;close F or die $!", "limit:rlimit=fsize=16KiB", "limits", "", true},
	{"--timeout 300ms", "sleep 1", "limit:timeout=1m", "limits", "", true},
	// Interpreters.
	{"-p mini --ro $W", "$W/orphan", "exec:$W/orphan", "file", "", false},
	{"-p loaderless", "", "exec:/usr/bin/perl", "mount", "", false},
}

// emptyRoot is the beginning of a profile whose root has the system's programs and little else.
const emptyRoot = "version: 1\nextends: [base]\nroot: {empty: true}\nmounts: [{bind: /usr}, {symlink: /bin, to: usr/bin}, {symlink: /lib, to: usr/lib}, {symlink: /lib64, to: usr/lib64}, {dir: /etc}, {dir: /var}, {proc: /proc}, {dev: /dev}]\nenv: {keep: [PATH]}\nmissing: [landlock]\n"

// whyProfiles contains the profiles under which the denials of this test happen. A denial's flags contain a profile's
// key.
var whyProfiles = map[string]string{
	"mini":       emptyRoot + "syscalls: {allow: ['@system-service']}\n",
	"narrow":     emptyRoot + "syscalls: {allow: ['@basic-io', '@file-system', '@default', '@process', '@signal', '@io-event', execve, fcntl, prctl, ioctl, sysinfo, getrandom, getuid, getgid, geteuid, getegid]}\n",
	"ruled":      emptyRoot + "syscalls: {allow: ['@system-service'], rules: [getpriority: which == PRIO_USER]}\n",
	"loaderless": "version: 1\nextends: [base]\nroot: {empty: true}\nmounts: [{bind: /usr/bin}]\nsyscalls: {allow: ['@system-service']}\nmissing: [landlock]\n",
}

// scene has what the denials need: the caller's home and working directory, and listeners on the host.
type scene struct {
	dir, work, home string
	root            string // a root file system; "" means the host's root
	vars            map[string]string
}

func newScene(t *testing.T) *scene {
	dir := whyDir(t)
	s := &scene{dir: dir, work: filepath.Join(dir, "work"), home: filepath.Join(dir, "home")}
	port, name := listeners(t, s.home)
	s.vars = map[string]string{"H": s.home, "W": s.work, "P": strconv.Itoa(os.Getpid()), "T": port, "A": name}
	return s
}

func (s *scene) expand(text string) string {
	return os.Expand(text, func(v string) string {
		if is, found := s.vars[v]; found {
			return is
		}
		return "$" + v
	})
}

// flags returns the flags of a denial as separate words. A name of whyProfiles becomes the path of that profile's file.
func (s *scene) flags(d *denied) (flags []string) {
	if s.root != "" {
		flags = []string{"-p", "container", "--root", s.root}
	}
	for _, f := range strings.Fields(s.expand(d.flags)) {
		if _, found := whyProfiles[f]; found {
			f = filepath.Join(s.dir, f+".yaml")
		}
		flags = append(flags, strings.NewReplacer("{bind:", "{bind: ", ",mode:", ", mode: ", ",noexec:", ", noexec: ", ",target:", ", target: ").Replace(f))
	}
	return flags
}

// command returns the command that runs into the denial.
func (s *scene) command(d *denied) []string {
	if code, found := strings.CutPrefix(d.script, "perl "); found {
		return []string{"perl", "-e", s.expand(code)}
	}
	return []string{"sh", "-c", s.expand(d.script)}
}

// run runs a command in the working directory.
func (s *scene) run(t *testing.T, args ...string) (out []byte, text string, code int) {
	t.Helper()
	c := exec.Command(args[0], args[1:]...)
	c.Dir = s.work
	c.Env = []string{"HOME=" + s.home, "PATH=" + toolPath(), "LANG=C", "GOTRACEBACK=all"}
	var stdout, stderr bytes.Buffer
	c.Stdout, c.Stderr = &stdout, &stderr
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	// A launcher that hangs shows where: the runtime prints every goroutine.
	hangs := time.AfterFunc(2*time.Minute*slow, func() { _ = c.Process.Signal(unix.SIGABRT) })
	var exit *exec.ExitError
	if err := c.Wait(); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if !hangs.Stop() {
		t.Fatalf("%q hung:\n%s", args, stderr.String())
	}
	return stdout.Bytes(), stderr.String(), c.ProcessState.ExitCode()
}

// cordon runs a subcommand with the flags of a denial and further flags, followed by the arguments in about.
func (s *scene) cordon(t *testing.T, verb []string, d *denied, more []string, about ...string) (out []byte, text string, code int) {
	t.Helper()
	return s.run(t, slices.Concat([]string{filepath.Join(base, "bin/cordon")}, verb, s.flags(d), more, about)...)
}

// TestWhyIsRight asks `cordon why` about denials of every layer.
func TestWhyIsRight(t *testing.T) {
	if len(denials) < 40 {
		t.Fatalf("%d denials", len(denials))
	}
	s := newScene(t)
	for _, d := range denials {
		t.Run(d.ask+" "+d.flags, func(t *testing.T) {
			reset(t, s.work)
			run := func(more []string) (string, int) {
				_, text, code := s.cordon(t, []string{"run"}, &d, more, append([]string{"--"}, s.command(&d)...)...)
				return text, code
			}
			if text, code := run(nil); code == 0 || !strings.Contains(text, d.fails) {
				t.Fatalf("it is not denied: exit %d: %s", code, text)
			}
			out, text, code := s.cordon(t, []string{"why", "--json"}, &d, nil, s.expand(d.ask))
			var a struct {
				Layer, Verdict string
				Outcomes       []struct {
					Fix *struct {
						Flags      []string
						YAML, Note string
					}
				}
			}
			if err := json.Unmarshal(out, &a); err != nil || code != 1 {
				t.Fatalf("exit %d: %v: %s%s", code, err, out, text)
			}
			if a.Layer != d.layer || a.Verdict != "deny" {
				t.Errorf("%s by %s, want deny by %s: %s", a.Verdict, a.Layer, d.layer, out)
			}
			fix := a.Outcomes[0].Fix
			if fix == nil || len(fix.Flags) == 0 && fix.Note == "" && d.layer != "file" {
				t.Fatalf("no remedy: %s", out)
			}
			if !d.fixed {
				return
			}
			if text, code := run(fix.Flags); code != 0 {
				t.Errorf("with %q it is still denied: exit %d: %s", fix.Flags, code, text)
			}
		})
	}
}

// TestWhySetuid checks that `cordon why` says what no_new_privs takes away from a set-user-ID program. The program runs
// nevertheless.
func TestWhySetuid(t *testing.T) {
	c := exec.Command(filepath.Join(base, "bin/cordon"), "why", "exec:/usr/bin/su")
	c.Dir = "/var/tmp"
	out, err := c.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "no_new_privs is always set") {
		t.Errorf("%v: %s", err, out)
	}
}

// whyDir makes a home, a working directory and the profiles.
func whyDir(t *testing.T) string {
	own := filepath.Join(base, strconv.Itoa(os.Getuid()))
	if err := os.MkdirAll(own, 0o755); err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp(own, "why-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { removeAll(dir) })
	errs := []error{os.Chmod(dir, 0o755)}
	for _, d := range []string{"home/.ssh", "home/project", "work/sub", "work.beside"} {
		errs = append(errs, os.MkdirAll(filepath.Join(dir, d), 0o755))
	}
	for _, f := range []string{"home/notes", "home/.ssh/id", "home/project/file", "work/sub/x.env"} {
		errs = append(errs, os.WriteFile(filepath.Join(dir, f), []byte("text\n"), 0o644))
	}
	for name, text := range whyProfiles {
		errs = append(errs, os.WriteFile(filepath.Join(dir, name+".yaml"), []byte(text), 0o644))
	}
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	return dir
}

// reset restores the working directory, and the root beside it, because a script that is allowed changes them.
func reset(t *testing.T, work string) {
	for _, f := range []string{"new", "fresh", "sub/new", "big", "../root/srv/new", "../root/srv/d", "../root/srv/big", "../root/var"} {
		os.RemoveAll(filepath.Join(work, f))
	}
	os.Chmod(filepath.Join(work, "sub/none"), 0o600)
	var err error
	if file := filepath.Join(work, "../root/srv/f"); isDir(filepath.Dir(file)) {
		err = os.WriteFile(file, []byte("text\n"), 0o644)
	}
	err = errors.Join(err,
		os.WriteFile(filepath.Join(work, "data"), []byte("text\n"), 0o644),
		os.WriteFile(filepath.Join(work, "script"), []byte("#!/bin/sh\ntrue\n"), 0o755),
		os.WriteFile(filepath.Join(work, "orphan"), []byte("#!/no/such/interpreter\n"), 0o755),
		os.WriteFile(filepath.Join(work, "sub/none"), []byte("text\n"), 0o600),
		os.Chmod(filepath.Join(work, "sub/none"), 0))
	if err != nil {
		t.Fatal(err)
	}
}

// listeners makes listeners on the host: at a port, at an abstract name, and at a socket in the home.
func listeners(t *testing.T, home string) (port, name string) {
	name = "cordon-e2e-" + strconv.Itoa(os.Getpid())
	tcp, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	abstract, err := net.Listen("unix", "@"+name)
	if err != nil {
		t.Fatal(err)
	}
	file, err := net.Listen("unix", filepath.Join(home, "sock"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(home, "sock"), 0o777); err != nil {
		t.Fatal(err)
	}
	go func() { // a reader finds the end
		for {
			c, err := tcp.Accept()
			if err != nil {
				return
			}
			c.Close()
		}
	}()
	t.Cleanup(func() { tcp.Close(); abstract.Close(); file.Close() })
	_, port, _ = net.SplitHostPort(tcp.Addr().String())
	return port, name
}
