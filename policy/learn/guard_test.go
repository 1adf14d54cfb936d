package learn

import (
	"bytes"
	"cmp"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"cordon/policy"
	"cordon/policy/recording"
)

// told returns a recording whose header says where the home and the working directory of the program were.
func told(t testing.TB, home, workdir string, events ...recording.Event) *recording.Recording {
	t.Helper()
	r := rec(t, events...)
	r.Header.Runs[0].Home, r.Header.Runs[0].Workdir = home, workdir
	r.Header.Runs[0].Started = time.Unix(1.8e9, 0)
	return r
}

func linked(via, to string, kind recording.FileType) recording.Event {
	return recording.Event{Kind: recording.KindPath, Path: to, Via: via, Access: recording.Read, Type: kind}
}

// learnedHere learns in the same way as the command, on a host with the homes of root, me, bob and svc.
func learnedHere(t testing.TB, opts Options, recs ...*recording.Recording) (string, *Result) {
	t.Helper()
	f := &Facts{Homes: []string{"/root", "/home/me", "/home/bob", "/srv/svc", "/usr/sbin", "/"}}
	for i, r := range recs {
		var b bytes.Buffer
		if err := r.Write(&b); err != nil {
			t.Fatal(err)
		}
		if err := f.Read(strconv.Itoa(i)+".rec", &b); err != nil {
			t.Fatal(err)
		}
	}
	secrets, env := guard(t)
	opts.Name, opts.Secrets, opts.Env = "tool", append(opts.Secrets, secrets...), env
	opts.Extends, opts.Parent, opts.Ordinary = []string{"base"}, base(t), ordinary(t)
	r, err := Learn(f, opts)
	if err != nil {
		t.Fatal(err)
	}
	var notes strings.Builder
	for _, n := range r.Notes {
		notes.WriteString(string(n.Kind) + ": " + n.What + ": " + n.Why + "\n")
	}
	return notes.String(), r
}

// orders calls do with the recordings in every possible order.
func orders(recs []*recording.Recording, do func([]*recording.Recording)) {
	if len(recs) < 2 {
		do(recs)
		return
	}
	var swap func(int)
	swap = func(n int) {
		if n == len(recs) {
			do(slices.Clone(recs))
			return
		}
		for i := n; i < len(recs); i++ {
			recs[n], recs[i] = recs[i], recs[n]
			swap(n + 1)
			recs[n], recs[i] = recs[i], recs[n]
		}
	}
	swap(0)
}

// TestSecretsOfAll checks that learn never grants a secret, and lists it in a note. What recordings say about homes,
// and their order, must not matter.
func TestSecretsOfAll(t *testing.T) {
	const me, src = "/home/me", "/home/me/src"
	plain := func() *recording.Recording { return told(t, me, src, file(src+"/a.c", recording.Read)) }
	for _, tt := range []struct {
		name   string
		recs   []*recording.Recording
		secret string // must be absent from the profile, and named in a note
	}{
		{"the own", []*recording.Recording{plain(), told(t, me, src, file(me+"/.ssh/id_rsa", recording.Read))}, "/.ssh/id_rsa"},
		{"HOME elsewhere", []*recording.Recording{plain(), told(t, "/tmp/x", src, file(me+"/.ssh/id_rsa", recording.Read))}, "/.ssh/id_rsa"},
		{"no HOME", []*recording.Recording{plain(), told(t, "", src, file(me+"/.ssh/id_rsa", recording.Read))}, "/.ssh/id_rsa"},
		{"HOME is /", []*recording.Recording{told(t, "/", src, file(me+"/.aws/credentials", recording.Read))}, ".aws/credentials"},
		{"HOME in the secret", []*recording.Recording{plain(), told(t, me+"/.ssh", src, file(me+"/.ssh/id_rsa", recording.Read))}, "id_rsa"},
		{"HOME in the secret, alone", []*recording.Recording{told(t, me+"/.ssh", src, file(me+"/.ssh/id_rsa", recording.Read))}, "id_rsa"},
		{"HOME in another's secret", []*recording.Recording{told(t, "/home/bob/.ssh", src, file("/home/bob/.ssh/id_rsa", recording.Read))}, "id_rsa"},
		{"HOME deeper in the secret", []*recording.Recording{told(t, me+"/.ssh/keys", src, file(me+"/.ssh/keys/k", recording.Read))}, "keys/k"},
		{"HOME in root's secret", []*recording.Recording{told(t, "/root/.aws", src, file("/root/.aws/credentials", recording.Read))}, "credentials"},
		{"HOME in root's secret, its directory", []*recording.Recording{told(t, "/root/.aws", src, dir("/root/.aws", recording.List))}, "/root/.aws"},
		{"HOME above a secret", []*recording.Recording{told(t, me+"/.config", src, file(me+"/.config/gh/hosts.yml", recording.Read))}, "gh"},
		{"HOME in the secret of a home in no list", []*recording.Recording{told(t, "/data/u/.ssh", src, file("/data/u/.ssh/id_rsa", recording.Read))}, "id_rsa"},
		{"the working directory is the secret of a home in no list", []*recording.Recording{told(t, "", "/data/u/.ssh", file("/data/u/.ssh/id_rsa", recording.Read))}, "id_rsa"},
		{"the working directory is the secret", []*recording.Recording{plain(), told(t, me, me+"/.ssh", file(me+"/.ssh/id_rsa", recording.Read))}, "id_rsa"},
		{"of another user", []*recording.Recording{plain(), told(t, me, src, file("/home/bob/.netrc", recording.Read))}, "/home/bob/.netrc"},
		{"of a user that nobody knows", []*recording.Recording{told(t, me, src, file("/home/eve/.config/gh/hosts.yml", recording.Read))}, "/home/eve/.config/gh"},
		{"of root", []*recording.Recording{told(t, me, src, file("/root/.kube/config", recording.Read))}, "/root/.kube"},
		{"of a service", []*recording.Recording{told(t, me, "/srv/svc", file("/srv/svc/.ssh/id", recording.Read))}, ".ssh/id"},
		{"of a home in no list", []*recording.Recording{told(t, "", src, file("/data/u/.ssh/id_rsa", recording.Read))}, "/data/u/.ssh/id_rsa"},
		{"that is a link", []*recording.Recording{plain(), told(t, me, src, linked(me+"/.ssh/id_rsa", "/opt/keys/k", recording.TypeFile))}, "/opt/keys/k"},
		{"in a directory that is a link", []*recording.Recording{told(t, me, src, linked(me+"/.aws/config", "/opt/aws/config", recording.TypeFile)),
			told(t, me, src, file("/opt/aws/credentials", recording.Read))}, "/opt/aws/credentials"},
		{"a link, read by its place in another recording", []*recording.Recording{told(t, me, src, linked(me+"/.netrc", "/opt/n", recording.TypeFile)), told(t, "", src, file("/opt/n", recording.Read))}, "/opt/n"},
		{"a link, by many other names before", []*recording.Recording{told(t, me, src, append(aliases("/opt/keys/k", 200), linked(me+"/.ssh/id_rsa", "/opt/keys/k", recording.TypeFile))...)}, "/opt/keys/k"},
		{"of the system", []*recording.Recording{told(t, "/root", "/", file("/etc/sudoers.d/x", recording.Read))}, "/etc/sudoers.d/x"},
		{"tmux", []*recording.Recording{told(t, me, src, socketAt("/tmp/tmux-1000/default", recording.Connect))}, "/tmp/tmux-1000/default"},
		{"tmux, looked at", []*recording.Recording{told(t, me, src, socketAt("/tmp/tmux-1000/default", recording.Stat))}, "/tmp/tmux-1000/default"},
		{"a socket of no table", []*recording.Recording{told(t, me, src, socketAt(src+"/x.sock", recording.Connect))}, "x.sock"},
		{"/dev/mem", []*recording.Recording{told(t, me, src, recording.Event{Kind: recording.KindPath, Path: "/dev/mem", Access: recording.Read, Type: recording.TypeChar})}, "/dev/mem"},
		{"/dev/mem, said to be a file", []*recording.Recording{told(t, me, src, file("/dev/mem", recording.Read))}, "/dev/mem"},
		{"a disk", []*recording.Recording{told(t, me, src, recording.Event{Kind: recording.KindPath, Path: "/srv/disk", Access: recording.Write, Type: recording.TypeBlock})}, "/srv/disk"},
		{"all devices", []*recording.Recording{told(t, me, src, dir("/dev/mapper", recording.List))}, "/dev/mapper"},
		{"kcore", []*recording.Recording{told(t, me, src, file("/proc/kcore", recording.Read))}, "/proc/kcore"},
	} {
		orders(tt.recs, func(recs []*recording.Recording) {
			notes, r := learnedHere(t, Options{}, recs...)
			for i := range r.Profile.Mounts {
				if m := &r.Profile.Mounts[i]; within(strings.TrimSuffix(m.Source, "/"), tt.secret) && m.Source != "" || strings.Contains(m.Source, strings.TrimPrefix(tt.secret, "/")) {
					t.Errorf("%s: granted: %+v", tt.name, m)
				}
			}
			if !strings.Contains(notes, tt.secret) {
				t.Errorf("%s: no note:\n%s", tt.name, notes)
			}
		})
	}
}

func socketAt(name string, access recording.Access) recording.Event {
	return recording.Event{Kind: recording.KindPath, Path: name, Access: access, Type: recording.TypeSocket}
}

// aliases returns n links with harmless names that lead to one path.
func aliases(to string, n int) (list []recording.Event) {
	for i := range n {
		list = append(list, linked("/srv/links/"+strconv.Itoa(i), to, recording.TypeFile))
	}
	return list
}

// TestOrder checks that the order of recordings does not change what is granted. It changes only what . and ~ mean in
// messages.
func TestOrder(t *testing.T) {
	recs := []*recording.Recording{
		told(t, "/home/me", "/work/x", file("/work/x/data", recording.Read), file("/work/y/other", recording.Read), file("/home/bob/diary", recording.Read)),
		told(t, "/home/bob", "/work/y", file("/work/y/data", recording.Read), file("/home/bob/notes", recording.Read), file("/srv/z", recording.Read)),
		told(t, "", "/work/y", file("/home/bob/.netrc", recording.Read), file("/etc/hosts", recording.Read)),
	}
	want := ""
	orders(recs, func(recs []*recording.Recording) {
		notes, r := learnedHere(t, Options{}, recs...)
		var list []string
		for i := range r.Profile.Mounts {
			list = append(list, r.Profile.Mounts[i].Place())
		}
		slices.Sort(list)
		got := strings.Join(list, " ")
		if want == "" {
			want = got
		}
		if got != want || strings.Contains(got, "diary") || strings.Contains(got, "other") || !strings.Contains(got, "./data") {
			t.Errorf("%s, not %s\n%s", got, want, notes)
		}
	})
}

// TestElsewhere checks that a grant outside of the system's directories and of the working directory has a note.
func TestElsewhere(t *testing.T) {
	notes, _ := learnedHere(t, Options{}, told(t, "/home/me", "/home/me/src", file("/srv/data/x", recording.Read), file("/home/me/diary", recording.Read), file("/home/me/src/a.c", recording.Read),
		file("/usr/share/y", recording.Read), file("/etc/hosts", recording.Read)))
	for _, want := range []string{"granted: reading /srv/data/x: ", "granted: reading ~/diary: "} {
		if !strings.Contains(notes, want) {
			t.Errorf("no %q in\n%s", want, notes)
		}
	}
	if strings.Contains(notes, "a.c") || strings.Contains(notes, "/usr/share/y") || strings.Contains(notes, "/etc/hosts") {
		t.Error(notes)
	}
	notes, _ = learnedHere(t, Options{}, told(t, "/home/me", "/home/me", file("/home/me/diary", recording.Read)))
	if !strings.Contains(notes, "diary") {
		t.Errorf("the home is the working directory:\n%s", notes)
	}
	_, r := learnedHere(t, Options{}, told(t, "/srv/false", "/work", file("/srv/false/Documents/x", recording.Read)))
	if m := r.Profile.Mounts; len(m) != 1 || m[0].Source != "/srv/false/Documents/x" {
		t.Errorf("~ is a directory that only the recording calls home: %+v", m)
	}
}

// TestBarredCalls checks that learn does not grant a call that the profile default denies, unless the user names it.
// The call must be listed.
func TestBarredCalls(t *testing.T) {
	arg := func(name string, v uint64) recording.Arg { return recording.Arg{Name: name, Value: v} }
	socket := func(f, ty, p uint64) recording.Event {
		return call("socket", arg("family", f), arg("type", ty), arg("protocol", p))
	}
	denied := []recording.Event{
		call("ptrace"), call("process_vm_readv"), call("bpf", arg("cmd", 5)), call("mount"), call("unshare", arg("flags", 0x10000000)), call("setns", arg("nstype", 0)),
		call("keyctl", arg("op", 1)), call("init_module"), call("reboot"), call("iopl"), call("perf_event_open"), call("io_uring_setup"), call("userfaultfd"), call("kexec_load"),
	}
	for _, e := range denied {
		r := told(t, "/home/me", "/work", e, call("getpid"))
		notes, result := learnedHere(t, Options{}, r)
		if !strings.Contains(notes, "left: the system call "+e.Call) || !strings.Contains(notes, "--grant-call "+e.Call) {
			t.Errorf("%s: no note:\n%s", e.Call, notes)
		}
		if allows(result.Profile, e.Call) {
			t.Errorf("%s is allowed", e.Call)
		}
		notes, result = learnedHere(t, Options{Calls: []string{e.Call}}, r)
		if !allows(result.Profile, e.Call) || !strings.Contains(notes, "granted: the system call "+e.Call) {
			t.Errorf("%s is not allowed though it was granted:\n%s", e.Call, notes)
		}
	}
	for _, tt := range []struct {
		e    recording.Event
		rule string // must be absent from the rules
	}{
		{socket(40, 1, 0), "AF_VSOCK"}, {socket(17, 3, 0), "AF_PACKET"}, {call("ioctl", arg("cmd", 0x5412)), "TIOCSTI"},
		{call("personality", arg("persona", 0x400000)), "READ_IMPLIES_EXEC"}, {call("clone", arg("flags", 0x10000011)), "CLONE_NEWUSER"},
	} {
		notes, result := learnedHere(t, Options{}, told(t, "/home/me", "/work", tt.e, socket(1, 1, 0), call("ioctl", arg("cmd", 0x5401))))
		if !strings.Contains(notes, "left: the system call "+tt.e.Call+"(") {
			t.Errorf("%s: no note:\n%s", tt.rule, notes)
		}
		for _, r := range result.Profile.Syscalls.Rules {
			if strings.Contains(r.Expr, tt.rule) {
				t.Errorf("%s: %s", tt.rule, r.Expr)
			}
		}
	}
}

// TestNotShown checks that a recording cannot get a call allowed by a claim that the back end (the recorder) does not
// record it.
func TestNotShown(t *testing.T) {
	r := told(t, "/home/me", "/work", call("getpid"))
	r.Header.Runs[0].Complete, r.Header.Runs[0].Why = false, []string{"not shown: read ptrace bpf chroot", "not shown: mount by the way; process_vm_readv too"}
	notes, result := learnedHere(t, Options{}, r)
	for _, name := range []string{"ptrace", "bpf", "mount", "process_vm_readv", "chroot"} {
		if allows(result.Profile, name) {
			t.Errorf("%s is allowed\n%s", name, notes)
		}
	}
	if !allows(result.Profile, "read") {
		t.Error("read is not allowed")
	}
}

func allows(p *policy.Profile, call string) bool {
	return slices.ContainsFunc(p.Syscalls.Allow, func(i policy.SyscallItem) bool { return i.Name == call }) ||
		slices.ContainsFunc(p.Syscalls.Rules, func(r policy.SyscallRule) bool { return r.Call == call && !strings.HasPrefix(r.Expr, "errno") })
}

// ordinary returns the profile default, merged with the profiles that it extends.
func ordinary(t testing.TB) *policy.Profile {
	t.Helper()
	text, err := os.ReadFile("../../profiles/default.yaml")
	if err != nil {
		t.Fatal(err)
	}
	p, err := policy.Parse("default.yaml", text)
	if err != nil {
		t.Fatal(err)
	}
	p.Extends = nil
	return policy.Merge(base(t), p)
}

// TestMaskedProc checks that the masks of a mount of proc apply wherever it is mounted. A mask may be a path, or a name
// below the mount.
func TestMaskedProc(t *testing.T) {
	said := func(list ...string) policy.Opt[[]string] { return policy.Opt[[]string]{Set: true, V: list} }
	for _, tt := range []struct {
		m      policy.Mount
		path   string
		writes bool
		want   bool
	}{
		{policy.Mount{}, "/proc/kcore", false, true},
		{policy.Mount{}, "/proc/sys/kernel/x", false, false},
		{policy.Mount{}, "/proc/sys/kernel/x", true, true},
		{policy.Mount{Target: "/p"}, "/p/kcore", false, true},
		{policy.Mount{Target: "/p", Mask: said("/p/meminfo")}, "/p/meminfo", false, true},
		{policy.Mount{Target: "/p", Mask: said("meminfo")}, "/p/meminfo", false, true},
		{policy.Mount{Mask: said()}, "/proc/kcore", false, false},
	} {
		target := cmp.Or(tt.m.Target, "/proc")
		if got := (&view{}).inProc(&tt.m, target, tt.path, tt.writes); (got != refusal{}) != tt.want {
			t.Errorf("%s in %+v: %+v", tt.path, tt.m, got)
		}
	}
}
