package sandbox

import (
	"path/filepath"
	"strconv"
	"testing"

	"cordon/policy"
	"cordon/sandbox/host"
	"cordon/sandbox/internal/attach"
	"cordon/sandbox/internal/compile"
	"cordon/sandbox/internal/sandboxtest"
)

// fakeSandbox returns a running sandbox on a described machine, and that machine. The sandbox's tree is the machine's.
func fakeSandbox(t *testing.T, h *host.Host, p *policy.Profile) (*host.Host, *Attached) {
	t.Helper()
	files := h.Files.(sandboxtest.FakeFiles)
	const root = "/proc/self/fd/90"
	for name, f := range sandboxtest.FakeTree() {
		if name != "/" {
			files[root+name] = f
		}
	}
	files.Dir(root)
	files.Put("/proc/self/status", sandboxtest.FakeFile{Text: "Groups:\t\n"})
	a := &Attached{Caller: h.UID, Profile: p, Cwd: h.Cwd, Home: h.Home, Workdir: "/tmp", Env: []string{"PATH=/usr/bin:/bin", "LANG=C"}, NewUser: true, Umask: 0o22,
		UID: h.UID, GID: h.GID, SetGroups: "deny", Limits: []attach.ResourceLimit{{Resource: 4, Soft: 0, Hard: 0}, {Resource: 7, Soft: 1024, Hard: 4096}}, UIDs: strconv.Itoa(h.UID), GIDs: strconv.Itoa(h.GID)}
	if h.Privileged {
		a.SetGroups = "allow"
	}
	a = a.With(map[string]int{attach.FileRoot: 90, attach.FileRuleset: 91, compile.FileCgroup: 92, compile.FileTasks + "pids": 93})
	for i, k := range host.Kinds {
		own := k.Name + ":[1]"
		files.Link("/proc/self/ns/"+k.Name, own)
		s := attach.Space{Kind: k.Name, ID: k.Name + ":[2]"}
		if k.Name == "time" {
			s.ID, s.Host = own, true
		}
		a.Spaces = append(a.Spaces, s)
		a.Descriptors()[attach.FileSpace+k.Name] = 80 + i
	}
	var err error
	c := &compile.Compilation{Profile: p}
	if a.Filter, err = c.JoinFilter(); err != nil {
		t.Fatal(err)
	}
	return h, a
}

// execPlans lists plans of programs that join a sandbox.
func execPlans() map[string]struct {
	host    *host.Host
	profile string
} {
	return map[string]struct {
		host    *host.Host
		profile string
	}{
		"exec-user":        {sandboxtest.FakeUser(), "default"},
		"exec-root":        {sandboxtest.FakeRoot(), "default"},
		"exec-user-strict": {sandboxtest.FakeUser(), "strict"},
	}
}

func TestGoldenExec(t *testing.T) {
	for name, tt := range execPlans() {
		t.Run(name, func(t *testing.T) {
			h, a := fakeSandbox(t, tt.host, sandboxtest.Shipped(t, tt.profile))
			pl, err := Compile(a.Profile, h, &Cmd{Into: a, Args: []string{"/home/ann/src/demo/build.sh", "all"}, Env: []string{"LANG=de"}})
			if err != nil {
				t.Fatal(err)
			}
			golden(t, filepath.Join("testdata", "golden", name+".txt"), planText(t, pl))
		})
	}
}

// TestExecRefusesBefore checks what is refused before anything is done.
func TestExecRefusesBefore(t *testing.T) {
	tests := []struct {
		name   string
		change func(*host.Host, *Attached)
		want   string
	}{
		{"another user", func(_ *host.Host, a *Attached) { a.Caller = 1001 }, "exec: the sandbox was started by user 1001, and only that user can join it"},
		{"a group", func(h *host.Host, _ *Attached) {
			h.Files.(sandboxtest.FakeFiles).Put("/proc/self/status", sandboxtest.FakeFile{Text: "Groups:\t27 1000\n"})
		}, "exec: the caller has the group 27, which the sandbox's task does not have, and it cannot be left"},
		{"another net", func(_ *host.Host, a *Attached) { a.Space("net").Host = true },
			"exec: the sandbox shares the net namespace in which it was started, which differs from the one here"},
		{"all processes", func(_ *host.Host, a *Attached) {
			a.Space("pid").ID = "pid:[1]"
			a.Profile.Capabilities.Keep = capabilities("SYS_PTRACE")
		}, "pid: exec: the sandbox sees your processes and keeps SYS_PTRACE, so it could take over the new program"},
		{"another filter", func(_ *host.Host, a *Attached) { a.Filter = nil }, "exec: the filter is not the sandbox's"},
	}
	for _, tt := range tests {
		h, a := fakeSandbox(t, sandboxtest.FakeUser(), sandboxtest.Shipped(t, "default"))
		tt.change(h, a)
		_, err := Compile(a.Profile, h, &Cmd{Into: a, Args: []string{"true"}})
		if err == nil || err.Error() != tt.want {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}
