package learn

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"cordon/policy"
	"cordon/policy/lint"
	"cordon/policy/recording"
)

// rec returns a recording of the events of one program, whose home is /home/me and whose working directory is
// /home/me/src.
func rec(t testing.TB, events ...recording.Event) *recording.Recording {
	t.Helper()
	r := &recording.Recording{Header: recording.Header{Arch: "amd64", Runs: []recording.Run{{
		Backend: "bpf", Complete: true, Started: time.Unix(1.8e9, 0), Command: []string{"/usr/bin/tool"}, Home: "/home/me", Workdir: "/home/me/src",
	}}}}
	exe := r.Executable(recording.Executable{Path: "/usr/bin/tool"})
	for _, e := range events {
		if e.Count == 0 {
			e.Count = 1
		}
		if e.Kind != recording.KindPeak {
			e.Exe = exe
		}
		if err := r.Add(&e); err != nil {
			t.Fatalf("%+v: %v", e, err)
		}
	}
	return r
}

func call(name string, args ...recording.Arg) recording.Event {
	return recording.Event{Kind: recording.KindCall, Call: name, Args: args}
}

func file(name string, access recording.Access) recording.Event {
	return recording.Event{Kind: recording.KindPath, Path: name, Access: access, Type: recording.TypeFile}
}

func dir(name string, access recording.Access) recording.Event {
	return recording.Event{Kind: recording.KindPath, Path: name, Access: access, Type: recording.TypeDir}
}

func net(op, addr string, port uint16, name string) recording.Event {
	return recording.Event{Kind: recording.KindNet, Net: recording.Net{Op: op, Family: "inet", Proto: "tcp", Addr: addr, Port: port, Name: name}}
}

func failed(e recording.Event, errno string) recording.Event {
	e.Errno = errno
	return e
}

func learned(t testing.TB, opts Options, recs ...*recording.Recording) (*Facts, *Result) {
	t.Helper()
	f := &Facts{}
	for i, r := range recs {
		var b bytes.Buffer
		if err := r.Write(&b); err != nil {
			t.Fatal(err)
		}
		if err := f.Read("/x/"+string(rune('a'+i))+".rec", &b); err != nil {
			t.Fatal(err)
		}
	}
	secrets, env := guard(t)
	opts.Name, opts.Secrets, opts.Env = "tool", append(opts.Secrets, secrets...), env
	if opts.Parent == nil {
		opts.Extends, opts.Parent = []string{"base"}, base(t)
	}
	r, err := Learn(f, opts)
	if err != nil {
		t.Fatal(err)
	}
	return f, r
}

// replayed parses the text of a profile as the command does, and returns what Replay says about the facts.
func replayed(t testing.TB, text []byte, parent *policy.Profile, f *Facts) (denials []string) {
	t.Helper()
	p, err := policy.Parse("p.yaml", text)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	p.Extends = nil
	p = policy.Merge(parent, p)
	if err := policy.Validate(p); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	list, err := Replay(p, f)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range list {
		if !d.Maybe {
			denials = append(denials, string(d.Layer)+": "+d.What+": "+d.Why)
		}
	}
	return denials
}

func many(dir string, n int, access recording.Access) (list []recording.Event) {
	for i := range n {
		list = append(list, file(dir+"/f"+string(rune('a'+i)), access))
	}
	return list
}

func TestLearn(t *testing.T) {
	arg := func(name string, v uint64) recording.Arg { return recording.Arg{Name: name, Value: v} }
	socket := func(f, ty, p uint64) recording.Event {
		return call("socket", arg("family", f), arg("type", ty), arg("protocol", p))
	}
	for _, c := range []struct {
		name   string
		events []recording.Event
		opts   Options
		want   []string // lines of the profile; with note: in front, parts of notes
		not    []string
		denied []string // what the profile would still deny
		own    bool     // the program had its own network when it was recorded
	}{
		{name: "call and family", events: []recording.Event{call("openat", arg("flags", 0))},
			want: []string{"- openat # a.rec:3", "- openat2", "- exit_group", "# Not seen: what another version of libc would call"}, not: []string{"- creat"}},
		{name: "call that was refused", events: []recording.Event{failed(call("ptrace"), "EPERM"), failed(call("io_uring_setup"), "ENOSYS")},
			not: []string{"- ptrace", "- io_uring"}, want: []string{"note: the system call ptrace: it always ended with EPERM"}},
		{name: "call that base denies", events: []recording.Event{call("io_uring_setup")}, denied: []string{"seccomp: io_uring_setup: denied by io_uring_setup: errno(EPERM)"}},
		{name: "call of no table", events: []recording.Event{call("#9999")}, want: []string{"note: the system call #9999"}, denied: []string{"seccomp: #9999: no table has this number"}},
		{name: "clone3", events: []recording.Event{call("clone3", arg("flags", 0x11))}, want: []string{"- clone\n"}},
		{name: "sockets", events: []recording.Event{socket(1, 1, 0), socket(2, 1, 6), socket(2, 2, 0), socket(16, 3, 0)},
			want: []string{"family == AF_INET && in(type & 0xf, SOCK_DGRAM, SOCK_STREAM) || family == AF_NETLINK && protocol == NETLINK_ROUTE || family == AF_UNIX && type & 0xf == SOCK_STREAM"}},
		{name: "pairs of sockets", events: []recording.Event{call("socketpair", arg("family", 1), arg("type", 1), arg("protocol", 0))},
			want: []string{"{socketpair: family == AF_UNIX && type & 0xf == SOCK_STREAM}"}},
		{name: "raw sockets", events: []recording.Event{socket(2, 3, 1)}, want: []string{"{socket: family == AF_INET && type & 0xf == SOCK_RAW && protocol == 0x1}"}},
		{name: "no sockets", events: []recording.Event{call("read")}, want: []string{"# socket was not called", "{socket: errno(EPERM)}"}},
		{name: "ioctl", events: []recording.Event{call("ioctl", arg("cmd", 0x5401)), call("ioctl", arg("cmd", 0x5451))},
			want: []string{`{ioctl: "in(uint32(cmd), 0x5451, FIONBIO, FIONCLEX, TCGETS, TCGETS2, TIOCGWINSZ)"}`}},
		{name: "read only", events: []recording.Event{call("openat", arg("flags", 0))}, want: []string{"{openat: flags & (O_WRONLY | O_RDWR | O_CREAT | O_TRUNC) == 0}", "{openat2: errno(ENOSYS)}"}},
		{name: "not read only", events: []recording.Event{call("openat", arg("flags", 1))}, not: []string{"O_WRONLY"}},
		{name: "no execution of written memory", events: []recording.Event{call("mmap", arg("prot", 3)), call("mprotect", arg("prot", 1))},
			want: []string{"{mmap: prot & (PROT_WRITE | PROT_EXEC) != PROT_WRITE | PROT_EXEC}", "{mprotect: prot & PROT_EXEC == 0}"}},
		{name: "compiles at run time", events: []recording.Event{call("mmap", arg("prot", 7)), call("mprotect", arg("prot", 5))}, not: []string{"{mmap:", "{mprotect:"}},
		{name: "other architecture", events: []recording.Event{{Kind: recording.KindCall, Call: "read", Arch: "i386"}}, want: []string{"arches: [native, i386]", "note: the architecture i386"}},
		{name: "no other program", events: []recording.Event{call("read")}, want: []string{"exec: once"}},
		{name: "other programs", events: []recording.Event{call("execve")}, not: []string{"exec: once"}},

		{name: "file", events: []recording.Event{file("/etc/hosts", recording.Read)}, want: []string{"- {bind: /etc/hosts, optional: true} # a.rec:3"}},
		{name: "file that was not there", events: []recording.Event{failed(file("/etc/none", recording.Read), "ENOENT")}, not: []string{"/etc/none"}},
		{name: "directory", events: many("/usr/share/x", 6, recording.Read), want: []string{"- {bind: /usr/share/x, optional: true}", "note: /usr/share/x: granted for 6 files"}, not: []string{"/fa"}},
		{name: "few files", events: many("/usr/share/x", 5, recording.Read), want: []string{"/usr/share/x/fa", "/usr/share/x/fe"}, not: []string{"{bind: /usr/share/x,"}},
		{name: "tree", events: append(append(append(many("/usr/a/1", 6, recording.Read), many("/usr/a/2", 6, recording.Read)...), many("/usr/a/3", 6, recording.Read)...), many("/usr/a/4", 6, recording.Read)...),
			want: []string{"- {bind: /usr/a, optional: true}", "note: /usr/a: granted for 4 directories"}, not: []string{"/usr/a/1,"}},
		{name: "names alike", events: []recording.Event{file("/srv/d/part-001.csv", recording.Read), file("/srv/d/part-2.csv", recording.Read), file("/srv/d/part-30.csv", recording.Read), file("/srv/d/x", recording.Read)},
			want: []string{"- {bind: /srv/d, optional: true}", "note: /srv/d: granted for 3 files named part-*.csv: everything else in it can be read too"}, not: []string{"part-2"}},
		{name: "names by a hash", events: []recording.Event{file("/srv/d/0123abcd.o", recording.Read), file("/srv/d/ffffffffff.o", recording.Read), file("/srv/d/deadbeef.o", recording.Read)},
			want: []string{"- {bind: /srv/d, optional: true}", "3 files named *.o"}},
		{name: "few names alike", events: []recording.Event{file("/srv/d/a1", recording.Read), file("/srv/d/a2", recording.Read), file("/srv/d/b1", recording.Read)},
			want: []string{"/srv/d/a1", "/srv/d/b1"}, not: []string{"{bind: /srv/d,"}},
		{name: "names alike, kept apart", events: []recording.Event{file("/srv/d/a1", recording.Read), file("/srv/d/a2", recording.Read), file("/srv/d/a3", recording.Read)}, opts: Options{Names: 4},
			want: []string{"/srv/d/a1"}, not: []string{"{bind: /srv/d,"}},
		{name: "names alike beside a secret", events: []recording.Event{file("/home/me/.ssh/k1", recording.Read), file("/home/me/k1", recording.Read), file("/home/me/k2", recording.Read), file("/home/me/k3", recording.Read), file("/etc/k1", recording.Read), file("/etc/k2", recording.Read), file("/etc/k3", recording.Read)},
			want: []string{"~/k1", "~/k3", "/etc/k2", "note: read /home/me/.ssh/k1: it is a secret"}, not: []string{`{bind: "~"`, "{bind: /etc,", "{bind: ~/.ssh"},
			denied: []string{"mount: read /home/me/.ssh/k1: it is hidden"}},
		{name: "hidden names are not alike", events: []recording.Event{file("/srv/d/.k1", recording.Read), file("/srv/d/.k2", recording.Read), file("/srv/d/.k3", recording.Read)}, not: []string{"{bind: /srv/d,"}},
		{name: "written directories", events: []recording.Event{file("/home/me/src/c/1/a", recording.Create), file("/home/me/src/c/2/a", recording.Create), file("/home/me/src/c/3/a", recording.Create), file("/home/me/src/c/4/a", recording.Create)},
			want: []string{"- {bind: ./c, mode: rw, optional: true}", "note: ./c: granted for 4 directories in it: everything else in it can be read and written too"}, not: []string{"./c/1"}},
		{name: "never writes trees of the system", events: []recording.Event{file("/usr/c/1/a", recording.Create), file("/usr/c/2/a", recording.Create), file("/usr/c/3/a", recording.Create), file("/usr/c/4/a", recording.Create)},
			want: []string{"/usr/c/1, mode: rw"}, not: []string{"/usr/c, mode: rw"}},
		{name: "never the directory of a secret", events: many("/etc", 20, recording.Read), want: []string{"/etc/fa"}, not: []string{"{bind: /etc,"}},
		{name: "never the home directory", events: many("/home/me", 20, recording.Read), want: []string{"~/fa"}, not: []string{`{bind: "~"`}},
		{name: "never a directory with a secret deep in it", events: many("/home/me/.config", 20, recording.Read), want: []string{"~/.config/fa"}, not: []string{"{bind: ~/.config,"}},
		{name: "never above the working directory", events: many("/home", 20, recording.Read), not: []string{"{bind: /home,"}},
		{name: "secret", events: []recording.Event{file("/home/me/.ssh/id_rsa", recording.Read)}, want: []string{"note: read /home/me/.ssh/id_rsa: it is a secret, and not granted without --grant ~/.ssh/id_rsa"},
			not: []string{"{bind: ~/.ssh"}, denied: []string{"mount: read /home/me/.ssh/id_rsa: no mount shows it"}},
		{name: "secret that is granted", events: []recording.Event{file("/home/me/.ssh/id_rsa", recording.Read)}, opts: Options{Granted: []string{"~/.ssh/id_rsa"}},
			want: []string{"{bind: ~/.ssh/id_rsa, optional: true}"}, not: []string{"- ~/.ssh\n"}},
		{name: "secret by a pattern", events: []recording.Event{file("/home/me/src/.env", recording.Read)}, opts: Options{Secrets: []string{"**/.env"}},
			not: []string{"{bind: ./.env"}, denied: []string{"mount: read /home/me/src/.env: no mount shows it"}},
		{name: "socket of the host", events: []recording.Event{{Kind: recording.KindPath, Path: "/run/docker.sock", Access: recording.Connect, Type: recording.TypeSocket}},
			want: []string{"note: connect /run/docker.sock: it is"}, not: []string{"docker.sock,"}, denied: []string{"mount: connect /run/docker.sock: no mount shows it"}},
		{name: "never a directory of the host's sockets", events: many("/run/user/1000", 8, recording.Read), want: []string{"/run/user/1000/fa"}, not: []string{"{bind: /run/user/1000,"}},
		{name: "made beside the host's sockets", events: []recording.Event{file("/run/user/1000/x", recording.Create)}, want: []string{"{tmpfs: /run/user/1000,"}, not: []string{"bind: /run/user"}},
		{name: "placeholders", events: []recording.Event{file("/home/me/src/a", recording.Read), file("/home/me/.vimrc", recording.Read)},
			want: []string{"{bind: ./a, optional: true}", "{bind: ~/.vimrc, optional: true}"}},
		{name: "own number in proc", events: []recording.Event{file("/proc/1234/status", recording.Read), file("/proc/1234/task/1235/comm", recording.Write)}, not: []string{"/proc/"}},
		{name: "written in place", events: []recording.Event{file("/home/me/src/db", recording.Read|recording.Write)}, want: []string{"{bind: ./db, mode: rw, optional: true}"}},
		{name: "written on the host", events: []recording.Event{file("/etc/ld.so.preload", recording.Write)}, want: []string{"{bind: /etc/ld.so.preload, mode: rw, optional: true}", "note: writing /etc/ld.so.preload: it is the host's file"}},
		{name: "made", events: []recording.Event{dir("/home/me/src/out", recording.Create), file("/home/me/src/out/a", recording.Create|recording.Write)},
			want: []string{"{bind: ., mode: rw}", "note: .: something was made or removed in it", "- ~/.ssh\n"}, not: []string{"./out"}},
		{name: "removed", events: []recording.Event{file("/home/me/src/d/a", recording.Delete)}, want: []string{"{bind: ./d, mode: rw, optional: true}"}},
		{name: "temporary", events: []recording.Event{file("/tmp/x1", recording.Create|recording.Write), file("/tmp/x1", recording.Delete), file("/tmp/given", recording.Read)},
			want: []string{`{tmpfs: /tmp, size: 512MiB, mode: "1777"}`, "{bind: /tmp/given, optional: true}"}, not: []string{"/tmp/x1"}},
		{name: "made at home", events: []recording.Event{file("/home/me/.toolrc", recording.Create|recording.Write), file("/home/me/.vimrc", recording.Read)},
			want: []string{`{tmpfs: "~", size: 64MiB, mode: "0700"}`, "{bind: ~/.vimrc", "note: what is written in ~: it holds secrets or sockets"}},
		{name: "made in etc", events: []recording.Event{file("/etc/x.lock", recording.Create)}, want: []string{"{tmpfs: /etc,"}, not: []string{"{bind: /etc"}},
		{name: "made in the root", events: []recording.Event{file("/x", recording.Create)}, denied: []string{"mount: create /x: no mount shows it"}},
		{name: "listed", events: []recording.Event{dir("/usr/share/y", recording.List)}, want: []string{"{bind: /usr/share/y, optional: true}", "note: /usr/share/y: it was listed"}},
		{name: "home listed", events: []recording.Event{dir("/home/me", recording.List)}, want: []string{`{dir: "~"}`, "note: ~: it was listed, and would show too much"}},
		{name: "looked at", events: []recording.Event{dir("/srv/data", recording.Stat)}, want: []string{"{dir: /srv/data}"}},
		{name: "device", events: []recording.Event{{Kind: recording.KindPath, Path: "/dev/null", Access: recording.Write | recording.Create, Type: recording.TypeChar}, {Kind: recording.KindPath, Path: "/dev/kvm", Access: recording.Read | recording.Write, Type: recording.TypeChar}},
			want: []string{"note: read, write /dev/kvm: it is a device of the host, and not granted without --grant /dev/kvm"}, not: []string{"bind: /dev"},
			denied: []string{"mount: read, write /dev/kvm: the minimal /dev does not have this device"}},
		{name: "device that is granted", events: []recording.Event{{Kind: recording.KindPath, Path: "/dev/kvm", Access: recording.Read | recording.Write, Type: recording.TypeChar}},
			opts: Options{Granted: []string{"/dev/kvm"}}, want: []string{"{bind: /dev/kvm, mode: rw, optional: true}"}},
		{name: "link to a file", events: []recording.Event{{Kind: recording.KindPath, Path: "/usr/bin/mawk", Via: "/usr/bin/awk", Access: recording.Execute, Type: recording.TypeFile}},
			want: []string{"{bind: /usr/bin/mawk,", "{symlink: /usr/bin/awk, to: /usr/bin/mawk}"}},
		{name: "merged usr", events: []recording.Event{{Kind: recording.KindPath, Path: "/usr/lib/a/b.so", Via: "/lib/a/b.so", Access: recording.Map, Type: recording.TypeFile}},
			want: []string{"{symlink: /lib, to: /usr/lib}"}},
		{name: "link in a directory that is granted", events: append(many("/usr/bin", 6, recording.Execute), recording.Event{Kind: recording.KindPath, Path: "/usr/bin/fa", Via: "/usr/bin/al", Access: recording.Execute, Type: recording.TypeFile}),
			not: []string{"symlink"}},
		{name: "link behind a link", events: append(many("/usr/bin", 6, recording.Execute), recording.Event{Kind: recording.KindPath, Path: "/usr/bin/fa", Via: "/usr/bin/al", Access: recording.Execute, Type: recording.TypeFile},
			recording.Event{Kind: recording.KindPath, Path: "/usr/bin/fa", Via: "/etc/alternatives/al", Access: recording.Stat, Type: recording.TypeFile}),
			want: []string{"{symlink: /etc/alternatives/al, to: /usr/bin/fa}"}, not: []string{"symlink: /usr/bin/al"}},
		{name: "looked for, then made", events: []recording.Event{failed(file("/home/me/src/x", recording.Read), "ENOENT"), file("/home/me/src/x", recording.Create|recording.Write)},
			want: []string{"{bind: ., mode: rw}"}},
		{name: "sysfs", events: []recording.Event{file("/sys/devices/system/cpu/online", recording.Read)}, want: []string{"{sysfs: /sys, optional: true}", "note: /sys: granted for"}},
		{name: "name that no profile can say", events: []recording.Event{file("/x/a\nb", recording.Read)}, want: []string{"note: \"/x/a\\nb\": a profile cannot name such a path"}, denied: []string{"mount: read /x/a\nb: no mount shows it"}},

		{name: "outside", events: []recording.Event{net("connect", "93.184.216.34", 443, "example.org")},
			want: []string{"network: host # a.rec:3", "#   connect example.org:443 tcp (93.184.216.34) (a.rec:3)", "note: network: host: grants every address"}},
		{name: "server", events: []recording.Event{net("bind", "0.0.0.0", 80, "")}, want: []string{"network: host"}},
		{name: "loopback of its own", events: []recording.Event{net("bind", "127.0.0.1", 8080, ""), net("connect", "127.0.0.1", 8080, "")}, not: []string{"network:"}},
		{name: "a network of its own", own: true, events: []recording.Event{net("connect", "10.0.0.53", 53, ""), net("bind", "0.0.0.0", 0, ""), net("bind", "0.0.0.0", 80, ""), net("connect", "127.0.0.1", 40001, "")},
			want: []string{"note: connect 10.0.0.53:53: it was recorded in a network of its own", "note: bind 0.0.0.0:80: it was recorded"}, not: []string{"network:", "note: connect 127"}},
		{name: "nothing left the machine", events: []recording.Event{failed(net("connect", "10.0.0.53", 53, ""), "ENETUNREACH")}, not: []string{"network:"}},
		{name: "a service of the host", events: []recording.Event{net("connect", "127.0.0.1", 5432, "")}, want: []string{"network: host"}},
		{name: "order of addresses", events: []recording.Event{net("connect", "93.184.216.34", 0, "")}, not: []string{"network:"}},

		{name: "capability", events: []recording.Event{{Kind: recording.KindCap, Cap: "NET_BIND_SERVICE", By: "bind"}}, want: []string{"- NET_BIND_SERVICE # a.rec:3", "note: the capability NET_BIND_SERVICE"}, not: []string{"ambient"}},
		{name: "noise", events: []recording.Event{{Kind: recording.KindCap, Cap: "SYS_ADMIN", By: "cap_vm_enough_memory"}, {Kind: recording.KindCap, Cap: "FSETID", By: "write"}},
			not: []string{"SYS_ADMIN #", "FSETID #", "capabilities:"}, want: []string{"note: the capability SYS_ADMIN for cap_vm_enough_memory: the kernel keeps a reserve"}},
		{name: "capability that it went without", events: []recording.Event{failed(recording.Event{Kind: recording.KindCap, Cap: "SYS_NICE", By: "setpriority"}, "EPERM")}, not: []string{"capabilities:"}},

		{name: "limits", events: []recording.Event{
			{Kind: recording.KindPeak, Exe: -1, Peak: recording.PeakMemory, Value: 200<<20 + 1}, {Kind: recording.KindPeak, Exe: -1, Peak: recording.PeakPIDs, Value: 20},
			{Kind: recording.KindPeak, Exe: -1, Peak: recording.PeakFiles, Value: 100}},
			want: []string{"memory: 416MiB # a.rec:", "pids: 40 # a.rec:", "nofile: 208 # a.rec:", "# At most 201 MiB were used.", "- cgroup"}},
		{name: "little memory", events: []recording.Event{{Kind: recording.KindPeak, Exe: -1, Peak: recording.PeakMemory, Value: 1 << 20}}, want: []string{"memory: 256MiB # a.rec:"}},
		{name: "huge peak", events: []recording.Event{{Kind: recording.KindPeak, Exe: -1, Peak: recording.PeakFile, Value: 1<<64 - 1}}, denied: []string{"rlimits: file of 18446744073709551615: limits.rlimits.fsize is 4611686018427387904"}},
		{name: "threads", events: []recording.Event{call("clone", arg("flags", cloneThread|0x100))}, want: []string{"- futex\n", "- sched_yield\n", "- tgkill\n"}},
		{name: "no threads", events: []recording.Event{call("clone", arg("flags", 0x100))}, want: []string{"- rt_sigsuspend\n", "- tgkill\n", "- write\n"}, not: []string{"- nanosleep\n", "- epoll_pwait\n"}},
		{name: "multipath TCP", events: []recording.Event{socket(2, 1, 262), socket(2, 1, 0)}, want: []string{"note: a socket of multipath TCP: the profile below denies it"}},
		{name: "asks for its limit on files", events: []recording.Event{
			call("prlimit64", arg("resource", 7)), {Kind: recording.KindPeak, Exe: 0, Peak: recording.PeakFiles, Value: 9}},
			want: []string{"note: a limit on open files"}, not: []string{"nofile"}},
		{name: "asks for another", events: []recording.Event{
			call("prlimit64", arg("resource", 3)), {Kind: recording.KindPeak, Exe: 0, Peak: recording.PeakFiles, Value: 9}},
			want: []string{"nofile: 64"}},
		{name: "environment", events: []recording.Event{call("read")}, want: []string{"- PATH", "- LC_*"}, not: []string{"TOKEN"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			seen := rec(t, c.events...)
			if c.own {
				seen.Header.Runs[0].Network = recording.OwnNetwork
			}
			f, r := learned(t, c.opts, seen)
			text := r.YAML()
			all := string(text) + strings.Join(strings.Fields(string(text)), " ") + "\n" // as written, and long lines in one
			for _, n := range r.Notes {
				all += "note: " + n.What + ": " + n.Why + "\n"
			}
			for _, want := range c.want {
				if !strings.Contains(all, want) {
					t.Errorf("no %q", want)
				}
			}
			for _, not := range c.not {
				if strings.Contains(string(text), not) {
					t.Errorf("there is %q", not)
				}
			}
			denials := replayed(t, text, base(t), f)
			if strings.Join(denials, "\n") != strings.Join(c.denied, "\n") {
				t.Errorf("denied: %q, want %q", denials, c.denied)
			}
			if t.Failed() {
				t.Log(all)
			}
		})
	}
}

// TestSeveral checks that several recordings make one profile, which allows everything that any of them contains. The
// working directories of the runs all become ".", and the homes "~".
func TestSeveral(t *testing.T) {
	a, b := rec(t, call("read"), file("/home/me/src/x", recording.Read)), rec(t, call("ptrace"), file("/home/you/work/x", recording.Read), file("/home/you/.rc", recording.Read), call("execve"))
	b.Header.Runs[0].Home, b.Header.Runs[0].Workdir = "/home/you", "/home/you/work"
	f, r := learned(t, Options{}, a, b)
	text := string(r.YAML())
	for _, want := range []string{"- ptrace # b.rec:", "- read # a.rec:", "{bind: ./x, optional: true} # a.rec", "{bind: ~/.rc, optional: true} # b.rec"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if strings.Contains(text, "exec: once") || strings.Contains(text, "/home/you") {
		t.Errorf("%s", text)
	}
	if denied := replayed(t, []byte(text), base(t), f); len(denied) > 0 {
		t.Error(denied)
	}
	one := rec(t, call("read"))
	one.Header.Runs = append(one.Header.Runs, b.Header.Runs...) // this is what record --append does
	if _, r := learned(t, Options{}, one); !strings.Contains(r.Notes[0].Why, "began in different directories") {
		t.Errorf("%+v", r.Notes)
	}
	arm := rec(t)
	arm.Header.Arch = "arm64"
	var buf bytes.Buffer
	if err := arm.Write(&buf); err != nil {
		t.Fatal(err)
	}
	if err := f.Read("c.rec", &buf); err == nil || !strings.Contains(err.Error(), "c.rec:1: a recording of amd64 and one of arm64") {
		t.Errorf("error %v", err)
	}
}

// TestUnseen checks that learn allows calls that a back end (the recorder) does not show, unless the parent profile
// denies them.
func TestUnseen(t *testing.T) {
	r := rec(t, call("openat", recording.Arg{Name: "flags", Value: 0}))
	run := &r.Header.Runs[0]
	run.Backend, run.Complete, run.Why = "notify", false, []string{"not shown: read bpf openat", "not shown: mmap without PROT_EXEC; fcntl F_GETFD"}
	f, result := learned(t, Options{}, r)
	text := string(result.YAML())
	for _, want := range []string{"\n    # Not shown by the back end notify: whether they were called is not known.\n    - fcntl\n    - mmap\n    - read\n", "- openat # a.rec"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if strings.Contains(text, "bpf\n") || strings.Contains(text, "{mmap:") {
		t.Errorf("%s", text)
	}
	if denied := replayed(t, []byte(text), base(t), f); len(denied) > 0 {
		t.Error(denied)
	}
}

// TestTruncated checks that learn uses the part of a recording that ends too early, and that the profile says so.
func TestTruncated(t *testing.T) {
	var b bytes.Buffer
	if err := rec(t, call("read"), call("write")).Write(&b); err != nil {
		t.Fatal(err)
	}
	var f Facts
	if err := f.Read("a.rec", bytes.NewReader(b.Bytes()[:b.Len()-40])); err != nil {
		t.Fatal(err)
	}
	if len(f.Calls) != 1 || len(f.Truncated) != 1 {
		t.Fatalf("%+v", f)
	}
	r, err := Learn(&f, Options{Name: "x", Parent: base(t)})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(r.YAML()), "#   a.rec ends too early\n") {
		t.Errorf("%s", r.YAML())
	}
}

// TestHostileHeader checks that a recorded command line cannot write lines into the profile.
func TestHostileHeader(t *testing.T) {
	r := rec(t, call("read"))
	r.Header.Runs[0].Command = []string{"x\nsyscalls: {default: allow}\n#", "\x1b[31m"}
	r.Header.Runs[0].Why, r.Header.Runs[0].Complete = []string{"\nnetwork: host"}, false
	_, result := learned(t, Options{}, r)
	p, err := policy.Parse("x.yaml", result.YAML())
	if err != nil {
		t.Fatal(err)
	}
	if p.Network.Mode != policy.NetworkNone || p.Syscalls.Default == "allow" || bytes.ContainsRune(result.YAML(), 0x1b) {
		t.Errorf("%s", result.YAML())
	}
}

// TestReplay checks that Replay finds what a profile that was not learned would deny, for every layer.
func TestReplay(t *testing.T) {
	f, _ := learned(t, Options{}, rec(t, call("read"), call("ptrace"), call("openat", recording.Arg{Name: "flags", Value: 1}),
		file("/etc/hosts", recording.Read), file("/usr/x", recording.Write), file("/home/me/.ssh/id", recording.Read), net("connect", "10.0.0.5", 80, ""),
		recording.Event{Kind: recording.KindCap, Cap: "NET_ADMIN", By: "ioctl"}, recording.Event{Kind: recording.KindPeak, Exe: -1, Peak: recording.PeakPIDs, Value: 50}))
	text := `syscalls: {allow: [read, openat], rules: [{openat: flags & O_WRONLY == 0}]}
mounts: [{bind: /usr}, {bind: "~"}, {bind: /etc}]
hide: [~/.ssh]
limits: {pids: 10}
missing: [cgroup]
landlock: {read: [/usr, "~"]}
`
	got := strings.Join(replayed(t, []byte(text), &policy.Profile{}, f), "\n")
	want := `seccomp: openat(flags=O_WRONLY): not flags & O_WRONLY == 0: errno(EPERM)
seccomp: ptrace: not allowed: errno(EPERM)
landlock: read /etc/hosts: landlock.read does not list it
mount: read /home/me/.ssh/id: it is hidden
mount: write /usr/x: it is mounted read-only
net: connect 10.0.0.5:80: the sandbox has a network of its own
caps: NET_ADMIN for ioctl: the capability is not kept
cgroup: pids of 50: limits.pids is 10`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// FuzzLearn checks that learn makes a profile that Parse accepts, whatever the recording says, and that the profile
// shows no secret that the parent profile hides.
func FuzzLearn(f *testing.F) {
	var b bytes.Buffer
	r := rec(f, call("socket", recording.Arg{Name: "family", Value: 2}), file("/home/me/src/a", recording.Create), file("/etc/x", recording.Read), net("connect", "1.2.3.4", 5, "x"))
	if err := r.Write(&b); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Add(b.Bytes()[:bytes.LastIndex(b.Bytes(), []byte(`{"kind":"end"`))]) // without the end record more of it is read
	secrets, env := guard(f)
	parent := base(f)
	f.Fuzz(func(t *testing.T, in []byte) {
		var facts Facts
		if facts.Read("f.rec", bytes.NewReader(in)) != nil {
			return
		}
		r, err := Learn(&facts, Options{Name: "x", Extends: []string{"base"}, Parent: parent, Secrets: secrets, Env: env})
		if err != nil {
			t.Fatal(err)
		}
		p, err := policy.Parse("x.yaml", r.YAML())
		if err != nil {
			t.Fatalf("%v\n%s", err, r.YAML())
		}
		p.Extends = nil
		p = policy.Merge(parent, p)
		if err := policy.Validate(p); err != nil {
			t.Fatalf("%v\n%s", err, r.YAML())
		}
		if _, err := Replay(p, &facts); err != nil {
			t.Fatal(err)
		}
		for _, e := range lint.Exposures(p, "") {
			if e.Rule != "network" {
				t.Fatalf("%s\n%s", e, r.YAML())
			}
		}
	})
}
