package sandboxtest

import (
	"errors"
	"io/fs"
	"path"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"cordon/policy"
	"cordon/sandbox/host"
)

// FakeFiles is a host's file tree as a map from paths, so that a plan compiled from it is the same on every machine.
type FakeFiles map[string]FakeFile

// FakeFile is a file of FakeFiles.
type FakeFile struct {
	name  string // the base name; set when the file is looked up
	Perm  fs.FileMode
	Text  string // the content of a file, or the target of a symbolic link
	rdev  uint64
	Owner int // the owner's user id; 0 is root
	Ino   uint64
	Names uint64        // number of hard links
	Fails syscall.Errno // the error of every access to a name in the directory
}

// Name returns the last name of its path.
func (f FakeFile) Name() string { return f.name }

// Size returns the length of its text.
func (f FakeFile) Size() int64 { return int64(len(f.Text)) }

// Mode returns its kind and permissions.
func (f FakeFile) Mode() fs.FileMode { return f.Perm }

// ModTime returns the zero time.
func (f FakeFile) ModTime() time.Time { return time.Time{} }

// IsDir reports whether it is a directory.
func (f FakeFile) IsDir() bool { return f.Perm.IsDir() }

// Type returns its kind.
func (f FakeFile) Type() fs.FileMode { return f.Perm.Type() }

// Sys returns its *syscall.Stat_t.
func (f FakeFile) Sys() any {
	st := &syscall.Stat_t{Rdev: f.rdev, Uid: uint32(f.Owner), Ino: f.Ino}
	setNumber(&st.Nlink, f.Names)
	return st
}

// setNumber assigns n to a field whose integer type depends on the architecture.
func setNumber[T uint32 | uint64](to *T, n uint64) { *to = T(n) }

// Info returns the file itself.
func (f FakeFile) Info() (fs.FileInfo, error) { return f, nil }

// Dir makes directories, and those above them.
func (t FakeFiles) Dir(paths ...string) {
	for _, p := range paths {
		if _, ok := t[p]; p != "/" && !ok {
			t.Dir(path.Dir(p))
		}
		t[p] = FakeFile{Perm: fs.ModeDir | 0o755}
	}
}

// Put makes a file, and the directories above it.
func (t FakeFiles) Put(p string, f FakeFile) { t.Dir(path.Dir(p)); t[p] = f }

// Link makes a symbolic link.
func (t FakeFiles) Link(p, text string) { t.Put(p, FakeFile{Perm: fs.ModeSymlink | 0o777, Text: text}) }

// File makes empty files that everybody may read.
func (t FakeFiles) File(paths ...string) {
	for _, p := range paths {
		t.Put(p, FakeFile{Perm: 0o644})
	}
}

// Own gives directories to the ordinary user.
func (t FakeFiles) Own(paths ...string) {
	for _, p := range paths {
		f := t[p]
		f.Owner = 1000
		t[p] = f
	}
}

// Open lets everybody write to directories.
func (t FakeFiles) Open(paths ...string) {
	for _, p := range paths {
		t[p] = FakeFile{Perm: fs.ModeDir | fs.ModeSticky | 0o777}
	}
}

// Program makes an executable file; without a text it is an ELF file.
func (t FakeFiles) Program(p, text string) {
	if text == "" {
		text = "\x7fELF"
	}
	t.Put(p, FakeFile{Perm: 0o755, Text: text})
}

// find resolves a path as path_resolution(7) says. last says whether a symbolic link at the end is followed.
func (t FakeFiles) find(op, p string, last bool) (string, FakeFile, error) {
	fail := func(errno syscall.Errno) (string, FakeFile, error) {
		return "", FakeFile{}, &fs.PathError{Op: op, Path: p, Err: errno}
	}
	if !strings.HasPrefix(p, "/") {
		return fail(unix.EINVAL) // the code under test uses only absolute paths
	}
	at, rest := "/", strings.Split(p, "/")
	for links := 0; len(rest) > 0; {
		name := rest[0]
		rest = rest[1:]
		if name == "" || name == "." {
			continue
		}
		if here := t[at]; !here.IsDir() {
			return fail(unix.ENOTDIR)
		} else if here.Fails == unix.EACCES {
			return fail(unix.EACCES)
		}
		next := path.Join(at, name)
		f, ok := t[next]
		if !ok {
			return fail(unix.ENOENT)
		}
		if f.Perm&fs.ModeSymlink == 0 || len(rest) == 0 && !last {
			at = next
			continue
		}
		if links++; links > 40 {
			return fail(unix.ELOOP)
		}
		if strings.HasPrefix(f.Text, "/") {
			at = "/"
		}
		rest = append(strings.Split(f.Text, "/"), rest...)
	}
	f, ok := t[at]
	if !ok {
		return fail(unix.ENOENT)
	}
	f.name = path.Base(at)
	return at, f, nil
}

// Lstat describes a path without following a link at its end.
func (t FakeFiles) Lstat(p string) (fs.FileInfo, error) {
	_, f, err := t.find("lstat", p, false)
	return f, err
}

// At returns the part of the tree below a directory.
func (t FakeFiles) At(root string) host.Files {
	sub := FakeFiles{}
	for name, f := range t {
		if name == root {
			sub["/"] = f
			continue
		}
		if strings.HasPrefix(name, root+"/") {
			sub[name[len(root):]] = f
		}
	}
	return sub
}

// Private returns nil if only the caller can reach the files in dir.
func (t FakeFiles) Private(dir string) error {
	for dir != "/" {
		dir = path.Dir(dir)
		if f, ok := t[dir]; ok && f.Perm.Perm()&0o011 == 0 {
			return nil
		}
	}
	return errors.New("others can search every directory above it")
}

// Stat describes the file to which a path leads.
func (t FakeFiles) Stat(p string) (fs.FileInfo, error) {
	_, f, err := t.find("stat", p, true)
	return f, err
}

// Readlink returns the text of a symbolic link.
func (t FakeFiles) Readlink(p string) (string, error) {
	_, f, err := t.find("readlink", p, false)
	if err == nil && f.Perm&fs.ModeSymlink == 0 {
		err = &fs.PathError{Op: "readlink", Path: p, Err: unix.EINVAL}
	}
	return f.Text, err
}

// ReadDir lists a directory.
func (t FakeFiles) ReadDir(p string) (list []fs.DirEntry, err error) {
	at, dir, err := t.find("open", p, true)
	if err == nil && !dir.IsDir() {
		err = &fs.PathError{Op: "readdirent", Path: p, Err: unix.ENOTDIR}
	} else if err == nil && dir.Fails != 0 {
		err = &fs.PathError{Op: "readdirent", Path: p, Err: dir.Fails}
	}
	if err != nil {
		return nil, err
	}
	for name, f := range t {
		if name != "/" && path.Dir(name) == at {
			f.name = path.Base(name)
			list = append(list, f)
		}
	}
	slices.SortFunc(list, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return list, nil
}

// Read returns at most the first n bytes of a file.
func (t FakeFiles) Read(p string, n int) ([]byte, error) {
	_, f, err := t.find("open", p, true)
	if err == nil && f.IsDir() {
		err = &fs.PathError{Op: "read", Path: p, Err: unix.EISDIR}
	}
	return []byte(f.Text[:min(n, len(f.Text))]), err
}

// Access decides by the permission bits for other users. If the file belongs to the ordinary user, it decides by the
// bits for the owner.
func (t FakeFiles) Access(p string, mode uint32) error {
	_, f, err := t.find("access", p, true)
	if err != nil {
		return errors.Unwrap(err)
	}
	perm := f.Perm.Perm()
	if f.Owner == 1000 {
		perm |= perm >> 6
	}
	if uint32(perm)&mode != mode {
		return unix.EACCES
	}
	return nil
}

// FakeTree returns the tree of a usual distribution with a merged /usr, and the home of an ordinary user.
func FakeTree() FakeFiles {
	t := FakeFiles{}
	t.Dir("/", "/tmp", "/var/tmp", "/run/user/1000", "/mnt", "/media", "/srv", "/root", "/sys", "/var/mail", "/usr/sbin", "/usr/lib64", "/usr/local/bin")
	t.Link("/bin", "usr/bin")
	t.Link("/sbin", "usr/sbin")
	t.Link("/lib", "usr/lib")
	t.Link("/lib64", "usr/lib64")
	t.Link("/var/run", "/run")
	t.Link("/var/spool/mail", "../mail")
	t.File("/etc/passwd", "/etc/group", "/etc/shadow", "/etc/gshadow", "/etc/hosts", "/etc/hostname", "/etc/ld.so.cache", "/usr/lib/libc.so.6")
	t.Put("/etc/resolv.conf", FakeFile{Perm: 0o644, Text: "nameserver 192.0.2.53\n"})
	for _, name := range []string{"sh", "true", "env", "python3.13"} {
		t.Program("/usr/bin/"+name, "\x7fELF")
	}
	t.Link("/usr/bin/python3", "python3.13")
	for _, n := range [...]struct {
		name         string
		major, minor uint32
	}{{"null", 1, 3}, {"zero", 1, 5}, {"full", 1, 7}, {"random", 1, 8}, {"urandom", 1, 9}, {"tty", 5, 0}} {
		t.Put("/dev/"+n.name, FakeFile{Perm: fs.ModeDevice | fs.ModeCharDevice | 0o666, rdev: unix.Mkdev(n.major, n.minor)})
	}
	t.Dir("/proc/acpi", "/proc/scsi", "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys")
	t.Put("/proc/net/unix", FakeFile{Perm: 0o444, Text: "Num       RefCount Protocol Flags    Type St Inode Path\n0: 00000002 00000000 00010000 0001 01 17 /run/x\n"})
	t.File("/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/sysrq-trigger")
	t.Dir("/home/ann/src/demo/.git", "/home/ann/.ssh", "/home/ann/.aws", "/home/ann/.config/gh")
	t.File("/home/ann/.netrc", "/home/ann/.bash_history", "/home/ann/src/demo/main.c")
	t.Program("/home/ann/bin/tool", "\x7fELF")
	t.Program("/home/ann/src/demo/build.sh", "#!/bin/sh -e\ntrue\n")
	for _, p := range []string{"/", "/bin", "/etc", "/proc", "/dev", "/sys", "/tmp", "/root", "/usr/bin"} {
		t.Dir(path.Join("/srv/rootfs", p))
	}
	t.File("/srv/rootfs/etc/hosts", "/srv/rootfs/etc/hostname", "/srv/rootfs/etc/resolv.conf")
	t.Program("/srv/rootfs/bin/true", "\x7fELF")
	return t
}

// FakeUser returns an ordinary user's host with a current kernel. Each test changes the fields that it is about.
func FakeUser() *host.Host {
	return &host.Host{Kernel: [2]int{6, 18}, LandlockABI: 7, LastCap: 40, UID: 1000, GID: 1000, NofileMax: 524288, NotifyFlags: 0x28,
		Name: "ann", Home: "/home/ann", Cwd: "/home/ann/src/demo", PID: 4321, Files: FakeTree()}
}

// CgroupHost adds cgroups of a version to a host. own has the format of /proc/self/cgroup, and names the launcher's
// group. Only root may write to the groups.
func CgroupHost(h *host.Host, own string, version int) *host.Host {
	t := h.Files.(FakeFiles)
	t.Put("/proc/self/cgroup", FakeFile{Text: own})
	if version == 2 {
		t.Put("/proc/self/mountinfo", FakeFile{Text: "30 1 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate\n"})
		fakeGroup(t, "/sys/fs/cgroup", "", "", h.UID == 0)
		for dir := strings.TrimSpace(strings.TrimPrefix(own, "0::")); dir != "/"; dir = path.Dir(dir) {
			fakeGroup(t, "/sys/fs/cgroup"+dir, "domain\n", "1\n4321\n", h.UID == 0)
		}
		return h
	}
	var mounts strings.Builder
	for line := range strings.Lines(own + "3:pids:/\n4:freezer:/\n5:devices:/\n") {
		f := strings.Split(strings.TrimSpace(line), ":")
		mounts.WriteString("30 1 0:26 / /sys/fs/cgroup/" + f[1] + " rw - cgroup cgroup rw," + f[1] + "\n")
		t.Put("/proc/self/cgroup", FakeFile{Text: t["/proc/self/cgroup"].Text + line})
		fakeGroup(t, "/sys/fs/cgroup/"+f[1]+f[2], "", "1\n", h.UID == 0)
	}
	t.Put("/proc/self/mountinfo", FakeFile{Text: mounts.String()})
	return h
}

// fakeGroup makes the files of one cgroup. Some controllers are enabled for the groups below it.
func fakeGroup(t FakeFiles, dir, kind, procs string, writable bool) {
	dir = strings.TrimSuffix(dir, "/")
	mode := fs.FileMode(0o644)
	if writable {
		mode = 0o666
	}
	t.Dir(dir)
	t.Put(dir+"/cgroup.procs", FakeFile{Perm: mode, Text: procs})
	t.Put(dir+"/cgroup.controllers", FakeFile{Perm: 0o444, Text: "cpuset cpu io memory hugetlb pids\n"})
	t.Put(dir+"/cgroup.subtree_control", FakeFile{Perm: mode, Text: "memory pids\n"})
	if kind != "" {
		t.Put(dir+"/cgroup.type", FakeFile{Perm: 0o644, Text: kind})
	}
	if writable {
		t[dir] = FakeFile{Perm: fs.ModeDir | 0o777}
	}
}

// Limited returns a profile with a memory limit.
func Limited(change ...func(*policy.Profile)) *policy.Profile {
	return With(func(p *policy.Profile) {
		p.Limits.Memory = policy.Opt[int64]{Set: true, V: 1 << 30}
		p.Sources = Sourced("limits.memory")
		for _, f := range change {
			f(p)
		}
	})
}

// JoinHost adds a process with pid 77 to a host. The process is in a user namespace with these id maps, and in a mount
// namespace that shows the host's own tree.
func JoinHost(h *host.Host, maps string) *host.Host {
	t := h.Files.(FakeFiles)
	inside := FakeTree()
	for name, f := range inside {
		if name != "/" {
			t["/proc/77/root"+name] = f
		}
	}
	t.Dir("/proc/77/root", "/proc/77/ns")
	t.Put("/proc/77/uid_map", FakeFile{Perm: 0o444, Text: maps + "\n"})
	t.Put("/proc/77/gid_map", FakeFile{Perm: 0o444, Text: maps + "\n"})
	t.Put("/proc/77/setgroups", FakeFile{Perm: 0o644, Text: "deny\n"})
	return h
}

// TableHost returns an ordinary user's host with a given mount table.
func TableHost(mounts string) *host.Host {
	h := FakeUser()
	h.Files.(FakeFiles).Put("/proc/self/mountinfo", FakeFile{Text: mounts})
	return h
}

// FakeRoot returns the same host for root.
func FakeRoot() *host.Host {
	h := FakeUser()
	h.UID, h.GID, h.Name, h.Home, h.Privileged, h.HostRoot, h.Permitted = 0, 0, "root", "/root", true, true, 1<<41-1
	return h
}
