package cause

import (
	"io/fs"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"cordon/sandbox/host"
)

// TestNamespace checks that the cause names what forbids a user namespace. The tests go from the most certain cause to
// the least certain.
func TestNamespace(t *testing.T) {
	filter := map[string]string{"/proc/self/status": "Pid:\t7\nSeccomp:\t2\n"}
	with := func(more ...string) map[string]string {
		files := map[string]string{"/proc/self/status": filter["/proc/self/status"]}
		for i := 0; i < len(more); i += 2 {
			files[more[i]] = more[i+1]
		}
		return files
	}
	const root = "22 1 0:1 / / rw - ext4 /dev/vda rw\n"
	for _, tt := range []struct {
		name        string
		files       map[string]string
		errno       syscall.Errno
		why, remedy string
	}{
		{"no limit left", with("/proc/sys/user/max_user_namespaces", "0\n"), unix.ENOSPC, "user.max_user_namespaces=0", "sysctl -w user.max_user_namespaces=15000"},
		{"the limit is around this", with("/proc/sys/user/max_user_namespaces", "9\n"), unix.ENOSPC, "is used up here or in the user namespace around", "too"},
		{"no ids", map[string]string{"/proc/self/uid_map": ""}, unix.EPERM, "uid_map is empty", "unshare -Ur"},
		{"a chroot, and a filter", with("/proc/self/mountinfo", "23 22 0:2 / /proc rw - proc proc rw\n"), unix.EPERM, "chroot(2)", "pivot_root(2)"},
		{"Docker", with("/.dockerenv", "", "/proc/self/mountinfo", root), unix.ENOSYS, "Docker has installed", "docker run --security-opt seccomp=unconfined"},
		{"podman", with("/run/.containerenv", ""), unix.EPERM, "podman has installed", "podman run --security-opt seccomp=unconfined"},
		{"kubernetes", with("/var/run/secrets/kubernetes.io/serviceaccount/namespace", "x", "/.dockerenv", ""), unix.EPERM, "this pod", "Unconfined"},
		{"a service", with("/proc/self/cgroup", "0::/system.slice/ci.service\n"), unix.EPERM, "RestrictNamespaces=", "systemctl edit ci.service"},
		{"a session", with("/proc/self/cgroup", "0::/user.slice/user-1.slice/user@1.service/app.slice/x.scope\n"), unix.EPERM, "as container runtimes", "start the sandbox that is around this so that others can be nested in it (cordon run --nest)"},
		{"an old kernel", nil, unix.ENOSYS, "built without CONFIG_USER_NS", "CONFIG_USER_NS=y"},
	} {
		h := &Host{UID: 1000, Exe: "/usr/bin/cordon", HasCap: func(uint) bool { return false }, ReadFile: func(path string) (string, error) {
			if text, ok := tt.files[path]; ok {
				return text, nil
			}
			return "", fs.ErrNotExist
		}}
		c := h.Namespace(&host.Kinds[0], tt.errno)
		if !strings.Contains(c.Why, tt.why) || !strings.Contains(c.Remedy, tt.remedy) {
			t.Errorf("%s: %+v", tt.name, c)
		}
	}
}

// TestNewProc distinguishes a masked /proc from a /proc that shows only a part.
func TestNewProc(t *testing.T) {
	for table, want := range map[string]string{
		"23 22 0:2 / /proc rw - proc proc rw\n24 23 0:5 / /proc/keys rw - tmpfs tmpfs rw\n": "/proc/keys is mounted on top of /proc",
		"23 22 0:2 / /proc rw - proc proc rw,subset=pid\n":                                  "a part of one",
		"22 1 0:1 / / rw - ext4 /dev/vda rw\n":                                              "none is mounted",
	} {
		h := &Host{HasCap: func(uint) bool { return false }, ReadFile: func(path string) (string, error) {
			if path == "/proc/self/mountinfo" {
				return table, nil
			}
			return "", fs.ErrNotExist
		}}
		if c := h.NewProc(unix.EPERM); !strings.Contains(c.Why, want) {
			t.Errorf("%s: %+v", table, c)
		}
	}
}
