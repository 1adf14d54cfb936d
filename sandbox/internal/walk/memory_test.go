package walk

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// keepEnv is the Keep of a search for .env.
func keepEnv(name []byte, _ uint8) bool { return string(name) == ".env" }

// grow makes a tree of settled directories: three levels, and two files in each directory.
func grow(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for i := range 13 {
		for j := range 13 {
			at := fmt.Sprintf("%s/%d/%d", dir, i, j)
			if err := errors.Join(os.MkdirAll(at+"/sub", 0o755), os.WriteFile(at+"/file", nil, 0o600), os.WriteFile(at+"/sub/file", nil, 0o600)); err != nil {
				t.Fatal(err)
			}
		}
	}
	time.Sleep(settled + 50*time.Millisecond)
	return dir
}

// search walks through dir with the memory that an earlier walk has stored. It returns the memory for the next walk,
// and the paths that this walk has seen.
func search(t *testing.T, dir string, stored []byte) (next []byte, seen []string) {
	t.Helper()
	m := &Memory{Keep: keepEnv, Load: func() []byte { return stored }}
	seen, _, refused, err := all(t, &Tree{Two: true, Roots: []Place{{Path: dir}}, Memory: m})
	if err != nil || len(refused) > 0 {
		t.Fatal(err, refused)
	}
	if next = m.Stored(); next == nil {
		next = stored
	}
	return next, seen
}

// secrets returns the paths in seen that the search must find.
func secrets(seen []string) (list []string) {
	for _, path := range seen {
		if strings.HasSuffix(path, "/.env") {
			list = append(list, path)
		}
	}
	return list
}

func TestMemory(t *testing.T) {
	dir := grow(t)
	stored, first := search(t, dir, nil)
	again, second := search(t, dir, stored)
	if len(stored) == 0 || !slices.Equal(stored, again) {
		t.Fatalf("%d bytes are stored, and then others: %d", len(stored), len(again))
	}
	// The walk does not show names that cannot matter again. So the memory was used, and it has all directories.
	if len(second) > len(first)*2/3 {
		t.Errorf("%d names were shown first, and then %d", len(first), len(second))
	}
	if slices.ContainsFunc(second, func(p string) bool { return !slices.Contains(first, p) }) {
		t.Error("the second walk has seen what the first has not")
	}
}

// TestMemoryShowsNoSecret puts a secret into a remembered tree, in ways that try to leave no trace.
func TestMemoryShowsNoSecret(t *testing.T) {
	dir := grow(t)
	at := func(name string) string { return dir + "/" + name }
	var before unix.Stat_t
	if err := unix.Stat(at("3/3/sub"), &before); err != nil {
		t.Fatal(err)
	}
	plant := func(name string) error { return os.WriteFile(at(name), []byte("secret"), 0o600) }
	stored, seen := search(t, dir, nil)
	if found := secrets(seen); len(found) > 0 {
		t.Fatal(found)
	}
	for _, x := range []struct {
		what string
		do   func() error
		want []string
	}{
		{"a file", func() error { return plant("1/1/sub/.env") }, []string{"1/1/sub/.env"}},
		{"a file, and the times of the directory set back", func() error {
			err := plant("3/3/sub/.env")
			return errors.Join(err, unix.UtimesNano(at("3/3/sub"), []unix.Timespec{before.Atim, before.Mtim}))
		}, []string{"3/3/sub/.env"}},
		{"a file that is renamed", func() error { return os.Rename(at("4/4/sub/file"), at("4/4/sub/.env")) }, []string{"4/4/sub/.env"}},
		{"a hard link", func() error { return os.Link(at("4/5/file"), at("4/5/sub/.env")) }, []string{"4/5/sub/.env"}},
		{"a link", func() error { return os.Symlink("/etc/hostname", at("4/6/sub/.env")) }, []string{"4/6/sub/.env"}},
		{"directories that change places", func() error {
			err := plant("5/5/sub/.env")
			return errors.Join(err, unix.Renameat2(unix.AT_FDCWD, at("5/5"), unix.AT_FDCWD, at("6/6"), unix.RENAME_EXCHANGE))
		}, []string{"6/6/sub/.env"}},
		{"a new directory with an old name", func() error {
			return errors.Join(os.Rename(at("7/7/sub"), at("7/7/old")), os.Mkdir(at("7/7/sub"), 0o755), plant("7/7/sub/.env"))
		}, []string{"7/7/sub/.env"}},
		{"a directory from elsewhere", func() error {
			other := t.TempDir()
			err := errors.Join(os.MkdirAll(other+"/sub", 0o755), os.WriteFile(other+"/sub/.env", nil, 0o600))
			return errors.Join(err, os.Rename(other, at("8/8/elsewhere")))
		}, []string{"8/8/elsewhere/sub/.env"}},
	} {
		for _, when := range []string{"at once", "later"} {
			if when == "at once" {
				if err := x.do(); err != nil {
					t.Fatal(x.what, err)
				}
			}
			_, seen := search(t, dir, stored)
			_, again := search(t, dir, stored)
			for _, name := range x.want {
				if !slices.Contains(seen, at(name)) || !slices.Contains(again, at(name)) {
					t.Errorf("%s, %s: the walk has not found it", x.what, when)
				}
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
	// Now the memory is renewed with all these directories. Some of them have changed too recently to be remembered.
	for range 2 {
		stored, seen = search(t, dir, stored)
		if found := secrets(seen); len(found) != 8 {
			t.Errorf("%d secrets are found: %v", len(found), found)
		}
		time.Sleep(settled + 50*time.Millisecond)
	}
}

// TestMemoryRace adds the secret at the moment at which the directory is listed. A memory that read the times only once
// would miss it, because two changes in one tick of the clock have the same time.
func TestMemoryRace(t *testing.T) {
	dir := grow(t)
	var stored []byte
	for i := range 40 {
		at := fmt.Sprintf("%s/%d/%d/sub/.env", dir, i%13, i%12)
		done := make(chan error)
		go func() { done <- os.WriteFile(at, nil, 0o600) }()
		next, _ := search(t, dir, stored)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		stored = next
		if _, seen := search(t, dir, stored); !slices.Contains(seen, at) {
			t.Fatalf("round %d: the secret was not found", i)
		}
		if err := os.Remove(at); err != nil {
			t.Fatal(err)
		}
	}
}

// TestMemoryMount finds a secret on a file system that is mounted on a remembered directory, or below one.
func TestMemoryMount(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("mounts take root")
	}
	dir, other := grow(t), t.TempDir()
	if err := os.WriteFile(other+"/.env", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	stored, _ := search(t, dir, nil)
	for _, target := range []string{dir + "/9/9/sub", dir + "/9/9"} {
		if err := unix.Mount(other, target, "", unix.MS_BIND, ""); err != nil {
			t.Skip("mount: ", err)
		}
		_, seen := search(t, dir, stored)
		_, again := search(t, dir, stored)
		if err := unix.Unmount(target, 0); err != nil {
			t.Fatal(err)
		}
		if !slices.Contains(seen, target+"/.env") || !slices.Contains(again, target+"/.env") {
			t.Error(target, "the secret was not found")
		}
	}
	if _, seen := search(t, dir, stored); len(secrets(seen)) > 0 {
		t.Error(secrets(seen))
	}
}

// TestMemoryInDoubt checks that a stored memory is dropped if its bytes have changed, or if it comes from another boot
// or another time.
func TestMemoryInDoubt(t *testing.T) {
	dir := grow(t)
	stored, _ := search(t, dir, nil)
	clock := readClock()
	if n := len(decodeMemory(stored, clock)); n < fewest {
		t.Fatal(n)
	}
	for i := 0; i < len(stored); i += 1 + len(stored)/300 {
		b := slices.Clone(stored)
		b[i] ^= 1
		if decodeMemory(b, clock) != nil {
			t.Errorf("byte %d is wrong, and nothing is dropped", i)
		}
		if decodeMemory(stored[:i], clock) != nil {
			t.Errorf("only %d bytes, and nothing is dropped", i)
		}
	}
	for _, c := range []bootClock{{}, {boot: "another", distance: clock.distance}, {clock.boot, clock.distance + int64(settled)},
		{clock.boot, clock.distance - int64(settled)}} {
		if decodeMemory(stored, c) != nil {
			t.Errorf("%+v: nothing is dropped", c)
		}
	}
	// These memories have a correct checksum, but invalid names, a wrong order, or lengths beyond the end.
	names := func(list ...string) (kept []byte) {
		for _, name := range list {
			kept = append(append(kept, unix.DT_REG, byte(len(name))), name...)
		}
		return kept
	}
	for what, list := range map[string][]listed{
		"a path":       {{kept: names("a/b")}},
		"the parent":   {{kept: names("..")}},
		"no name":      {{kept: names("")}},
		"half a name":  {{kept: names("name")[:4]}},
		"out of order": {{stamp: stamp{ino: 2}}, {stamp: stamp{ino: 1}}},
		"twice":        {{stamp: stamp{ino: 2}}, {stamp: stamp{ino: 2}}},
	} {
		if decodeMemory(encodeMemory(nil, list, clock), clock) != nil {
			t.Errorf("%s: nothing is dropped", what)
		}
	}
}
