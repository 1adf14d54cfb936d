package record_test

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"cordon/policy/recording"
	"cordon/sandbox/record"
)

// behind makes calls whose arguments are in structures in memory: valid structures, and some that the kernel cannot
// read.
const behind = `
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/openat2.h>
#include <linux/sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static struct clone_args in_a_page_of_the_file = {.flags = CLONE_FS, .exit_signal = SIGCHLD};

static int start(void *args)
{
	long pid = syscall(SYS_clone3, args, sizeof(struct clone_args));
	if (pid == 0)
		_exit(0);
	return pid > 0 && waitpid(pid, 0, 0) == pid;
}

int main(void)
{
	struct open_how list = {.flags = O_RDONLY | O_DIRECTORY, .resolve = RESOLVE_NO_MAGICLINKS};
	struct open_how make = {.flags = O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, .mode = 0600, .resolve = RESOLVE_BENEATH};
	struct clone_args args = {.flags = CLONE_FILES, .exit_signal = SIGCHLD};
	int ok = syscall(SYS_openat2, AT_FDCWD, "/etc", &list, sizeof list) >= 0 &&
		syscall(SYS_openat2, AT_FDCWD, "made", &make, sizeof make) >= 0 &&
		syscall(SYS_openat2, AT_FDCWD, "/usr", (void *)8, sizeof list) < 0 &&
		start(&args) && start(&in_a_page_of_the_file) && !start((void *)8);
	return !ok;
}
`

// The structures to which pointers lead are read, and both back ends read the same.
func TestBehindPointers(t *testing.T) {
	if _, err := exec.LookPath("gcc"); err != nil {
		t.Skip("no gcc")
	}
	want := map[string]bool{
		"openat2 2,10000": true, "openat2 8,242": true, "openat2 0,0": true,
		"clone3 200": true, "clone3 400": true, "clone3 0": true,
		"/etc list": true, "made read, write, create, truncate": true,
	}
	for _, backend := range []string{record.BPF, record.Notify} {
		if backend == record.BPF && os.Getuid() != 0 {
			continue
		}
		t.Run(backend, func(t *testing.T) {
			dir := workdir(t)
			if err := os.WriteFile(filepath.Join(dir, "behind.c"), []byte(behind), 0o644); err != nil {
				t.Fatal(err)
			}
			run(t, dir, []string{"gcc", "-O2", "behind.c", "-o", "behind"})
			if got := behindPointers(dir, (&bench{workload: &workload{args: []string{filepath.Join(dir, "behind")}}, dir: dir, work: dir, cache: dir}).record(t, backend)); !maps.Equal(got, want) {
				t.Errorf("%v, want %v", got, want)
			}
		})
	}
}

func behindPointers(dir string, rec *recording.Recording) map[string]bool {
	got := map[string]bool{}
	for _, e := range rec.Events {
		text := ""
		for i, a := range e.Args {
			if i > 0 {
				text += ","
			}
			text += strconv.FormatUint(a.Value, 16)
		}
		switch {
		case e.Call == "openat2" || e.Call == "clone3":
			got[e.Call+" "+text] = true
		case e.Path == "/etc" || e.Path == filepath.Join(dir, "made"):
			got[strings.TrimPrefix(e.Path, dir+"/")+" "+e.Access.String()] = true
		}
	}
	return got
}
