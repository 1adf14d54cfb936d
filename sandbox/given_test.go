package sandbox

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"cordon/policy"
)

// TestNUL refuses a NUL. After a NUL in a variable that the profile keeps, there could be a variable that it does not
// keep; after a NUL in an argument, there could be another argument.
func TestNUL(t *testing.T) {
	for _, tt := range []struct {
		name string
		with func(*Cmd)
		want string
	}{
		{"variable", func(c *Cmd) { c.Env = []string{"PATH=/bin\x00LD_PRELOAD=/tmp/x.so"} }, "environment PATH: a NUL"},
		{"variable's name", func(c *Cmd) { c.Env = []string{"PATH\x00LD_PRELOAD=/tmp/x.so"} }, "environment PATH: a NUL"},
		{"not even kept", func(c *Cmd) { c.Env = []string{"OTHER=a\x00b"} }, "environment OTHER: a NUL"},
		{"set by the profile", func(c *Cmd) { c.Profile.Env.Set = []policy.EnvVar{{Name: "A", Value: "b\x00C=d"}} }, "env.set: a NUL"},
		{"no variable", func(c *Cmd) { c.Env = []string{"OTHER\x00PATH=/tmp"} }, "environment OTHER: a NUL"},
		{"no name", func(c *Cmd) { c.Env = []string{"=\x00PATH=/tmp"} }, ": a NUL"},
		{"argument", func(c *Cmd) { c.Args = append(c.Args, "a\x00--evil") }, "argument 3: a NUL"},
		{"program", func(c *Cmd) { c.Args[0] = "sh\x00" }, "argument 0: a NUL"},
		{"directory", func(c *Cmd) { c.Dir = "/tmp\x00x" }, "working directory: a NUL"},
		{"workdir of the profile", func(c *Cmd) { c.Profile.Process.Workdir = "/tmp\x00x" }, "process.workdir: a NUL"},
		{"mount", func(c *Cmd) { c.Profile.Mounts[0].Target += "\x00x" }, "mounts[0]: a NUL"},
		{"hide", func(c *Cmd) { c.Profile.Hide = []policy.Hide{{Pattern: "/etc/passwd\x00x"}} }, "hide[0]: a NUL"},
	} {
		c := shell(t, "exit 0")
		tt.with(c)
		err := c.Start()
		if err == nil {
			_, _ = wait(c)
		}
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, not %q", tt.name, err, tt.want)
		}
	}
	asUserToo(t)
}

// TestEnvironmentTwice passes two variables with the same name. The task must get only the last one.
func TestEnvironmentTwice(t *testing.T) {
	c := shell(t, "cat /proc/self/environ | tr '\\0' '\\n'")
	c.Env = []string{"LANG=first", "PATH=/usr/bin:/bin", "LANG=last"}
	text, _ := output(t, c)
	if strings.Count(text, "LANG=") != 1 || !strings.Contains(text, "LANG=last\n") {
		t.Errorf("%q", text)
	}
	asUserToo(t)
}

// TestNoVariables checks that a sandbox starts even if the caller's environment has entries that are no variables.
func TestNoVariables(t *testing.T) {
	c := shell(t, "")
	c.Args = []string{"cat", "/proc/self/environ"}
	c.Env = []string{"LANG", "PATH=/usr/bin:/bin", "=odd", "", "LANG=C", "BASH_FUNC_x%%=() { :; }", "PATH", "=LD_PRELOAD=x"}
	if text, _ := output(t, c); text != "PATH=/usr/bin:/bin\x00LANG=C\x00" {
		t.Errorf("%q", text)
	}
	asUserToo(t)
}

// TestRefusedFiles passes descriptors through which a task could reach more than one file.
func TestRefusedFiles(t *testing.T) {
	dir := publicDir(t)
	plain := filepath.Join(dir, "plain")
	if err := os.WriteFile(plain, []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	open := func(path string, flags int) int {
		fd, err := unix.Open(path, flags|unix.O_CLOEXEC, 0)
		if err != nil {
			t.Fatal(path, err)
		}
		return fd
	}
	event, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
	pidfd, err2 := unix.PidfdOpen(os.Getpid(), 0)
	epoll, err3 := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	pair, err4 := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	memfd, err5 := unix.MemfdCreate("m", unix.MFD_CLOEXEC)
	if err := errors.Join(err, err2, err3, err4, err5); err != nil {
		t.Fatal(err)
	}
	unix.Close(pair[1])
	for _, tt := range []struct {
		name string
		fd   int
		want string // "": it can be handed over
	}{
		{"a directory", open("/", unix.O_RDONLY), "is a directory of the host"},
		{"a directory with O_PATH", open("/", unix.O_PATH), "is a directory of the host"},
		{"a file with O_PATH", open(plain, unix.O_PATH), "O_PATH"},
		{"a symbolic link", open("/proc/self/exe", unix.O_PATH|unix.O_NOFOLLOW), "O_PATH"},
		{"a namespace", open("/proc/self/ns/net", unix.O_RDONLY), "net:["},
		{"memory of a process", open("/proc/self/mem", unix.O_RDONLY), "the memory of a process"},
		{"a file of proc, to write", open("/proc/self/comm", unix.O_WRONLY), "open for writing"},
		{"an eventfd", event, "which is no file"},
		{"a pidfd", pidfd, "which is no file"},
		{"an epoll", epoll, "which is no file"},
		{"a file of proc, to read", open("/proc/self/status", unix.O_RDONLY), ""},
		{"a socket", pair[0], ""},
		{"a memfd", memfd, ""},
		{"a file", open(plain, unix.O_RDONLY), ""},
		{"/dev/null", open("/dev/null", unix.O_RDWR), ""},
		{"/dev/urandom", open("/dev/urandom", unix.O_RDONLY), ""},
	} {
		f := os.NewFile(uintptr(tt.fd), tt.name)
		for _, c := range []*Cmd{
			{ExtraFiles: []*os.File{nil, f}}, {Stdin: f}, {Stdout: f}, {Stderr: f},
		} {
			err := described(c).CheckFiles(true)
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%s: %v, not %q", tt.name, err, tt.want)
			}
		}
		f.Close()
	}
	asUserToo(t)
}

// TestRefusedDevices is for devices that only root opens.
func TestRefusedDevices(t *testing.T) {
	for _, path := range []string{"/dev/mem", "/dev/kmsg", "/dev/fuse", "/dev/net/tun", "/dev/vda", "/dev/sda"} {
		f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
		if err != nil {
			t.Log(err)
			continue
		}
		c := &Cmd{ExtraFiles: []*os.File{f}}
		if err := described(c).CheckFiles(true); err == nil || !strings.Contains(err.Error(), "device") {
			t.Errorf("%s: %v", path, err)
		}
		f.Close()
	}
}

// TestExtraTerminal passes a terminal of the host among the extra files, although the profile gives the task another
// terminal, or none.
func TestExtraTerminal(t *testing.T) {
	f, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Skip(err)
	}
	defer f.Close()
	for tty, refused := range map[policy.TTY]bool{policy.TTYBroker: true, policy.TTYNone: true, policy.TTYInherit: false} {
		c := &Cmd{Profile: &policy.Profile{TTY: tty}, ExtraFiles: []*os.File{f}}
		if err := described(c).CheckFiles(tty != policy.TTYInherit); (err != nil) != refused {
			t.Errorf("tty %q: %v", tty, err)
		}
	}
}

// TestDirectoryAsFile runs the attack: a task that lists the host's tree from a directory among the extra files.
func TestDirectoryAsFile(t *testing.T) {
	f, err := os.Open("/")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	c := shell(t, "ls /proc/self/fd/3/")
	c.ExtraFiles = []*os.File{f}
	if _, err := run(c); err == nil || !strings.Contains(err.Error(), "extra file 0: is a directory of the host") {
		t.Errorf("%v", err)
	}
	asUserToo(t)
}
