package hosts

// This file lets a copy of this program take away some of its own rights, and then become the command.

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// applyVar is the variable that holds the restrictions: one on each line, a word and its argument.
const applyVar = "CORDON_HOSTS_APPLY"

// applied maps the name of a restriction to its function. Each changes the calling thread, which then executes the
// command.
var applied = map[string]func(arg string) error{
	"proc":     func(arg string) error { return unix.Mount("proc", "/proc", "proc", 0, arg) },
	"gone":     func(arg string) error { return unix.Unmount(arg, unix.MNT_DETACH) },
	"empty":    func(arg string) error { return unix.Mount("empty", arg, "tmpfs", 0, "mode=0755") },
	"mask":     mask,
	"without":  without,
	"readonly": readOnly,
	"noexec":   func(arg string) error { return setAttr(arg, unix.MOUNT_ATTR_NOEXEC) },
	"sysctl":   sysctl,
	"drop":     drop,
	"keep":     keep,
	"deny":     deny,
	"chroot":   func(arg string) error { return errors.Join(unix.Chroot(arg), unix.Chdir("/")) },
	"nnp":      func(string) error { return unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) },
	"uid":      become,
	"cd":       unix.Chdir,
	"umask":    func(string) error { unix.Umask(0o777); return nil },
}

// apply carries out the restrictions and executes the command. It returns only on an error.
func apply(list string) error {
	runtime.LockOSThread() // execve(2) ends the other threads
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil && os.Getuid() == 0 {
		return fmt.Errorf("private mounts: %w", err)
	}
	for line := range strings.Lines(list) {
		name, arg, _ := strings.Cut(strings.TrimRight(line, "\n"), " ")
		if name == "" {
			continue
		}
		do := applied[name]
		if do == nil {
			return errors.New("no restriction " + name)
		}
		if err := do(arg); err != nil {
			return fmt.Errorf("%s %s: %w", name, arg, err)
		}
	}
	if err := os.Unsetenv(applyVar); err != nil {
		return err
	}
	return unix.Exec(os.Args[1], os.Args[1:], os.Environ())
}

// mask covers a file or directory, as container runtimes do.
func mask(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if info.IsDir() {
		return unix.Mount("masked", path, "tmpfs", unix.MS_RDONLY, "")
	}
	return unix.Mount("/dev/null", path, "", unix.MS_BIND, "")
}

// without changes to a root that has everything except one name. Its argument is a directory for this root, and the
// name.
func without(arg string) error {
	dir, name, _ := strings.Cut(arg, " ")
	entries, err := os.ReadDir("/")
	if err != nil {
		return err
	}
	if err := unix.Mount("root", dir, "tmpfs", 0, "mode=0755"); err != nil {
		return err
	}
	for _, e := range entries {
		to := dir + "/" + e.Name()
		switch {
		case e.Name() == name:
		case e.Type()&os.ModeSymlink != 0:
			text, _ := os.Readlink("/" + e.Name())
			err = errors.Join(err, os.Symlink(text, to))
		case e.IsDir():
			err = errors.Join(err, os.Mkdir(to, 0o755), unix.Mount("/"+e.Name(), to, "", unix.MS_BIND|unix.MS_REC, ""))
		}
	}
	here, _ := os.Getwd()
	return errors.Join(err, unix.Chdir(dir), unix.PivotRoot(".", "."), unix.Unmount(".", unix.MNT_DETACH), unix.Chdir(here))
}

func readOnly(path string) error {
	a := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}
	return unix.MountSetattr(unix.AT_FDCWD, path, unix.AT_RECURSIVE, &a)
}

func setAttr(path string, attr uint64) error {
	if err := unix.Mount(path, path, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return err
	}
	a := unix.MountAttr{Attr_set: attr}
	return unix.MountSetattr(unix.AT_FDCWD, path, unix.AT_RECURSIVE, &a)
}

func sysctl(arg string) error {
	path, value, _ := strings.Cut(arg, " ")
	return os.WriteFile(path, []byte(value), 0)
}

var capabilities = map[string]uintptr{"SYS_PTRACE": unix.CAP_SYS_PTRACE, "SETFCAP": unix.CAP_SETFCAP, "SYS_ADMIN": unix.CAP_SYS_ADMIN,
	"CHOWN": unix.CAP_CHOWN, "DAC_OVERRIDE": unix.CAP_DAC_OVERRIDE, "FOWNER": unix.CAP_FOWNER, "FSETID": unix.CAP_FSETID,
	"KILL": unix.CAP_KILL, "SETGID": unix.CAP_SETGID, "SETUID": unix.CAP_SETUID, "SETPCAP": unix.CAP_SETPCAP,
	"NET_BIND_SERVICE": unix.CAP_NET_BIND_SERVICE, "SYS_CHROOT": unix.CAP_SYS_CHROOT, "MKNOD": unix.CAP_MKNOD,
	"AUDIT_WRITE": unix.CAP_AUDIT_WRITE, "NET_RAW": unix.CAP_NET_RAW}

// drop removes capabilities from the bounding set. execve(2) then gives root only the rest.
func drop(names string) error {
	for name := range strings.FieldsSeq(names) {
		number, ok := capabilities[name]
		if !ok {
			return errors.New("no capability " + name)
		}
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, number, 0, 0, 0); err != nil {
			return err
		}
	}
	return nil
}

// keep removes all capabilities except those with these names.
func keep(names string) error {
	kept := map[uintptr]bool{}
	for name := range strings.FieldsSeq(names) {
		kept[capabilities[name]] = true
	}
	for number := uintptr(0); number < 64; number++ {
		if kept[number] {
			continue
		}
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, number, 0, 0, 0); err == unix.EINVAL {
			break
		} else if err != nil {
			return err
		}
	}
	return nil
}

// become switches to another id, which has no capabilities.
func become(arg string) error {
	id, err := strconv.Atoi(arg)
	if err != nil {
		return err
	}
	return errors.Join(unix.Setgroups(nil), unix.Setresgid(id, id, id), unix.Setresuid(id, id, id))
}
