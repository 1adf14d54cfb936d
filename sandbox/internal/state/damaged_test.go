package state

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestDamagedEntries checks that an entry that cannot be read is named, and that all other entries can be used.
func TestDamagedEntries(t *testing.T) {
	cut := func(dir string) error { return os.Truncate(dir+"/"+stateFile, 20) }
	replace := func(name string, by func(path string) error) func(string) error {
		return func(dir string) error { return errors.Join(os.Remove(dir+"/"+name), by(dir+"/"+name)) }
	}
	fifo := func(path string) error { return unix.Mkfifo(path, 0o600) }
	for _, tt := range []struct {
		name   string
		damage func(dir string) error
		want   string
	}{
		{"truncated", cut, "unexpected end of JSON input"},
		{"empty", func(dir string) error { return os.Truncate(dir+"/"+stateFile, 0) }, "unexpected end of JSON input"},
		{"another version", func(dir string) error { return os.WriteFile(dir+"/"+stateFile, []byte(`{"version": 7}`), 0o600) }, "has version 7"},
		{"a FIFO", replace(stateFile, fifo), "is not a regular file"},
		{"a FIFO as lock", replace(lockFile, fifo), "is not a regular file"},
		{"a directory", replace(stateFile, func(path string) error { return os.Mkdir(path, 0o700) }), "is not a regular file"},
		{"a link out of the directory", replace(stateFile, func(path string) error { return os.Symlink("/etc/hostname", path) }), "escapes"},
		{"a device", replace(stateFile, func(path string) error { return os.Symlink("/dev/zero", path) }), "escapes"},
		{"huge", func(dir string) error { return os.Truncate(dir+"/"+stateFile, 1<<40) }, "more than 64 MiB"},
		{"open to others", func(dir string) error { return os.Chmod(dir, 0o755) }, "has mode 755"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := stateDir(t)
			good, bad := newEntry(t, d, "good"), newEntry(t, d, "bad")
			if err := tt.damage(d.path + "/" + bad.base); err != nil {
				t.Fatal(err)
			}
			done := make(chan struct{})
			go func() {
				defer close(done)
				damagedEntries(t, d, good, bad, tt.want)
			}()
			select {
			case <-done:
			case <-time.After(time.Minute):
				t.Fatal("it waits without end")
			}
		})
	}
}

func damagedEntries(t *testing.T, d *StateDir, good, bad *Entry, want string) {
	var damaged *DamagedError
	if _, err := d.Sweep(); err != nil && !errors.As(err, &damaged) {
		t.Errorf("Sweep: %v", err)
	}
	all, err := d.Entries()
	if !errors.As(err, &damaged) || len(damaged.Entries) != 1 || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), bad.base) {
		t.Errorf("Entries: %v", err)
	}
	if len(all) != 1 || all[0].State.ID != good.State.ID {
		t.Errorf("Entries: %v", all)
	}
	for _, e := range all {
		e.Close()
	}
	if e, err := d.Find("good"); err != nil {
		t.Errorf("Find: %v", err)
	} else {
		e.Close()
	}
	if _, err := d.Find("bad"); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("Find: %v", err)
	}
}

// TestUmask checks that, whatever the umask is, the owner can use what the launcher makes.
func TestUmask(t *testing.T) {
	parent := t.TempDir()
	if err := os.Chmod(parent, 0o700); err != nil {
		t.Fatal(err)
	}
	old := unix.Umask(0o777)
	d, err := OpenStateDir(parent + "/cordon")
	var e *Entry
	if err == nil {
		e, err = d.Create(State{Name: "x", Args: []string{"true"}})
	}
	if err == nil {
		err = errors.Join(e.write(reportFile, []byte("{}")), d.KeepLast([]byte("{}")))
	}
	unix.Umask(old)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	defer e.Close()
	for path, want := range map[string]os.FileMode{"": 0o700, "/" + e.base: 0o700, "/" + e.base + "/" + stateFile: 0o600, "/" + e.base + "/" + lockFile: 0o600,
		"/" + e.base + "/" + reportFile: 0o600, "/" + lockFile: 0o600, "/" + lastFile: 0o600} {
		if i, err := os.Stat(d.path + path); err != nil || i.Mode().Perm() != want {
			t.Errorf("%s: %v, %v", path, i.Mode(), err)
		}
	}
}
