package filter

import (
	"slices"
	"sort"
	"strings"
	"testing"

	"cordon/policy/filter/tables"
)

func TestTablesSorted(t *testing.T) {
	if !sort.StringsAreSorted(tables.CallNames[:]) || !sort.StringsAreSorted(tables.GroupNames[:]) || !sort.StringsAreSorted(tables.ConstNames[:]) {
		t.Error("names are not sorted")
	}
	for i, n := range tables.CallNames {
		if callID(n) != uint16(i) {
			t.Errorf("%s: id %d, want %d", n, callID(n), i)
		}
	}
	for a := AMD64; a <= X32; a++ {
		for i := 1; i < len(table(a)); i++ {
			if table(a)[i].Nr <= table(a)[i-1].Nr {
				t.Errorf("%s: %s is out of order", a, tables.CallNames[table(a)[i].Call])
			}
		}
	}
}

// TestAnchors checks the numbers of some calls, and that some calls do not exist on an architecture.
func TestAnchors(t *testing.T) {
	for _, c := range []struct {
		arch Arch
		call string
		nr   uint32
	}{
		{AMD64, "execve", 59}, {AMD64, "rseq_slice_yield", 471}, {ARM64, "execve", 221}, {RISCV64, "riscv_hwprobe", 258}, {I386, "execve", 11}, {I386, "socketcall", 102},
		{ARM, "set_tls", 0xf0005}, {ARM, "execve", 11}, {X32, "execve", 520}, {X32, "write", 1}, {X32, "pwritev2", 547}, {ARM, "arm_sync_file_range", 341},
	} {
		if nr, ok := Number(c.arch, c.call); !ok || nr != c.nr {
			t.Errorf("%s on %s: %d %v, want %d", c.call, c.arch, nr, ok, c.nr)
		}
		if n, ok := Name(c.arch, c.nr); !ok || n != c.call {
			t.Errorf("%d on %s: %s %v, want %s", c.nr, c.arch, n, ok, c.call)
		}
	}
	for _, c := range []struct {
		arch Arch
		call string
	}{{ARM64, "open"}, {X32, "uselib"}, {AMD64, "socketcall"}, {AMD64, "nonsense"}, {NoArch, "read"}} {
		if nr, ok := Number(c.arch, c.call); ok {
			t.Errorf("%s on %s: %d", c.call, c.arch, nr)
		}
	}
	if nr, ok := Number(ARM, "sync_file_range2"); !ok || nr != 341 {
		t.Errorf("sync_file_range2: %d %v", nr, ok)
	}
}

func TestSince(t *testing.T) {
	for call, want := range map[string]string{"read": "", "clone3": "5.3", "landlock_create_ruleset": "5.13", "mseal": "6.10", "rseq_slice_yield": "7.0", "io_uring_setup": "5.1", "openat": "2.6.16", "syncfs": "2.6.39", "setns": "3.0", "nonsense": ""} {
		if got := Since(call); got != want {
			t.Errorf("%s: %q, want %q", call, got, want)
		}
	}
	for i, n := range tables.CallNames { // all architectures share the numbers from 424 on, and 424 is new in 5.1
		if nr, ok := Number(RISCV64, n); ok && nr >= 424 && tables.CallSince[i] == 0 {
			t.Errorf("%s, number %d, has no release", n, nr)
		}
	}
}

// TestGroups checks for each group some calls that it must contain and some that it must not contain.
func TestGroups(t *testing.T) {
	for _, c := range []struct{ group, in, out string }{
		{"@aio", "io_submit io_getevents", "io_uring_setup"},
		{"@basic-io", "read write close lseek preadv2", "open openat ioctl"},
		{"@chown", "chown fchownat", "chmod"},
		{"@clock", "settimeofday clock_settime adjtimex", "clock_gettime"},
		{"@container", "mseal statmount landlock_restrict_self ptrace", "clone socket personality clone3 mount bpf keyctl unshare io_uring_setup userfaultfd kexec_load"},
		{"@cpu-emulation", "modify_ldt", "arch_prctl"},
		{"@debug", "ptrace process_vm_readv perf_event_open kcmp pidfd_getfd", "pidfd_open"},
		{"@default", "exit exit_group rt_sigreturn restart_syscall brk mmap munmap mprotect arch_prctl set_tid_address set_robust_list rseq prlimit64 getrandom futex execve uretprobe", "open openat socket clone write kill"},
		{"@file-system", "openat stat statx unlinkat rename mkdir getdents64 inotify_add_watch setxattrat file_setattr", "mount chroot chown read"},
		{"@io-event", "epoll_wait ppoll select eventfd2", "io_uring_enter"},
		{"@io-uring", "io_uring_setup io_uring_enter io_uring_register", "io_submit"},
		{"@ipc", "pipe2 shmget mq_open memfd_create", "process_vm_readv socket"},
		{"@keyring", "add_key keyctl request_key", "getrandom"},
		{"@known", "read keyctl socketcall rseq_slice_yield", ""},
		{"@memlock", "mlock mlockall memfd_secret", "mmap"},
		{"@module", "init_module finit_module delete_module", "kexec_load"},
		{"@mount", "mount umount2 pivot_root fsopen open_tree open_tree_attr move_mount mount_setattr", "setns statmount"},
		{"@namespace", "unshare setns listns", "clone"},
		{"@network-io", "socket connect accept4 sendmsg recvmmsg socketcall", "pipe"},
		{"@obsolete", "uselib _sysctl sysfs nfsservctl epoll_wait_old", "select"},
		{"@pkey", "pkey_alloc pkey_free pkey_mprotect", "mprotect"},
		{"@privileged", "bpf kexec_load init_module settimeofday chown acct swapon iopl open_by_handle_at syslog setuid", "read kill"},
		{"@process", "clone clone3 fork vfork execveat kill wait4 prctl pidfd_open", "unshare setns ptrace"},
		{"@raw-io", "iopl ioperm", "ioctl"},
		{"@reboot", "reboot kexec_load kexec_file_load", "exit"},
		{"@resources", "setpriority sched_setaffinity mbind", "sched_yield prlimit64"},
		{"@sandbox", "seccomp landlock_create_ruleset landlock_add_rule landlock_restrict_self", "prctl"},
		{"@setuid", "setuid setresgid setgroups32", "getuid"},
		{"@signal", "rt_sigaction sigaltstack signalfd4", "kill"},
		{"@swap", "swapon swapoff", "sync"},
		{"@sync", "fsync sync_file_range", "read"},
		{"@system-service", "read socket clone futex ioctl", "mount"},
		{"@timer", "timer_create timerfd_settime alarm", "nanosleep"},
		{"@unsorted", "userfaultfd name_to_handle_at cachestat", "read"},
	} {
		m := Members(c.group)
		for n := range strings.FieldsSeq(c.in) {
			if !slices.Contains(m, n) {
				t.Errorf("%s lacks %s", c.group, n)
			}
		}
		for n := range strings.FieldsSeq(c.out) {
			if slices.Contains(m, n) || !Known(n) {
				t.Errorf("%s has %s", c.group, n)
			}
		}
		if About(c.group) == "" {
			t.Errorf("%s is not described", c.group)
		}
	}
	if g := Groups(); len(g) != 34 || !slices.IsSorted(g) {
		t.Errorf("%d groups %v: a new one needs a line above", len(g), g)
	}
	if Members("@nonsense") != nil || About("@nonsense") != "" || Members("read") != nil {
		t.Error("a group that does not exist has members")
	}
	if len(Members("@known")) != len(Calls()) {
		t.Error("@known is not every call")
	}
}

func TestSuggest(t *testing.T) {
	for name, want := range map[string]string{
		"opennat": "openat", "ptrcae": "ptrace", "clone_3": "clone3", "@basicio": "@basic-io", "@networkio": "@network-io", "xyzzy": "", "": "", "exit-group": "exit_group", strings.Repeat("a", 5000): "",
	} {
		if got := Suggest(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

func TestArgs(t *testing.T) {
	if got := Args("openat"); !slices.Equal(got, []string{"dirfd", "pathname", "flags", "mode"}) {
		t.Errorf("openat: %v", got)
	}
	if Args("getpid") != nil || Args("nonsense") != nil {
		t.Error("arguments where there are none")
	}
	for i, n := range tables.CallNames {
		fields := strings.Fields(tables.CallArgs[i])
		if len(fields) > 6 {
			t.Errorf("%s has %d arguments", n, len(fields))
		}
		for _, f := range fields {
			name, width, ok := strings.Cut(f, ":")
			if !ok || len(width) != 1 || !strings.Contains("iuholLqp", width) || name == "" {
				t.Errorf("%s: argument %q", n, f)
			}
			if _, ok := constant(name, AMD64); ok {
				t.Errorf("%s: argument %s hides a constant", n, name)
			}
		}
	}
}

func TestConstants(t *testing.T) {
	for _, c := range []struct {
		name string
		arch Arch
		want string
	}{
		{"AF_VSOCK", AMD64, "40"}, {"AT_FDCWD", ARM64, "-100"}, {"CLONE_NEW_ANY", AMD64, "2114060416"}, {"IPPROTO_MPTCP", AMD64, "262"}, {"TIOCSTI", RISCV64, "21522"},
		{"O_DIRECTORY", AMD64, "65536"}, {"O_DIRECTORY", ARM64, "16384"}, {"O_DIRECTORY", X32, "65536"}, {"O_DIRECTORY", ARM, "16384"}, {"O_LARGEFILE", AMD64, "32768"},
		{"PER_LINUX32", AMD64, "8"}, {"ADDR_NO_RANDOMIZE", AMD64, "262144"}, {"SIGKILL", AMD64, "9"}, {"PR_SET_NO_NEW_PRIVS", AMD64, "38"}, {"FUTEX_LOCK_PI", AMD64, "6"},
		{"KEYCTL_GET_KEYRING_ID", AMD64, "0"}, {"F_SETLEASE", AMD64, "1024"}, {"MADV_DONTNEED", AMD64, "4"}, {"NETLINK_ROUTE", AMD64, "0"}, {"ENOSYS", ARM, "38"}, {"F_SETLK", I386, "6"},
	} {
		v, ok := constant(c.name, c.arch)
		if got := (number{v.Bits, v.Flags&2 != 0}).String(); !ok || got != c.want {
			t.Errorf("%s on %s: %s %v, want %s", c.name, c.arch, got, ok, c.want)
		}
	}
	if _, ok := constant("MAP_32BIT", ARM64); ok {
		t.Error("MAP_32BIT is x86's")
	}
	if _, ok := constant("AF_NONSENSE", AMD64); ok {
		t.Error("AF_NONSENSE exists")
	}
	var any uint64
	for i, n := range tables.ConstNames {
		if strings.HasPrefix(n, "CLONE_NEW") && n != "CLONE_NEW_ANY" {
			any |= tables.ConstValues[i].Bits
		}
	}
	if v, _ := constant("CLONE_NEW_ANY", AMD64); v.Bits != any {
		t.Errorf("CLONE_NEW_ANY is %#x, the CLONE_NEW* together are %#x", v.Bits, any)
	}
}
