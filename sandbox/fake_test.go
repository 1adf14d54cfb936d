package sandbox

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

// fakeFiles is a host's tree in a map, so that what is compiled from it is the same on every machine.
type fakeFiles map[string]fakeFile

type fakeFile struct {
	name  string // of the base; set when it is looked up
	mode  fs.FileMode
	text  string // of a file, or of a symbolic link
	rdev  uint64
	owner int // its user; 0 is root
	ino   uint64
	names uint64        // how many hard links
	fails syscall.Errno // of looking at what is in the directory
}

func (f fakeFile) Name() string { return f.name }

func (f fakeFile) Size() int64 { return int64(len(f.text)) }

func (f fakeFile) Mode() fs.FileMode { return f.mode }

func (f fakeFile) ModTime() time.Time { return time.Time{} }

func (f fakeFile) IsDir() bool { return f.mode.IsDir() }

func (f fakeFile) Type() fs.FileMode { return f.mode.Type() }

func (f fakeFile) Sys() any {
	st := &syscall.Stat_t{Rdev: f.rdev, Uid: uint32(f.owner), Ino: f.ino}
	setNumber(&st.Nlink, f.names)
	return st
}

// setNumber sets a number whose size the architecture decides.
func setNumber[T uint32 | uint64](to *T, n uint64) { *to = T(n) }

func (f fakeFile) Info() (fs.FileInfo, error) { return f, nil }

// The ways to put something into the tree; the directories above it come with it.
func (t fakeFiles) dir(paths ...string) {
	for _, p := range paths {
		if _, ok := t[p]; p != "/" && !ok {
			t.dir(path.Dir(p))
		}
		t[p] = fakeFile{mode: fs.ModeDir | 0o755}
	}
}

func (t fakeFiles) put(p string, f fakeFile) { t.dir(path.Dir(p)); t[p] = f }

func (t fakeFiles) link(p, text string) { t.put(p, fakeFile{mode: fs.ModeSymlink | 0o777, text: text}) }

func (t fakeFiles) file(paths ...string) {
	for _, p := range paths {
		t.put(p, fakeFile{mode: 0o644})
	}
}

// own gives directories to the ordinary user; open lets everybody write to them.
func (t fakeFiles) own(paths ...string) {
	for _, p := range paths {
		f := t[p]
		f.owner = 1000
		t[p] = f
	}
}

func (t fakeFiles) open(paths ...string) {
	for _, p := range paths {
		t[p] = fakeFile{mode: fs.ModeDir | fs.ModeSticky | 0o777}
	}
}

func (t fakeFiles) program(p, text string) { t.put(p, fakeFile{mode: 0o755, text: text}) }

// find is path_resolution(7): last says whether a symbolic link at the end is followed.
func (t fakeFiles) find(op, p string, last bool) (string, fakeFile, error) {
	fail := func(errno syscall.Errno) (string, fakeFile, error) {
		return "", fakeFile{}, &fs.PathError{Op: op, Path: p, Err: errno}
	}
	if !strings.HasPrefix(p, "/") {
		return fail(unix.EINVAL) // only absolute paths are ever asked for
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
		} else if here.fails == unix.EACCES {
			return fail(unix.EACCES)
		}
		next := path.Join(at, name)
		f, ok := t[next]
		if !ok {
			return fail(unix.ENOENT)
		}
		if f.mode&fs.ModeSymlink == 0 || len(rest) == 0 && !last {
			at = next
			continue
		}
		if links++; links > 40 {
			return fail(unix.ELOOP)
		}
		if strings.HasPrefix(f.text, "/") {
			at = "/"
		}
		rest = append(strings.Split(f.text, "/"), rest...)
	}
	f, ok := t[at]
	if !ok {
		return fail(unix.ENOENT)
	}
	f.name = path.Base(at)
	return at, f, nil
}

func (t fakeFiles) Lstat(p string) (fs.FileInfo, error) {
	_, f, err := t.find("lstat", p, false)
	return f, err
}

// At is the part of the tree below a directory.
func (t fakeFiles) At(root string) host.Files {
	sub := fakeFiles{}
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

func (t fakeFiles) Private(dir string) error {
	for dir != "/" {
		dir = path.Dir(dir)
		if f, ok := t[dir]; ok && f.mode.Perm()&0o011 == 0 {
			return nil
		}
	}
	return errors.New("every directory above it can be searched by others")
}

func (t fakeFiles) Stat(p string) (fs.FileInfo, error) {
	_, f, err := t.find("stat", p, true)
	return f, err
}

func (t fakeFiles) Readlink(p string) (string, error) {
	_, f, err := t.find("readlink", p, false)
	if err == nil && f.mode&fs.ModeSymlink == 0 {
		err = &fs.PathError{Op: "readlink", Path: p, Err: unix.EINVAL}
	}
	return f.text, err
}

func (t fakeFiles) ReadDir(p string) (list []fs.DirEntry, err error) {
	at, dir, err := t.find("open", p, true)
	if err == nil && !dir.IsDir() {
		err = &fs.PathError{Op: "readdirent", Path: p, Err: unix.ENOTDIR}
	} else if err == nil && dir.fails != 0 {
		err = &fs.PathError{Op: "readdirent", Path: p, Err: dir.fails}
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

func (t fakeFiles) Read(p string, n int) ([]byte, error) {
	_, f, err := t.find("open", p, true)
	if err == nil && f.IsDir() {
		err = &fs.PathError{Op: "read", Path: p, Err: unix.EISDIR}
	}
	return []byte(f.text[:min(n, len(f.text))]), err
}

// Access judges by the permissions of others, and of the owner for an ordinary user's own files.
func (t fakeFiles) Access(p string, mode uint32) error {
	_, f, err := t.find("access", p, true)
	if err != nil {
		return errors.Unwrap(err)
	}
	perm := f.mode.Perm()
	if f.owner == 1000 {
		perm |= perm >> 6
	}
	if uint32(perm)&mode != mode {
		return unix.EACCES
	}
	return nil
}

// fakeTree is a usual distribution with a merged /usr, and the home of an ordinary user.
func fakeTree() fakeFiles {
	t := fakeFiles{}
	t.dir("/", "/tmp", "/var/tmp", "/run/user/1000", "/mnt", "/media", "/srv", "/root", "/sys", "/var/mail", "/usr/sbin", "/usr/lib64", "/usr/local/bin")
	t.link("/bin", "usr/bin")
	t.link("/sbin", "usr/sbin")
	t.link("/lib", "usr/lib")
	t.link("/lib64", "usr/lib64")
	t.link("/var/run", "/run")
	t.link("/var/spool/mail", "../mail")
	t.file("/etc/passwd", "/etc/group", "/etc/shadow", "/etc/gshadow", "/etc/hosts", "/etc/hostname", "/etc/ld.so.cache", "/usr/lib/libc.so.6")
	t.put("/etc/resolv.conf", fakeFile{mode: 0o644, text: "nameserver 192.0.2.53\n"})
	for _, name := range []string{"sh", "true", "env", "python3.13"} {
		t.program("/usr/bin/"+name, "\x7fELF")
	}
	t.link("/usr/bin/python3", "python3.13")
	for _, n := range [...]struct {
		name         string
		major, minor uint32
	}{{"null", 1, 3}, {"zero", 1, 5}, {"full", 1, 7}, {"random", 1, 8}, {"urandom", 1, 9}, {"tty", 5, 0}} {
		t.put("/dev/"+n.name, fakeFile{mode: fs.ModeDevice | fs.ModeCharDevice | 0o666, rdev: unix.Mkdev(n.major, n.minor)})
	}
	t.dir("/proc/acpi", "/proc/scsi", "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys")
	t.put("/proc/net/unix", fakeFile{mode: 0o444, text: "Num       RefCount Protocol Flags    Type St Inode Path\n0: 00000002 00000000 00010000 0001 01 17 /run/x\n"})
	t.file("/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/sysrq-trigger")
	t.dir("/home/ann/src/demo/.git", "/home/ann/.ssh", "/home/ann/.aws", "/home/ann/.config/gh")
	t.file("/home/ann/.netrc", "/home/ann/.bash_history", "/home/ann/src/demo/main.c")
	t.program("/home/ann/bin/tool", "\x7fELF")
	t.program("/home/ann/src/demo/build.sh", "#!/bin/sh -e\ntrue\n")
	for _, p := range []string{"/", "/bin", "/etc", "/proc", "/dev", "/sys", "/tmp", "/root", "/usr/bin"} {
		t.dir(path.Join("/srv/rootfs", p))
	}
	t.file("/srv/rootfs/etc/hosts", "/srv/rootfs/etc/hostname", "/srv/rootfs/etc/resolv.conf")
	t.program("/srv/rootfs/bin/true", "\x7fELF")
	return t
}

// fakeUser is an ordinary user on a current kernel; a test changes what it is about.
func fakeUser() *host.Host {
	return &host.Host{Kernel: [2]int{6, 18}, LandlockABI: 7, LastCap: 40, UID: 1000, GID: 1000, NofileMax: 524288, NotifyFlags: 0x28,
		Name: "ann", Home: "/home/ann", Cwd: "/home/ann/src/demo", PID: 4321, Files: fakeTree()}
}

// cgroupHost gives a machine cgroups of a version, where the launcher is in the group that a text like that of
// /proc/self/cgroup names. Whoever is not root may write to none of them.
func cgroupHost(h *host.Host, own string, version int) *host.Host {
	t := h.Files.(fakeFiles)
	t.put("/proc/self/cgroup", fakeFile{text: own})
	if version == 2 {
		t.put("/proc/self/mountinfo", fakeFile{text: "30 1 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate\n"})
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
		t.put("/proc/self/cgroup", fakeFile{text: t["/proc/self/cgroup"].text + line})
		fakeGroup(t, "/sys/fs/cgroup/"+f[1]+f[2], "", "1\n", h.UID == 0)
	}
	t.put("/proc/self/mountinfo", fakeFile{text: mounts.String()})
	return h
}

// fakeGroup makes the files of one group, with some controllers on for those below it.
func fakeGroup(t fakeFiles, dir, kind, procs string, writable bool) {
	dir = strings.TrimSuffix(dir, "/")
	mode := fs.FileMode(0o644)
	if writable {
		mode = 0o666
	}
	t.dir(dir)
	t.put(dir+"/cgroup.procs", fakeFile{mode: mode, text: procs})
	t.put(dir+"/cgroup.controllers", fakeFile{mode: 0o444, text: "cpuset cpu io memory hugetlb pids\n"})
	t.put(dir+"/cgroup.subtree_control", fakeFile{mode: mode, text: "memory pids\n"})
	if kind != "" {
		t.put(dir+"/cgroup.type", fakeFile{mode: 0o644, text: kind})
	}
	if writable {
		t[dir] = fakeFile{mode: fs.ModeDir | 0o777}
	}
}

// limited is a profile with a memory limit.
func limited(change ...func(*policy.Profile)) *policy.Profile {
	return with(func(p *policy.Profile) {
		p.Limits.Memory = policy.Opt[int64]{Set: true, V: 1 << 30}
		p.Sources = sourced("limits.memory")
		for _, f := range change {
			f(p)
		}
	})
}

// joinHost gives a machine the process 77, in a user namespace with these id maps and in a mount namespace whose tree
// is that of the machine.
func joinHost(h *host.Host, maps string) *host.Host {
	t := h.Files.(fakeFiles)
	inside := fakeTree()
	for name, f := range inside {
		if name != "/" {
			t["/proc/77/root"+name] = f
		}
	}
	t.dir("/proc/77/root", "/proc/77/ns")
	t.put("/proc/77/uid_map", fakeFile{mode: 0o444, text: maps + "\n"})
	t.put("/proc/77/gid_map", fakeFile{mode: 0o444, text: maps + "\n"})
	t.put("/proc/77/setgroups", fakeFile{mode: 0o644, text: "deny\n"})
	return h
}

// tableHost is an ordinary user's machine with a table of mounts.
func tableHost(mounts string) *host.Host {
	h := fakeUser()
	h.Files.(fakeFiles).put("/proc/self/mountinfo", fakeFile{text: mounts})
	return h
}

// fakeRoot is root on the same machine.
func fakeRoot() *host.Host {
	h := fakeUser()
	h.UID, h.GID, h.Name, h.Home, h.Privileged, h.HostRoot, h.Permitted = 0, 0, "root", "/root", true, true, 1<<41-1
	return h
}
