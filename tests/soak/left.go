package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

// traces lists what sandboxes may leave behind on a machine.
type traces struct {
	mounts, cgroups, files []string
	ptys, fds              int
}

// look lists the current traces. Of the machine's mounts and cgroups it lists only those that contain the name cordon,
// because other programs make and remove mounts and cgroups too.
func look(dir string) (t traces, err error) {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return t, err
	}
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, "cordon") {
			t.mounts = append(t.mounts, strings.TrimSpace(line))
		}
	}
	t.cgroups = walk("/sys/fs/cgroup", func(path string, d fs.DirEntry) bool {
		return d.IsDir() && strings.Contains(d.Name(), "cordon")
	})
	for _, place := range [...]string{dir, recordsOfRoot} {
		t.files = append(t.files, files(place)...)
	}
	pty, err := os.ReadFile("/proc/sys/kernel/pty/nr")
	if err != nil {
		return t, err
	}
	if t.ptys, err = strconv.Atoi(strings.TrimSpace(string(pty))); err != nil {
		return t, err
	}
	fds, err := os.ReadDir("/proc/self/fd")
	t.fds = len(fds)
	return t, err
}

// recordsOfRoot is the directory of root's records. It does not depend on the environment.
const recordsOfRoot = "/var/lib/cordon"

// kept are the files below a user's directory that the launcher keeps on purpose, and their largest permitted sizes
// in bytes. The launcher merges the text of the records when it is longer than 512 KiB. The lines of runs that begin
// and end meanwhile are added to that.
var kept = map[string]int64{
	"run/cordon/last.json":     64 << 10,  // the last failed run, for `cordon why`
	"run/cordon/told.json":     64 << 10,  // the lines that runs have printed within a day
	".local/state/cordon/lock": 0,         // empty: the launcher only locks its bytes
	".local/state/cordon/runs": 576 << 10, // which directories sandboxes could write, and when
}

// keptBelow are the files that the launcher keeps for each project, by their directory and the end of their names.
var keptBelow = map[string]int64{
	".cache/cordon/*.project":        4 << 10,  // which project has these caches
	".local/state/cordon/searches/*": 16 << 20, // what the search for hidden files has found
}

// files returns the files below a directory that are not in kept, or are larger than permitted.
func files(dir string) []string {
	return walk(dir, func(path string, d fs.DirEntry) bool {
		name := strings.TrimPrefix(path, dir+"/")
		if dir == recordsOfRoot {
			name = ".local/state/cordon/" + name
		}
		most, ok := kept[name]
		if !ok { // one for each directory of a project, and for each of its searches
			most, ok = keptBelow[filepath.Dir(name)+"/*"+filepath.Ext(name)]
		}
		if !ok || !d.Type().IsRegular() {
			return !d.IsDir()
		}
		info, err := d.Info()
		return err == nil && info.Size() > most
	})
}

// walk returns the wanted files below a directory. It ignores files that disappear meanwhile.
func walk(root string, wanted func(string, fs.DirEntry) bool) (found []string) {
	_ = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && wanted(path, d) {
			found = append(found, path)
		}
		return nil
	})
	return found
}

// left returns the traces that did not exist before, after the kernel has had time to clean up.
func (t traces) left(dir string) (list []string) {
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		now, err := look(dir)
		if err != nil {
			return []string{err.Error()}
		}
		list = processes(dir)
		list = append(list, added("mount", t.mounts, now.mounts)...)
		list = append(list, added("cgroup", t.cgroups, now.cgroups)...)
		list = append(list, added("file", t.files, now.files)...)
		if now.ptys > t.ptys {
			list = append(list, fmt.Sprintf("ptys: %d, %d before", now.ptys, t.ptys))
		}
		if now.fds > t.fds {
			list = append(list, fmt.Sprintf("descriptors of this program: %d, %d before", now.fds, t.fds))
		}
		if len(list) == 0 || time.Now().After(deadline) {
			return list
		}
	}
}

func added(what string, before, now []string) (list []string) {
	for _, x := range now {
		if !slices.Contains(before, x) {
			list = append(list, "left behind: "+what+" "+x+sizeOf(what, x))
		}
	}
	return list
}

// sizeOf returns the size of a file as text, because a kept file may exist but be too large.
func sizeOf(what, path string) string {
	info, err := os.Lstat(path)
	if what != "file" || err != nil {
		return ""
	}
	return fmt.Sprintf(" (%d bytes)", info.Size())
}

// processes returns the processes that run the binary under test, or a program that it has started.
func processes(dir string) (list []string) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return []string{err.Error()}
	}
	for _, e := range entries {
		if _, err := strconv.Atoi(e.Name()); err != nil {
			continue
		}
		exe, _ := os.Readlink("/proc/" + e.Name() + "/exe")
		cmdline, _ := os.ReadFile("/proc/" + e.Name() + "/cmdline")
		args := strings.Split(strings.TrimSuffix(string(cmdline), "\x00"), "\x00")
		if exe == filepath.Join(dir, "cordon") || slices.Contains(args, mark) {
			list = append(list, "left behind: process "+e.Name()+" "+strings.Join(args, " "))
		}
	}
	return list
}

// stall returns how long some process has waited for a processor since the machine started. It returns 0 if the
// kernel does not tell (/proc/pressure/cpu, Linux 4.20).
func stall() time.Duration {
	b, _ := os.ReadFile("/proc/pressure/cpu")
	_, text, _ := strings.Cut(string(b), "total=")
	text, _, _ = strings.Cut(text, "\n")
	us, _ := strconv.ParseInt(text, 10, 64)
	return time.Duration(us) * time.Microsecond
}

func cpus() int { return runtime.NumCPU() }
