package state

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"cordon/sandbox/host"
	"cordon/sandbox/internal/fail"
	"cordon/sandbox/report"
)

// stateDir returns a state directory that only this test uses.
func stateDir(t *testing.T) *StateDir {
	t.Helper()
	parent := t.TempDir()
	if err := os.Chmod(parent, 0o700); err != nil {
		t.Fatal(err)
	}
	d, err := OpenStateDir(parent + "/cordon")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return d
}

func newEntry(t *testing.T, d *StateDir, name string) *Entry {
	t.Helper()
	e, err := d.Create(State{Name: name, Args: []string{"true"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return e
}

func findEntry(t *testing.T, d *StateDir, ref string) *Entry {
	t.Helper()
	e, err := d.Find(ref)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return e
}

// TestOpenStateDir refuses a directory that others may use, and a file that is no directory.
func TestOpenStateDir(t *testing.T) {
	for _, tt := range []struct {
		name string
		make func(parent string) error
		want string // in the error; "" for none
	}{
		{"nothing there", func(string) error { return nil }, ""},
		{"there already", func(p string) error { return os.Mkdir(p+"/cordon", 0o700) }, ""},
		{"group-writable", func(p string) error { return errors.Join(os.Mkdir(p+"/cordon", 0o700), os.Chmod(p+"/cordon", 0o770)) }, "has mode 770"},
		{"readable", func(p string) error { return errors.Join(os.Mkdir(p+"/cordon", 0o700), os.Chmod(p+"/cordon", 0o755)) }, "has mode 755"},
		{"a link", func(p string) error { return errors.Join(os.Mkdir(p+"/x", 0o700), os.Symlink("x", p+"/cordon")) }, "symbolic link"},
		{"a dangling link", func(p string) error { return os.Symlink("x", p+"/cordon") }, "symbolic link"},
		{"a file", func(p string) error { return os.WriteFile(p+"/cordon", nil, 0o600) }, "not a directory"},
		{"a parent that others write", func(p string) error { return os.Chmod(p, 0o777) }, "the directory it is in has mode 777"},
		{"no parent", os.Remove, "no such file"},
		{"another's", func(p string) error {
			return errors.Join(os.Mkdir(p+"/cordon", 0o700), os.Chown(p+"/cordon", 4321, 4321))
		}, "belongs to user 4321"},
		{"another's parent", func(p string) error { return os.Chown(p, 4321, 4321) }, "the directory it is in belongs to user 4321"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			parent := filepath.Join(t.TempDir(), "run")
			if err := os.Mkdir(parent, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := tt.make(parent); errors.Is(err, unix.EPERM) {
				t.Skip("only root gives files away")
			} else if err != nil {
				t.Fatal(err)
			}
			d, err := OpenStateDir(parent + "/cordon")
			if tt.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				d.Close()
				return
			}
			var e *fail.Error
			if !errors.As(err, &e) || !strings.Contains(e.Error(), tt.want) || e.Hint == "" {
				t.Errorf("%v, want %q and a hint", err, tt.want)
			}
		})
	}
}

func TestNames(t *testing.T) {
	for name, ok := range map[string]bool{
		"a": true, "A-b_c.9": true, "9": true, strings.Repeat("a", 63): true,
		".": false, "..": false, "-a": false, "_a": false, "a/b": false, "a@b": false, "a b": false, "a\n": false, "ä": false, strings.Repeat("a", 64): false,
	} {
		if err := checkName(name); (err == nil) != ok {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// TestOneNameOnce lets many launchers ask for the same name. One of them must get the name, and the others must leave
// nothing.
func TestOneNameOnce(t *testing.T) {
	d := stateDir(t)
	var wg sync.WaitGroup
	got := make(chan *Entry, 20)
	for range 20 {
		wg.Go(func() {
			e, err := d.Create(State{Name: "x"})
			if err == nil {
				got <- e
			} else if !strings.Contains(err.Error(), "in use by sandbox") {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	close(got)
	if len(got) != 1 {
		t.Fatalf("%d have the name", len(got))
	}
	e := <-got
	defer e.Close()
	all, err := os.ReadDir(d.Path())
	if err != nil || len(all) != 2 || all[0].Name() != e.State.ID+"@x" || all[1].Name() != lockFile {
		t.Errorf("%v %v", all, err)
	}
}

// TestFind finds a sandbox by its name, its ID or the beginning of the ID. If there is none, the error names similar
// ones.
func TestFind(t *testing.T) {
	d := stateDir(t)
	web, db := newEntry(t, d, "web"), newEntry(t, d, "")
	for _, ref := range []string{"web", web.State.ID, web.State.ID[:8]} {
		if e := findEntry(t, d, ref); e.State.ID != web.State.ID {
			t.Errorf("%s: %+v", ref, e.State)
		}
	}
	if e := findEntry(t, d, db.State.ID); e.State.Name != "" {
		t.Errorf("%+v", e.State)
	}
	for ref, want := range map[string]string{"wbe": "did you mean web?", "zzz": "cordon ps -a", "": "cordon ps -a", web.State.ID[:1]: ""} {
		_, err := d.Find(ref)
		var e *NotFoundError
		if !errors.As(err, &e) || !strings.Contains(e.Hint, want) {
			t.Errorf("%q: %v", ref, err)
		}
	}
	// The IDs of these two begin alike.
	for _, id := range []string{"aabb00000000", "aabb11111111"} {
		if err := os.Mkdir(d.Path()+"/"+id, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := d.Find("aabb"); err == nil || !strings.Contains(err.Error(), "aabb00000000, aabb11111111") {
		t.Error(err)
	}
	if _, err := d.Find("aabb1"); err == nil { // without a state it is none
		t.Error("found")
	}
}

// TestStatus checks the status if the launcher lives, has ended, and was killed.
func TestStatus(t *testing.T) {
	d := stateDir(t)
	ended, killed := newEntry(t, d, "ended"), newEntry(t, d, "killed")
	seen := findEntry(t, d, "ended")
	if s := seen.Status(); s != StatusStarting || seen.Ending() != nil {
		t.Error(s)
	}
	waited := make(chan *Ending)
	go func() {
		end, err := seen.Wait()
		if err != nil {
			t.Error(err)
		}
		waited <- end
	}()
	select {
	case <-waited:
		t.Fatal("it waits for nothing")
	case <-time.After(50 * time.Millisecond):
	}
	if err := ended.End(Ending{Code: 3, Error: strings.Repeat("\x00", 10_000)}, &report.Report{Exit: 3}); err != nil {
		t.Fatal(err)
	}
	ended.Close()
	killed.Close()
	if end := <-waited; end == nil || end.Code != 3 || len(end.Error) != endingSize/8 {
		t.Errorf("%+v", end)
	}
	if s := findEntry(t, d, "ended").Status(); s != StatusEnded {
		t.Error(s)
	}
	if s := findEntry(t, d, "killed").Status(); s != StatusLost {
		t.Error(s)
	}
	if b, err := seen.Report(); err != nil || !strings.Contains(string(b), `"exit": 3`) {
		t.Errorf("%s %v", b, err)
	}
	if err := seen.Remove(); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Find("ended"); err == nil {
		t.Error("it is still there")
	}
	if end := seen.Ending(); end == nil || end.Code != 3 { // who has it open knows
		t.Errorf("%+v", end)
	}
}

// TestEndOnFullDisk checks that the ending of a sandbox is stored although the disk is full by then.
func TestEndOnFullDisk(t *testing.T) {
	dir := smallFS(t)
	d, err := OpenStateDir(dir + "/cordon")
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	e := newEntry(t, d, "full")
	fill(t, dir)
	if err := e.End(Ending{Code: 7}, &report.Report{Args: []string{strings.Repeat("x", 10_000)}}); err == nil {
		t.Error("the report fits")
	}
	e.Close()
	if end := findEntry(t, d, "full").Ending(); end == nil || end.Code != 7 || !strings.Contains(end.Error, "no space left") {
		t.Errorf("%+v", end)
	}
}

// smallFS mounts a file system of 256 KiB.
func smallFS(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("none", dir, "tmpfs", 0, "size=256k,mode=700"); err != nil {
		t.Skipf("mount: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func fill(t *testing.T, dir string) {
	t.Helper()
	f, err := os.Create(dir + "/fill")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for err == nil {
		_, err = f.Write(make([]byte, 4096))
	}
	if !errors.Is(err, unix.ENOSPC) {
		t.Fatal(err)
	}
}

// TestSweep removes what a killed launcher has left, the sandbox's pid 1 too, and nothing that only looks like it.
func TestSweep(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*State)
		dies   bool
	}{
		{"its pid 1", func(*State) {}, true},
		{"another with its number", func(s *State) { s.Init.Start-- }, false},
		{"of another boot", func(s *State) { s.Boot = "0" }, false},
		{"of another pid namespace", func(s *State) { s.PIDSpace = "pid:[1]" }, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := stateDir(t)
			c := exec.Command("sleep", "60")
			if err := c.Start(); err != nil {
				t.Fatal(err)
			}
			done := make(chan bool)
			go func() {
				c.Wait()
				close(done)
			}()
			defer c.Process.Kill()
			e := newEntry(t, d, "lost")
			id, err := IdentifyProcess(c.Process.Pid)
			if err != nil {
				t.Fatal(err)
			}
			e.State.Init = &id
			tt.change(&e.State)
			if err := e.save(); err != nil {
				t.Fatal(err)
			}
			if swept, err := d.Sweep(); err != nil || swept != nil {
				t.Fatalf("a launcher that lives: %v %v", swept, err)
			}
			e.Close()
			swept, err := d.Sweep()
			if err != nil || len(swept) != 1 || swept[0].Name != "lost" {
				t.Fatalf("%v %v", swept, err)
			}
			if left, _ := os.ReadDir(d.Path()); len(left) != 1 { // the lock
				t.Errorf("left: %v", left)
			}
			select {
			case <-done:
				if !tt.dies {
					t.Error("it was killed")
				}
			case <-time.After(100 * time.Millisecond):
				if tt.dies {
					t.Error("it lives")
				}
			}
		})
	}
}

// TestSweepHalfMade removes entries of launchers that were killed while they made or removed them.
func TestSweepHalfMade(t *testing.T) {
	d := stateDir(t)
	kept := newEntry(t, d, "kept")
	for _, name := range []string{".0123456789ab", ".0123456789ac@x", "0123456789ad"} {
		if err := os.Mkdir(d.Path()+"/"+name, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(d.Path()+"/.0123456789ab/state.json", []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Sweep(); err != nil {
		t.Fatal(err)
	}
	if names, err := d.names(); err != nil || !slices.Equal(names, []string{kept.base}) {
		t.Errorf("%v %v", names, err)
	}
	if left, _ := os.ReadDir(d.Path()); len(left) != 2 {
		t.Errorf("left: %v", left)
	}
}

// TestLockHeldElsewhere checks that, if a stopped process holds the directory's lock, there is an error and no endless
// wait.
func TestLockHeldElsewhere(t *testing.T) {
	d := stateDir(t)
	unlock, err := d.exclusive()
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	began := time.Now()
	if _, err := d.Create(State{}); err == nil || !strings.Contains(err.Error(), "lock") || time.Since(began) > 8*time.Second {
		t.Errorf("%v after %v", err, time.Since(began))
	}
}

// TestStatePath checks that a place is used only if it can belong to this user.
func TestStatePath(t *testing.T) {
	if os.Getuid() == 0 {
		if p := host.StatePath(func(string) string { return "/elsewhere" }); p != "/run/cordon" {
			t.Error(p)
		}
		return
	}
	own := t.TempDir()
	for _, tt := range []struct{ runtime, state, want string }{
		{own + "/", "", own + "/cordon"}, {own, "/x", own + "/cordon"},
		{"relative", own, own + "/cordon/sandboxes"}, {"/none/such", own, own + "/cordon/sandboxes"},
		{"/usr", own, own + "/cordon/sandboxes"}, // another user's
	} {
		if _, err := os.Stat("/run/user/" + strconv.Itoa(os.Getuid())); err == nil && tt.runtime != own && tt.runtime != own+"/" {
			continue
		}
		env := map[string]string{"XDG_RUNTIME_DIR": tt.runtime, "XDG_STATE_HOME": tt.state}
		if p := host.StatePath(func(name string) string { return env[name] }); p != tt.want {
			t.Errorf("%q, %q: %s, want %s", tt.runtime, tt.state, p, tt.want)
		}
	}
}

// TestProcesses reads the present process table. A process must come before its children.
func TestProcesses(t *testing.T) {
	c := exec.Command("sh", "-c", "sleep 60 & wait")
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	defer c.Wait()
	defer syscall.Kill(-c.Process.Pid, syscall.SIGKILL)
	d := stateDir(t)
	e := newEntry(t, d, "")
	id, err := IdentifyProcess(c.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	e.State.Init, e.State.Task = &id, &id
	var all []*Process
	for range 100 {
		table, err := Processes()
		if err != nil {
			t.Fatal(err)
		}
		if all = table.Of(e); len(all) == 2 && all[1].Comm == "sleep" {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if len(all) != 2 || all[0].PID != id.PID || all[1].PPID != id.PID || !slices.Equal(all[1].Args, []string{"sleep", "60"}) || all[1].RSS == 0 {
		t.Fatalf("%+v", all)
	}
	e.State.Init = &ProcessID{id.PID, id.Start + 1}
	table, err := Processes()
	if err != nil || table.Of(e) != nil {
		t.Errorf("%v %v", table.Of(e), err)
	}

	// If pid 1 of the pid namespace is not the sandbox's, the other processes there do not belong to the sandbox.
	// Otherwise they would be paused with it.
	e.State.Init = &id
	table = ProcTable{
		id.PID:  {PID: id.PID, Start: id.Start, space: "pid:[1]"},
		1 << 23: {PID: 1 << 23, PPID: 1, space: "pid:[1]"},
	}
	if all := table.Of(e); len(all) != 1 || all[0].PID != id.PID {
		t.Errorf("others are among its processes: %+v", all)
	}
}
