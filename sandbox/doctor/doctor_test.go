package doctor

import (
	"errors"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"cordon/sandbox/host"
	"cordon/sandbox/internal/fail"
)

// fakeMachine describes a healthy machine. Each test breaks the part that it is about.
type fakeMachine struct {
	Machine
	files map[string]string
	caps  uint64
	calls map[uintptr]syscall.Errno // refused system calls
	abi   uintptr
	ns    map[uintptr]error // the error for a namespace, by its flag
}

// v1 binds the controllers to cgroup v1, below a v2 tree that has none. root can still make cgroups there.
func (f *fakeMachine) v1() {
	f.files["/proc/self/mountinfo"] = "22 1 0:1 / / rw - ext4 /dev/vda rw\n40 22 0:9 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
	f.files["/proc/self/cgroup"] = "0::/\n"
	for i, c := range []string{"memory", "pids", "cpu"} {
		f.files["/proc/self/mountinfo"] += "3" + strconv.Itoa(i) + " 22 0:3 / /sys/fs/cgroup/" + c + " rw - cgroup cgroup rw," + c + "\n"
		f.files["/proc/self/cgroup"] += "3:" + c + ":/\n"
		f.files["/sys/fs/cgroup/"+c+"/cgroup.procs"] = "1\n"
	}
	f.Writable = func(string) bool { return false }
}

func newFakeMachine() *fakeMachine {
	f := &fakeMachine{
		files: map[string]string{
			"/proc/thread-self/children":                             "",
			"/proc/self/status":                                      "Name:\tx\nSeccomp:\t0\nCapEff:\t0\n",
			"/proc/self/mountinfo":                                   "22 1 0:1 / / rw - ext4 /dev/vda rw\n23 22 0:2 / /proc rw - proc proc rw\n24 22 0:3 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n",
			"/proc/self/cgroup":                                      "0::/user.slice/run.scope\n",
			"/proc/filesystems":                                      "nodev\tproc\nnodev\toverlay\n\text4\n",
			"/proc/sys/kernel/seccomp/actions_avail":                 "kill_process kill_thread trap errno user_notif trace log allow\n",
			"/proc/sys/kernel/unprivileged_bpf_disabled":             "2\n",
			"/proc/sys/user/max_user_namespaces":                     "10000\n",
			"/sys/kernel/security/lockdown":                          "none [integrity] confidentiality\n",
			"/sys/kernel/security/lsm":                               "lockdown,capability,yama\n",
			"/etc/passwd":                                            "root:x:0:0::/root:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\n",
			"/etc/subuid":                                            "bob:100000:65536\nann:165536:65536\n",
			"/etc/subgid":                                            "1000:165536:65536\n",
			"/sys/fs/cgroup/cgroup.controllers":                      "cpu memory pids\n",
			"/sys/fs/cgroup/user.slice/run.scope/cgroup.controllers": "cpu memory pids\n",
			"/sys/fs/cgroup/user.slice/run.scope/cgroup.procs":       "77\n",
			"/sys/fs/cgroup/user.slice/run.scope/cgroup.type":        "domain\n",
		},
		calls: map[uintptr]syscall.Errno{},
		abi:   8,
		ns:    map[uintptr]error{},
	}
	f.Machine = Machine{
		UID: 1000, GID: 1000, PID: 77, User: "ann", Exe: "/usr/local/bin/cordon",
		ReadFile: func(p string) (string, error) {
			if s, found := f.files[p]; found {
				return s, nil
			}
			return "", fs.ErrNotExist
		},
		Stat: func(p string) (fs.FileMode, error) {
			if _, found := f.files[p]; !found && (strings.HasPrefix(p, "/run/") || strings.HasPrefix(p, "/sys/fs/cgroup")) {
				return 0, fs.ErrNotExist
			}
			return 0o755, nil
		},
		Writable:   func(string) bool { return true },
		HasCap:     func(bit uint) bool { return f.caps>>bit&1 == 1 },
		Release:    func() string { return "6.18.1 x86_64" },
		Namespaces: func(flags uintptr) error { return f.ns[flags] },
		Call: func(nr, a, _, _, _, _ uintptr) (uintptr, syscall.Errno) {
			if e, refused := f.calls[nr]; refused {
				return 0, e
			}
			if nr == unix.SYS_LANDLOCK_CREATE_RULESET {
				return f.abi, 0
			}
			if nr == unix.SYS_SECCOMP {
				return 0, syscall.EFAULT
			}
			return 0, syscall.EINVAL
		},
		IDMap:      func() error { return nil },
		Overlay:    func() error { return nil },
		Rlimit:     func(int) (uint64, uint64) { return 1024, unix.RLIM_INFINITY },
		FileSystem: func() string { return "ext4" },
		Helper:     func(string) error { return nil },
	}
	return f
}

func find(t *testing.T, all []Finding, name string) Finding {
	t.Helper()
	for _, f := range all {
		if f.Name == name {
			return f
		}
	}
	t.Fatalf("no finding %q", name)
	return Finding{}
}

func TestDiagnoseHealthyMachine(t *testing.T) {
	all := Diagnose(&newFakeMachine().Machine)
	if len(all) != len(doctorChecks) {
		t.Fatalf("%d findings for %d checks", len(all), len(doctorChecks))
	}
	for _, f := range all {
		want := OutcomeOK
		switch f.Name {
		case "idmap":
			want = OutcomeUnknown // an ordinary user cannot make them
		case "sys-resource":
			want = OutcomePartial
		}
		if f.State != want || f.Found == "" || f.For == "" {
			t.Errorf("%s: %+v, want %s", f.Name, f, want)
		}
	}
}

// TestDiagnoseCauses breaks one part of the machine at a time. The cause must name this part, and the remedy must be
// the command that repairs it.
func TestDiagnoseCauses(t *testing.T) {
	const userns = "userns"
	filter := func(f *fakeMachine) { f.files["/proc/self/status"] = "Name:\tx\nSeccomp:\t2\n" }
	for _, tt := range []struct {
		title, check  string
		mend          func(*fakeMachine)
		state         Outcome
		cause, remedy string // parts of the texts
	}{
		{"sysctl limit", userns, func(f *fakeMachine) {
			f.ns[0] = syscall.ENOSPC
			f.files["/proc/sys/user/max_user_namespaces"] = "0\n"
		}, OutcomeMissing, "user.max_user_namespaces=0", "sysctl -w user.max_user_namespaces=15000"},
		{"limit used up", userns, func(f *fakeMachine) { f.ns[0] = syscall.ENOSPC },
			OutcomeMissing, "user.max_user_namespaces=10000 is used up", "sysctl -w user.max_user_namespaces=63359"},
		{"debian", userns, func(f *fakeMachine) {
			f.ns[0] = syscall.EPERM
			f.files["/proc/sys/kernel/unprivileged_userns_clone"] = "0\n"
		}, OutcomeMissing, "kernel.unprivileged_userns_clone=0", "sysctl -w kernel.unprivileged_userns_clone=1"},
		{"ubuntu", userns, func(f *fakeMachine) {
			f.ns[0] = &fs.PathError{Op: "fork/exec", Path: doctorNowhere, Err: syscall.EACCES}
			f.files["/proc/sys/kernel/apparmor_restrict_unprivileged_userns"] = "1\n"
		}, OutcomeMissing, "kernel.apparmor_restrict_unprivileged_userns=1", `profile cordon "/usr/local/bin/cordon" flags=(unconfined) {\n  userns,\n}`},
		{"container filter", userns, func(f *fakeMachine) { f.ns[0] = syscall.EPERM; filter(f) },
			OutcomeMissing, "seccomp filter", "--security-opt seccomp=unconfined"},
		{"container filter answers ENOSYS", userns, func(f *fakeMachine) { f.ns[0] = syscall.ENOSYS; filter(f) },
			OutcomeMissing, "seccomp filter", "--security-opt seccomp=unconfined"},
		{"container apparmor", userns, func(f *fakeMachine) {
			f.ns[0] = syscall.EPERM
			f.files["/proc/self/attr/current"] = "docker-default (enforce)\n"
		}, OutcomeMissing, "AppArmor profile docker-default", "apparmor=unconfined"},
		{"unconfined is no cause", userns, func(f *fakeMachine) {
			f.ns[0] = syscall.EPERM
			f.files["/proc/self/attr/current"] = "unconfined\n"
			f.files["/sys/fs/selinux/enforce"] = "1"
		}, OutcomeMissing, "SELinux", "ausearch"},
		{"chroot", userns, func(f *fakeMachine) {
			f.ns[0] = syscall.EPERM
			f.files["/proc/self/mountinfo"] = "23 22 0:2 / /proc rw - proc proc rw\n"
		}, OutcomeMissing, "chroot(2)", "pivot_root(2)"},
		{"unknown refusal", userns, func(f *fakeMachine) { f.ns[0] = syscall.EPERM },
			OutcomeMissing, "outer sandbox or a chroot", "ask whoever"},
		{"no kernel support", userns, func(f *fakeMachine) { f.ns[0] = syscall.EINVAL },
			OutcomeMissing, "CONFIG_USER_NS", "CONFIG_USER_NS=y"},
		{"one kind missing", "time", func(f *fakeMachine) { f.ns[unix.CLONE_NEWTIME] = syscall.EINVAL },
			OutcomeMissing, "CONFIG_TIME_NS", "CONFIG_TIME_NS=y"},
		{"one kind at its limit", "net", func(f *fakeMachine) {
			f.ns[unix.CLONE_NEWNET] = syscall.ENOSPC
			f.files["/proc/sys/user/max_net_namespaces"] = "0"
		}, OutcomeMissing, "user.max_net_namespaces=0", "sysctl -w user.max_net_namespaces=15000"},
		{"kinds without userns", "pid", func(f *fakeMachine) { f.ns[0] = syscall.EPERM; f.ns[unix.CLONE_NEWPID] = syscall.EPERM },
			OutcomeUnknown, "no user namespace", "see userns"},
		{"masked proc", "proc", func(f *fakeMachine) {
			f.files["/proc/self/mountinfo"] += "25 23 0:5 / /proc/kcore ro - tmpfs tmpfs rw\n26 23 0:5 / /proc/keys ro - tmpfs tmpfs rw\n"
		}, OutcomeMissing, "container runtime masks", "systempaths=unconfined"},
		{"binfmt_misc is no mask", "proc", func(f *fakeMachine) {
			f.files["/proc/self/mountinfo"] += "25 23 0:5 / /proc/sys/fs/binfmt_misc rw - autofs systemd-1 rw\n"
		}, OutcomeOK, "", ""},
		{"old kernel", "kernel", func(f *fakeMachine) { f.Release = func() string { return "5.4.0-150-generic x86_64" } },
			OutcomeMissing, "older than 5.12", "newer kernel"},
		{"mount api", "mount-api", func(f *fakeMachine) { f.calls[unix.SYS_MOUNT_SETATTR] = syscall.ENOSYS },
			OutcomeMissing, "since Linux 5.12", "newer kernel"},
		{"filtered mount api", "mount-api", func(f *fakeMachine) { f.calls[unix.SYS_FSOPEN] = syscall.ENOSYS; filter(f) },
			OutcomeMissing, "seccomp filter on this process", "seccomp=unconfined"},
		{"no openat2", "mount-api", func(f *fakeMachine) { f.calls[unix.SYS_OPENAT2] = syscall.ENOSYS }, OutcomeOK, "", ""},
		{"clone3", "process-api", func(f *fakeMachine) { f.calls[unix.SYS_CLONE3] = syscall.ENOSYS },
			OutcomeMissing, "since Linux 5.3", "newer kernel"},
		{"idmap refused", "idmap", func(f *fakeMachine) {
			f.UID = 0
			f.FileSystem = func() string { return "overlayfs" }
			f.IDMap = func() error { return os.NewSyscallError("mount_setattr", syscall.EINVAL) }
		}, OutcomeMissing, "overlayfs, cannot be idmapped", "--host-user caller"},
		{"idmap in a container", "idmap", func(f *fakeMachine) { f.UID = 0; f.IDMap = func() error { return syscall.EPERM } },
			OutcomeMissing, "CAP_SYS_ADMIN", "--host-user caller"},
		{"overlay module", "overlay", func(f *fakeMachine) { f.files["/proc/filesystems"] = "\text4\n" },
			OutcomeMissing, "module is not loaded", "modprobe overlay"},
		{"overlay too early", "overlay", func(f *fakeMachine) {
			f.Release = func() string { return "5.10.0 x86_64" }
			f.Overlay = func() error { return syscall.EPERM }
		}, OutcomeMissing, "since Linux 5.11", "newer kernel"},
		{"no seccomp", "seccomp", func(f *fakeMachine) { delete(f.files, "/proc/sys/kernel/seccomp/actions_avail") },
			OutcomeMissing, "CONFIG_SECCOMP_FILTER", "CONFIG_SECCOMP_FILTER=y"},
		{"no notification", "seccomp-notify", func(f *fakeMachine) { f.calls[unix.SYS_SECCOMP] = syscall.EINVAL },
			OutcomeMissing, "since Linux 5.0", "newer kernel"},
		{"landlock off at boot", "landlock", func(f *fakeMachine) { f.calls[unix.SYS_LANDLOCK_CREATE_RULESET] = syscall.EOPNOTSUPP },
			OutcomeMissing, "not enabled at boot; enabled: lockdown,capability,yama", "lsm=landlock,lockdown,capability,yama"},
		{"no landlock", "landlock", func(f *fakeMachine) { f.calls[unix.SYS_LANDLOCK_CREATE_RULESET] = syscall.ENOSYS },
			OutcomeMissing, "CONFIG_SECURITY_LANDLOCK", "missing: [landlock]"},
		{"old landlock", "landlock", func(f *fakeMachine) { f.abi = 5 },
			OutcomePartial, "6 scopes", "newer kernel"},
		{"newer landlock than known", "landlock", func(f *fakeMachine) { f.abi = 99 }, OutcomeOK, "", ""},
		{"no newuidmap", "idmap-ranges", func(f *fakeMachine) {
			f.Helper = func(string) error { return errors.New("newuidmap: in none of /usr/bin") }
		},
			OutcomeMissing, "newuidmap: in none of", "apt install uidmap"},
		{"no subuid", "idmap-ranges", func(f *fakeMachine) { f.files["/etc/subuid"] = "bob:1:1\n" },
			OutcomeMissing, "no subordinate ids", "usermod --add-subuids 100000-165535 --add-subgids 100000-165535 ann"},
		{"cgroup v1", "cgroup", func(f *fakeMachine) { f.v1() }, OutcomeMissing, "not delegated to users", "systemd.unified_cgroup_hierarchy=1"},
		{"cgroup v1 as root", "cgroup", func(f *fakeMachine) { f.v1(); f.UID = 0; f.Writable = func(string) bool { return true } }, OutcomeOK, "", ""},
		{"cgroup hybrid, a controller missing", "cgroup", func(f *fakeMachine) {
			f.v1()
			f.UID, f.Writable = 0, func(string) bool { return true }
			f.files["/proc/self/mountinfo"] = strings.ReplaceAll(f.files["/proc/self/mountinfo"], "cpu", "net_cls")
		}, OutcomePartial, "no cpus: this kernel has no cpu controller", "CONFIG_CGROUPS"},
		{"cgroup not mounted", "cgroup", func(f *fakeMachine) { f.files["/proc/self/mountinfo"] = "22 1 0:1 / / rw - ext4 /dev/vda rw\n" },
			OutcomeMissing, "no cgroup file system", "mount -t cgroup2"},
		{"cgroup not delegated", "cgroup", func(f *fakeMachine) { f.Writable = func(string) bool { return false } },
			OutcomeMissing, "not delegated to this user", "let root make a group and give it to this user"},
		{"cgroup not delegated, with systemd", "cgroup", func(f *fakeMachine) {
			f.Writable = func(string) bool { return false }
			f.files["/run/systemd/system"], f.files["/run/user/1000/bus"] = "", ""
		}, OutcomeOK, "", ""},
		{"cgroup with others in it", "cgroup", func(f *fakeMachine) { f.files["/sys/fs/cgroup/user.slice/run.scope/cgroup.procs"] = "77\n78\n" },
			OutcomeMissing, "processes are in it", "as the only process of a delegated group"},
		{"controller not delegated", "cgroup", func(f *fakeMachine) {
			f.files["/sys/fs/cgroup/user.slice/run.scope/cgroup.controllers"] = "memory pids\n"
		}, OutcomePartial, "controller cpu", "let root write the controller to cgroup.subtree_control"},
		{"with CAP_SYS_RESOURCE", "sys-resource", func(f *fakeMachine) { f.caps = 1 << 24 }, OutcomeOK, "", ""},
		{"bpf for all", "bpf", func(f *fakeMachine) { f.files["/proc/sys/kernel/unprivileged_bpf_disabled"] = "0\n" },
			OutcomePartial, "any user may load BPF", "unprivileged_bpf_disabled=2"},
	} {
		t.Run(tt.title, func(t *testing.T) {
			m := newFakeMachine()
			tt.mend(m)
			f := find(t, Diagnose(&m.Machine), tt.check)
			if f.State != tt.state {
				t.Fatalf("state %s, want %s: %+v", f.State, tt.state, f)
			}
			if !strings.Contains(f.Cause, tt.cause) || tt.cause == "" && f.Cause != "" {
				t.Errorf("cause %q, want %q", f.Cause, tt.cause)
			}
			if !strings.Contains(f.Remedy, tt.remedy) || tt.remedy == "" && f.Remedy != "" {
				t.Errorf("remedy %q, want %q", f.Remedy, tt.remedy)
			}
		})
	}
}

func TestKernelAtLeast(t *testing.T) {
	for _, tt := range []struct {
		release string
		want    bool
	}{
		{"5.12.0 x86_64", true}, {"5.12-rc1", true}, {"5.11.22", false}, {"6.1.0-18-amd64", true}, {"4.19", false}, {"10.0", true}, {"", false}, {"5.x", false},
	} {
		if got := host.KernelAtLeast(tt.release, 5, 12); got != tt.want {
			t.Errorf("kernelAtLeast(%q, 5, 12) = %v", tt.release, got)
		}
	}
}

// TestProbesLeaveNothing runs the real probes twice. The results must agree, and no child and no descriptor may be
// left.
func TestProbesLeaveNothing(t *testing.T) {
	before := openFiles(t)
	for _, k := range host.Kinds {
		flag := uintptr(k.Flag) &^ unix.CLONE_NEWUSER
		first, second := tryNamespaces(flag), tryNamespaces(flag)
		if !errors.Is(first, fail.Errno(second)) && (first == nil) != (second == nil) {
			t.Errorf("%s: %v, then %v", k.Name, first, second)
		}
	}
	if fd, err := userNamespaceFD(); err == nil {
		unix.Close(fd)
	}
	if pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil); err != unix.ECHILD {
		t.Errorf("wait4: %d, %v: a child is left", pid, err)
	}
	if after := openFiles(t); after != before {
		t.Errorf("%d open files, then %d", before, after)
	}
}

func openFiles(t *testing.T) int {
	t.Helper()
	d, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(d)
}
