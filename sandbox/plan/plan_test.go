package plan

import (
	"encoding/json"
	"strings"
	"testing"
)

// TestString compares the printed form of a step of every kind with the syntax of strace(1).
func TestString(t *testing.T) {
	tests := []struct {
		step Step
		want string
	}{
		{ForkStep(), "clone(child_stack=NULL, flags=CLONE_FILES|SIGCHLD)"},
		{RespawnStep(), "clone(child_stack=NULL, flags=CLONE_PARENT|CLONE_PARENT_SETTID|SIGCHLD)"},
		{OpenStep(CWD, "/etc/passwd", 0x80001, 0), `openat(AT_FDCWD, "/etc/passwd", O_WRONLY|O_CLOEXEC)`},
		{OpenStep(CWD, "/etc", 0x80000, 0), `openat(AT_FDCWD, "/etc", O_RDONLY|O_CLOEXEC)`},
		{OpenStep(R(Dir), "f", 0x800c1, 0o600), `openat(%dir, "f", O_WRONLY|O_CREAT|O_EXCL|O_CLOEXEC, 0600)`},
		{CloseStep(R(File)), `close(%file)`},
		{WriteStep(R(File), "deny"), `write(%file, "deny", 4)`},
		{ReadStep(F("gate"), 8), `read({gate}, "...", 8)`},
		{MkdirStep(R(Scratch), "dir", 0o755), `mkdirat(%scratch, "dir", 0755)`},
		{MkdirStep(R(Scratch), "dir", 0o1777), `mkdirat(%scratch, "dir", 01777)`},
		{SymlinkStep("../x", R(Dev), "core"), `symlinkat("../x", %dev, "core")`},
		{ChdirStep("/"), `chdir("/")`},
		{FchdirStep(R(Root)), `fchdir(%root)`},
		{ChrootStep("."), `chroot(".")`},
		{UmaskStep(0o22), `umask(022)`},
		{SetUmask(R(Mask)), `umask(%umask)`},
		{Setattr(CWD, "/", 0x8000, 1|2, 0, 1<<18),
			`mount_setattr(AT_FDCWD, "/", AT_RECURSIVE, {attr_set=MOUNT_ATTR_RDONLY|MOUNT_ATTR_NOSUID, attr_clr=0, propagation=MS_PRIVATE, userns_fd=0}, 32)`},
		{Move(R(Tree), R(Target), "", 0x44), `move_mount(%tree, "", %target, "", MOVE_MOUNT_F_EMPTY_PATH|MOVE_MOUNT_T_EMPTY_PATH)`},
		{FsString(R(FS), "mode", "1777"), `fsconfig(%fs, FSCONFIG_SET_STRING, "mode", "1777", 0)`},
		{FsFlag(R(FS), "newinstance"), `fsconfig(%fs, FSCONFIG_SET_FLAG, "newinstance", NULL, 0)`},
		{FsCreate(R(FS)), `fsconfig(%fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0)`},
		{Pivot(".", "."), `pivot_root(".", ".")`},
		{Umount(".", 2), `umount2(".", MNT_DETACH)`},
		{UnshareStep(0x80), `unshare(CLONE_NEWTIME)`},
		{SetnsStep(F("net"), 0x40000000), `setns({net}, CLONE_NEWNET)`},
		{Hostname("a\"b"), `sethostname("a\"b", 3)`},
		{NoGroups(), `setgroups(0, NULL)`},
		{SetUID(1000), `setresuid(1000, 1000, 1000)`},
		{SetGID(1000), `setresgid(1000, 1000, 1000)`},
		{SocketStep(2, 0x80002, 0), `socket(AF_INET, SOCK_DGRAM|SOCK_CLOEXEC, IPPROTO_IP)`},
		{SetLinkFlags(R(Socket), "lo", 1), `ioctl(%socket, SIOCSIFFLAGS, {ifr_name="lo", ifr_flags=IFF_UP})`},
		{PrctlStep(24, 21), `prctl(PR_CAPBSET_DROP, CAP_SYS_ADMIN, 0, 0, 0)`},
		{PrctlStep(24, 63), `prctl(PR_CAPBSET_DROP, 0x3f, 0, 0, 0)`},
		{PrctlStep(47, 2, 10), `prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_NET_BIND_SERVICE, 0, 0)`},
		{PrctlStep(38, 1), `prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)`},
		{PrctlStep(1, 9), `prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0)`},
		{ThreadName("cordon-init"), `prctl(PR_SET_NAME, "cordon-init", 0, 0, 0)`},
		{CapsetStep(0, 0, 0), `capset({version=_LINUX_CAPABILITY_VERSION_3, pid=0}, {effective=0, permitted=0, inheritable=0})`},
		{CapsetStep(1<<0|1<<40, 1<<39, 0),
			`capset({version=_LINUX_CAPABILITY_VERSION_3, pid=0}, {effective=1<<CAP_CHOWN|1<<CAP_CHECKPOINT_RESTORE, permitted=1<<CAP_BPF, inheritable=0})`},
		{SetRlimit(7, 1024, 524288), `prlimit64(0, RLIMIT_NOFILE, {rlim_cur=1024, rlim_max=512*1024}, NULL)`},
		{SetRlimit(4, 0, ^uint64(0)), `prlimit64(0, RLIMIT_CORE, {rlim_cur=0, rlim_max=RLIM64_INFINITY}, NULL)`},
		{Nice(-5), `setpriority(PRIO_PROCESS, 0, -5)`},
		{NewSession(), `setsid()`},
		{JoinSessionKeyring(), `keyctl(KEYCTL_JOIN_SESSION_KEYRING, NULL)`},
		{UnblockSignals(), `rt_sigprocmask(SIG_SETMASK, [], NULL, 8)`},
		{SendByte(F("sync"), "T"), `sendto({sync}, "T", 1, MSG_NOSIGNAL, NULL, 0)`},
		{RecvByte(F("sync")), `recvfrom({sync}, "...", 1, 0, NULL, NULL)`},
		{CreateRuleset(1|4, 0, 3, 8), `landlock_create_ruleset({handled_access_fs=LANDLOCK_ACCESS_FS_EXECUTE|LANDLOCK_ACCESS_FS_READ_FILE}, 8, 0)`},
		{CreateRuleset(1, 2, 3, 24), `landlock_create_ruleset({handled_access_fs=LANDLOCK_ACCESS_FS_EXECUTE, handled_access_net=LANDLOCK_ACCESS_NET_CONNECT_TCP, ` +
			`scoped=LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET|LANDLOCK_SCOPE_SIGNAL}, 24, 0)`},
		{AllowBeneath(R(Ruleset), Target, 8), `landlock_add_rule(%ruleset, LANDLOCK_RULE_PATH_BENEATH, {allowed_access=LANDLOCK_ACCESS_FS_READ_DIR, parent_fd=%target}, 0)`},
		{SendKept(F("sync"), 'K', Ruleset), `sendmsg({sync}, {msg_name=NULL, msg_namelen=0, msg_iov=[{iov_base="K", iov_len=1}], msg_iovlen=1, msg_control=[{cmsg_len=20, cmsg_level=SOL_SOCKET, cmsg_type=SCM_RIGHTS, cmsg_data=[%ruleset]}], msg_controllen=24, msg_flags=0}, MSG_NOSIGNAL)`},
		{RestrictSelf(R(Ruleset)), `landlock_restrict_self(%ruleset, 0)`},
		{SetFilter(0, strings.Repeat("\x00", 24)), `seccomp(SECCOMP_SET_MODE_FILTER, 0, {len=3, filter=...})`},
		{OwnedFork(), "clone(child_stack=NULL, flags=CLONE_FILES|CLONE_PARENT_SETTID|SIGCHLD, parent_tid=owner)"},
		{SetFilter(0x28, ""), `seccomp(SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER|SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, {len=0, filter=...})`},
		{HoldOwner(), `set_robust_list({owner}, 24)`},
		{OwnedFork().WithSelf(), "clone(child_stack=NULL, flags=CLONE_FILES|CLONE_PARENT_SETTID|CLONE_CHILD_SETTID|SIGCHLD, parent_tid=owner, child_tid=self)"},
		{ForkStep().WithSelf(), "clone(child_stack=NULL, flags=CLONE_FILES|CLONE_CHILD_SETTID|SIGCHLD, child_tid=self)"},
		{NewGroup(), "setpgid(0, 0)"},
		{UnlockPTY(R(Master)), "ioctl(%master, TIOCSPTLCK, [0])"},
		{OpenSlave(R(Master), 0x80102).Into(Slave), "ioctl(%master, TIOCGPTPEER, O_RDWR|O_NOCTTY|O_CLOEXEC)"},
		{ControlTTY(F("terminal")), "ioctl({terminal}, TIOCSCTTY, 0)"},
		{Foreground(Number(0)), "ioctl(0, TIOCSPGRP, self)"},
		{AwaitOwner(), `futex(owner, FUTEX_LOCK_PI, NULL)`},
		{MarkOwner(), `futex(owner, FUTEX_WAKE_OP, 0, 0, owner, 0xa001f000)`},
		{SleepForOwner(2), `futex(owner, FUTEX_WAIT, 0x80000002, NULL)`},
		{SendFile(F("sync"), "L", 3), `sendmsg({sync}, {msg_name=NULL, msg_namelen=0, msg_iov=[{iov_base="L", iov_len=1}], msg_iovlen=1, ` +
			`msg_control=[{cmsg_len=20, cmsg_level=SOL_SOCKET, cmsg_type=SCM_RIGHTS, cmsg_data=[3]}], msg_controllen=24, msg_flags=0}, MSG_NOSIGNAL)`},
		{ExecOnce("/bin/sh", "sh\x00", "", 1<<63), `execveat(AT_FDCWD, "/bin/sh", ["sh"], [], 0, %nonce)`},
		{Exec("/bin/sh", "sh\x00-c\x00\x00", "A=1\x00"), `execve("/bin/sh", ["sh", "-c", ""], ["A=1"])`},
		{Exec("/bin/sh", "sh\x00", ""), `execve("/bin/sh", ["sh"], [])`},
		{CloseFrom(3, 4), `close_range(3, 4294967295, CLOSE_RANGE_CLOEXEC)`},
		{Dup(F("stdin"), Number(0), 0), `dup3({stdin}, 0, 0)`},
		{Dup(R(Target), F("beneath"), 0x80000), `dup3(%target, {beneath}, O_CLOEXEC)`},
		{UnshareStep(1 << 40), `unshare(0x10000000000)`},
		{Umount(".", 2|1<<20), `umount2(".", MNT_DETACH|0x100000)`},
	}
	for _, tt := range tests {
		if got := tt.step.String(); got != tt.want {
			t.Errorf("got  %s\nwant %s", got, tt.want)
		}
	}
}

// TestQuoting checks that a quoted string contains nothing that a terminal would interpret (CVE-2023-28101), and that
// no quote ends the string early.
func TestQuoting(t *testing.T) {
	tests := []struct{ in, want string }{
		{"", `""`},
		{`a"b\c`, `"a\"b\\c"`},
		{"\n\t\r", `"\n\t\r"`},
		{"\x1b[2J", `"\33[2J"`},
		{"\x1b7", `"\0337"`}, // a digit follows: all three digits
		{"\x00", `"\0"`},
		{"\x001", `"\0001"`},
		{"\x7f", `"\177"`},
		{"é", `"\303\251"`},
		{"\u202e", `"\342\200\256"`}, // right-to-left override
	}
	for _, tt := range tests {
		if got := string(appendQuoted(nil, tt.in)); got != tt.want {
			t.Errorf("%q: got %s, want %s", tt.in, got, tt.want)
		}
	}
}

func FuzzQuoting(f *testing.F) {
	f.Add("\x1b]0;x\a9")
	f.Fuzz(func(t *testing.T, s string) {
		got := string(appendQuoted(nil, s))
		back, rest := unquote(got)
		if back != s || rest != "" {
			t.Errorf("%q: %s reads back as %q, and then %q", s, got, back, rest)
		}
		for i := range len(got) {
			if got[i] < ' ' || got[i] > '~' {
				t.Errorf("%q: %q is not printable", s, got)
			}
		}
	})
}

// unquote reads a string in the form of C and strace, with at most three octal digits.
func unquote(s string) (text, rest string) {
	var b []byte
	for i := 1; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"':
			return string(b), s[i+1:]
		case c != '\\':
			b = append(b, c)
		default:
			i++
			switch s[i] {
			case 'n':
				b = append(b, '\n')
			case 't':
				b = append(b, '\t')
			case 'r':
				b = append(b, '\r')
			case '"', '\\':
				b = append(b, s[i])
			default:
				v := 0
				j := i
				for ; j < len(s) && j < i+3 && s[j] >= '0' && s[j] <= '7'; j++ {
					v = v*8 + int(s[j]-'0')
				}
				b = append(b, byte(v))
				i = j - 1
			}
		}
	}
	return string(b), "not ended"
}

func TestFrom(t *testing.T) {
	tests := []struct {
		from From
		want string
	}{
		{From{}, ""},
		{From{Section: "root", Index: -1}, "root"},
		{From{Section: "mounts", Index: 3, File: "build.yaml", Line: 14}, "mounts[3], build.yaml:14"},
		{From{Section: "mounts", Index: 0, Flag: "--rw ."}, "mounts[0], --rw ."},
		{From{Index: -1, File: "x.yaml", Line: 2}, "x.yaml:2"},
	}
	for _, tt := range tests {
		if got := tt.from.String(); got != tt.want {
			t.Errorf("%+v: got %q, want %q", tt.from, got, tt.want)
		}
	}
}

func TestResult(t *testing.T) {
	tests := []struct {
		step Step
		want string
	}{
		{NewSession(), ""},
		{NewSession().Into(Root), " = %root"},
		{NewSession().OrElse(ENOSYS), " or ENOSYS"},
		{NewSession().Into(File).OrElse(EACCES), " = %file or EACCES"},
		{NewSession().OrElse(Errno(200)), " or 0xc8"},
	}
	for _, tt := range tests {
		if got := tt.step.Result(); got != tt.want {
			t.Errorf("got %q, want %q", got, tt.want)
		}
	}
}

// small is a plan that has every part of a plan.
func small() *Plan {
	return &Plan{
		Clone: 0x10020000,
		Steps: []Step{
			UmaskStep(0).Into(Mask),
			asked(JoinSessionKeyring().OrElse(ENOSYS), From{Section: "keyring", Index: -1}),
			ForkStep(),
			asked(ChdirStep("/\x1b"), From{Section: "process.workdir", Index: -1, File: "p.yaml", Line: 3}),
		},
		Init:  []Step{CloseStep(Number(1))},
		Files: []string{"sync"},
	}
}

func TestWriteText(t *testing.T) {
	var b strings.Builder
	if err := small().WriteText(&b); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
	want := []string{
		"clone3({flags=CLONE_NEWNS|CLONE_NEWUSER, exit_signal=SIGCHLD})",
		"   0 umask(000) = %umask",
		"   1 keyctl(KEYCTL_JOIN_SESSION_KEYRING, NULL) or ENOSYS # keyring",
		"   2 clone(child_stack=NULL, flags=CLONE_FILES|SIGCHLD)",
		"task:",
		`   3 chdir("/\33") # process.workdir, p.yaml:3`,
		"init:",
		"   4 close(1)", // errors count on behind the task's steps
		"     wait4 until the task is gone, then exit_group",
	}
	if len(lines) != len(want) {
		t.Fatalf("%d lines, want %d:\n%s", len(lines), len(want), b.String())
	}
	for i, line := range lines {
		if code, from, ok := strings.Cut(line, "#"); ok {
			line = strings.TrimRight(code, " ") + " #" + from
		}
		if line != want[i] {
			t.Errorf("line %d: got  %s\nwant %s", i, line, want[i])
		}
	}
}

func TestJSON(t *testing.T) {
	got, err := json.Marshal(small())
	if err != nil {
		t.Fatal(err)
	}
	want := `{"clone":"CLONE_NEWNS|CLONE_NEWUSER","steps":[` +
		`{"call":"umask","args":["000"],"to":"%umask"},` +
		`{"call":"keyctl","args":["KEYCTL_JOIN_SESSION_KEYRING","NULL"],"or":"ENOSYS","from":"keyring"},` +
		`{"call":"clone","args":["CLONE_FILES"]},` +
		`{"call":"chdir","args":["\"/\\33\""],"from":"process.workdir, p.yaml:3"}],` +
		`"init":[{"call":"close","args":["1"]}],"files":["sync"]}`
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// TestNames checks that there is a name for every call and every register.
func TestNames(t *testing.T) {
	seen := map[string]bool{}
	for c := Respawn; c < NumCalls; c++ { // Fork has the same name: both are clone(2)
		if c.String() == "" || seen[c.String()] {
			t.Errorf("call %d: name %q", c, c)
		}
		seen[c.String()] = true
	}
	for r := Root; r < NumRegs; r++ {
		if len(r.String()) < 2 || seen[r.String()] {
			t.Errorf("register %d: name %q", r, r)
		}
		seen[r.String()] = true
	}
}

// asked returns a From that names the position of the profile that asks for a step.
func asked(s Step, f From) Step {
	s.From = f
	return s
}
