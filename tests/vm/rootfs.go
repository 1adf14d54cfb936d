package main

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// packages lists the packages from which the machine's root file system is made: those that the tests' programs need.
// All their dependencies are added. Nothing is downloaded, so the machine lacks a package that is not installed here.
var packages = []string{
	"base-files", "base-passwd", "bash", "bubblewrap", "busybox-static", "ca-certificates", "coreutils", "curl", "dash", "dbus",
	"dbus-user-session", "debianutils", "diffutils", "findutils", "gcc", "git", "grep", "gzip", "hostname", "iproute2", "kmod", "less", "libpam-systemd",
	"libc-bin", "libc6-dev", "libseccomp-dev", "login", "make", "mawk", "mount", "ncurses-base", "ncurses-bin", "nodejs",
	"passwd", "perl", "pkg-config", "procps", "python3", "sed", "sqlite3", "strace", "systemd", "tar", "tmux", "uidmap", "util-linux",
	"xz-utils",
}

// besides lists files that belong to no package.
var besides = []string{
	"/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/etc/alternatives", "/etc/group", "/etc/ld.so.cache",
	"/etc/nsswitch.conf", "/etc/pam.d", "/etc/passwd", "/etc/ssl/certs", "/usr/local/go/VERSION", "/usr/local/go/bin",
	"/usr/local/go/go.env", "/usr/local/go/pkg", "/usr/local/go/src",
}

var unneeded = []string{"/usr/share/doc/", "/usr/share/info/", "/usr/share/lintian/", "/usr/share/locale/", "/usr/share/man/"}

const (
	rootSize     = "8G" // sparse
	makeRoot     = "make-root"
	imageVersion = "3"
)

// rootImage returns the ext4 image of the root file system. It makes the image anew if other packages or versions are
// installed.
func rootImage() (string, error) {
	cache, err := cacheDir()
	if err != nil {
		return "", err
	}
	names, err := closure()
	if err != nil {
		return "", err
	}
	versions, err := output("", "dpkg-query", append([]string{"-W"}, names...)...)
	if err != nil {
		return "", err
	}
	goVersion, _ := os.ReadFile("/usr/local/go/VERSION")
	key := sha256.Sum256([]byte(imageVersion + versions + string(goVersion)))
	image := filepath.Join(cache, fmt.Sprintf("root-%x.ext4", key[:6]))
	if _, err := os.Stat(image); !errors.Is(err, os.ErrNotExist) {
		return image, err
	}
	old, _ := filepath.Glob(filepath.Join(cache, "root-*.ext4"))
	fmt.Fprintf(os.Stderr, "vm: making a root file system of %d packages of this machine\n", len(names))
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", err
	}
	work, err := os.MkdirTemp(cache, "root-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(work)
	files, err := filesOf(names)
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(work+"/files", []byte(strings.Join(files, "\x00")), 0o644); err != nil {
		return "", err
	}
	if err := asRoot(makeRoot, work); err != nil {
		return "", err
	}
	for _, path := range old {
		os.Remove(path)
	}
	return image, os.Rename(work+"/root.ext4", image)
}

// closure returns the packages and all packages on which they depend, as far as these are installed.
func closure() ([]string, error) {
	list, err := output("", "dpkg-query", "-W", "-f", "${db:Status-Abbrev}\t${Package}\t${Provides}\t${Pre-Depends},${Depends}\n")
	if err != nil {
		return nil, err
	}
	depends, providers := map[string][]string{}, map[string][]string{}
	for line := range strings.Lines(list) {
		f := strings.Split(strings.TrimSpace(line), "\t")
		if len(f) != 4 || !strings.HasPrefix(f[0], "ii") {
			continue
		}
		depends[f[1]] = named(f[3])
		for _, virtual := range named(f[2]) {
			providers[virtual] = append(providers[virtual], f[1])
		}
	}
	found := map[string]bool{}
	for todo := slices.Clone(packages); len(todo) > 0; todo = todo[1:] {
		name := todo[0]
		if _, installed := depends[name]; !installed {
			todo = append(todo, providers[name]...)
		} else if !found[name] {
			found[name] = true
			todo = append(todo, depends[name]...)
		}
	}
	return slices.Sorted(maps.Keys(found)), nil
}

// named returns the packages in a list of dependencies, without versions and architectures. It returns every
// alternative.
func named(list string) []string {
	var names []string
	for _, part := range strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == '|' }) {
		name, _, _ := strings.Cut(strings.TrimSpace(part), " ")
		name, _, _ = strings.Cut(name, ":")
		names = append(names, name)
	}
	return names
}

func filesOf(names []string) ([]string, error) {
	list, err := output("", "dpkg-query", append([]string{"-L"}, names...)...)
	if err != nil {
		return nil, err
	}
	var files []string
	for line := range strings.Lines(list) {
		path := strings.TrimSpace(line)
		if dir, err := filepath.EvalSymlinks(filepath.Dir(path)); err == nil { // /bin/ls is /usr/bin/ls
			path = filepath.Join(dir, filepath.Base(path))
		}
		_, err := os.Lstat(path)
		if !strings.HasPrefix(path, "/") || path == "/" || err != nil || slices.ContainsFunc(unneeded, func(dir string) bool { return strings.HasPrefix(path, dir) }) {
			continue
		}
		files = append(files, path[1:])
	}
	for _, top := range besides {
		filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
			if err == nil {
				files = append(files, path[1:])
			}
			return nil
		})
	}
	slices.Sort(files)
	return slices.Compact(files), nil
}

// asRoot runs this program again with a command and a directory. An ordinary user runs it as root of a user
// namespace, so that the files in the image belong to root.
func asRoot(command, dir string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.Command(self, command, dir)
	cmd.Stderr = os.Stderr
	if os.Getuid() != 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER,
			UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}}
	}
	return cmd.Run()
}

// makeRootImage copies the files that dir/files names and makes dir/root.ext4 from them.
func makeRootImage(dir string) error {
	root := dir + "/root"
	if err := os.Mkdir(root, 0o755); err != nil {
		return err
	}
	// tar omits files that an ordinary user cannot read, and warns about them.
	pack := exec.Command("tar", "-C", "/", "-c", "--null", "--no-recursion", "--ignore-failed-read", "-T", dir+"/files")
	unpack := exec.Command("tar", "-C", root, "-xp")
	pack.Stderr, unpack.Stderr = os.Stderr, os.Stderr
	var err error
	if unpack.Stdin, err = pack.StdoutPipe(); err != nil {
		return err
	}
	if err := errors.Join(pack.Start(), unpack.Run(), pack.Wait()); err != nil {
		return fmt.Errorf("tar: %w", err)
	}
	for _, name := range []string{"dev", "proc", "sys", "run", "tmp", "var/tmp", "root", "home", "cordon", "mnt", "media", "srv", "opt", "etc", "usr/lib/modules", "var/log"} {
		if err := os.MkdirAll(filepath.Join(root, name), 0o755); err != nil {
			return err
		}
	}
	if err := errors.Join(os.Chmod(root+"/tmp", os.ModeSticky|0o777), os.Chmod(root+"/var/tmp", os.ModeSticky|0o777), os.Chmod(root+"/root", 0o700)); err != nil {
		return err
	}
	return makeImage(root, dir+"/root.ext4", rootSize)
}

// makeImage makes an ext4 file system that contains a tree.
func makeImage(tree, image, size string) error {
	_, err := output("", "mke2fs", "-q", "-F", "-t", "ext4", "-m", "0", "-O", "^has_journal", "-E", "lazy_itable_init=1,root_owner=0:0", "-d", tree, image, size)
	return err
}
