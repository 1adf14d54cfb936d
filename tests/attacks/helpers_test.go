package attacks

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// helperAttacks returns the attacks on the programs that the launcher runs and the files that it reads for its own
// needs.
func helperAttacks() []attack {
	on := []string{"default", "build", "container"}
	return []attack{
		{55, "newuidmap that a task left in a directory of PATH", "launcher", plantedHelper, on, shows(plantedBare)},
		{55, "the same, with LD_PRELOAD and BASH_ENV", "launcher", preloadedHelper, on, noControl("the row above shows it")},
		{20, "core dumps, for a program in core_pattern too", "rlimits", coreLimit, on, shows(coreBare)},
		{53, "root's own files in a system directory that is the working directory", "mount", systemWorkdir, []string{"default", "net-client"}, control{who: []string{"root"}}},
		{55, "LOGNAME of another user, for its ranges", "launcher", otherRanges, on, noControl("it takes a launcher that reads LOGNAME")},
	}
}

// mountedIDs runs a command as the account, with other files in place of subuid(5), subgid(5) and passwd(5). It uses a
// mount namespace of its own, so that the machine's files stay as they are.
func (b *box) mountedIDs(ids string, env []string, args ...string) (string, error) {
	dir := b.scratch("ids")
	id := strconv.Itoa(b.who.uid)
	passwd := "root:x:0:0::/root:/bin/sh\nvictim:x:4711:4711::/:/bin/sh\nuser:x:" + id + ":" + id + "::/:/bin/sh\n"
	err := errors.Join(os.WriteFile(dir+"/subids", []byte(ids), 0o644), os.WriteFile(dir+"/passwd", []byte(passwd), 0o644))
	if err != nil {
		return "", err
	}
	const mounts = `mount --bind "$0/subids" /etc/subuid && mount --bind "$0/subids" /etc/subgid && mount --bind "$0/passwd" /etc/passwd && `
	shell := append([]string{"-m", "sh", "-c", mounts + `exec setpriv --reuid ` + id + ` --regid ` + id + ` --clear-groups env -i "$@"`, dir},
		append(append(b.environ(), env...), args...)...)
	c := exec.Command("unshare", shell...)
	c.Dir = b.site.work
	out, err := c.CombinedOutput()
	return string(out), err
}

// plant makes false helper programs of the launcher, which report that they ran.
func (b *box) plant() (dir, hit string, err error) {
	dir = b.scratch("planted")
	hit = filepath.Join(dir, "hit")
	for _, name := range []string{"newuidmap", "newgidmap", "systemd-run", "sh", "env"} {
		err = errors.Join(err, writeScript(filepath.Join(dir, name), "#!/bin/dash\necho ran >"+hit+"\nexit 1\n"))
	}
	return dir, hit, err
}

func plantedHelper(b *box) outcome { return b.planted() }

func preloadedHelper(b *box) outcome {
	return b.planted("LD_PRELOAD="+filepath.Join(b.site.work, "none.so"), "LD_LIBRARY_PATH="+b.site.work, "BASH_ENV="+b.site.work+"/none", "IFS=/")
}

func (b *box) planted(env ...string) outcome {
	if os.Getuid() != 0 {
		return absent("it takes root to give the user a range")
	}
	dir, hit, err := b.plant()
	if err != nil {
		return broken("%v", err)
	}
	ids := "root:700000:65536\n" + strconv.Itoa(b.who.uid) + ":800000:65536\n"
	program := []string{"cat", "/proc/self/uid_map"}
	for range 2 {
		out, err := b.mountedIDs(ids, append(env, "PATH="+dir+":/usr/bin:/bin"), b.with("--ranges").argv(program)...)
		switch {
		case exists(hit):
			return escaped("it ran outside the sandbox")
		case err != nil || !strings.Contains(out, "00000"):
			return broken("%v %s", err, out)
		}
	}
	return blocked("the system's own ran")
}

// plantedBare shows the attack on a launcher that looks for its helpers in PATH.
func plantedBare(b *box) outcome {
	dir, hit, err := b.plant()
	if err != nil {
		return broken("%v", err)
	}
	b.env = append(b.env, "PATH="+dir+":/usr/bin:/bin")
	b.run("/bin/dash", "-c", "newuidmap")
	if exists(hit) {
		return escaped("it ran")
	}
	return blocked("")
}

func otherRanges(b *box) outcome {
	if os.Getuid() != 0 {
		return absent("it takes root to give somebody a range")
	}
	ids := "victim:700000:65536\nroot:800000:65536\n" + strconv.Itoa(b.who.uid) + ":800000:65536\n"
	program := []string{"cat", "/proc/self/uid_map"}
	out, err := b.mountedIDs(ids, []string{"LOGNAME=victim", "USER=victim"}, b.with("--ranges").argv(program)...)
	switch {
	case strings.Contains(out, "700000"):
		return escaped("%s", out)
	case err != nil || !strings.Contains(out, "800000"):
		return broken("%v %s", err, out)
	}
	return blocked("its own ranges")
}

// coreLimit tries to set the one limit that lets the kernel start the program in core_pattern.
func coreLimit(b *box) outcome {
	r := b.run("cat", "/proc/self/limits")
	for line := range strings.Lines(r.out) {
		f := strings.Fields(line)
		if !strings.HasPrefix(line, "Max core file size") || len(f) < 6 {
			continue
		}
		if f[4] == "1" && f[5] == "1" {
			return blocked("1 byte")
		}
		return escaped("%s", line)
	}
	return broken("%d %s%s", r.code, r.out, r.err)
}

// coreBare shows that the attack works with a limit of 0, as a shell sets it.
func coreBare(b *box) outcome {
	b.wrap = []string{"prlimit", "--core=0"}
	return coreLimit(b)
}

// systemWorkdir starts in a directory of the system and reads a file there that only root may read.
func systemWorkdir(b *box) outcome {
	if b.who.uid != 0 {
		return absent("an ordinary user's task has the user's rights")
	}
	file := rootsFile()
	if file == "" {
		return absent("no such file in /etc")
	}
	b.dir = filepath.Dir(file)
	for range 2 {
		switch r := b.run("cat", file); {
		case r.code == 0:
			return escaped("%s is readable", file)
		case !strings.Contains(r.err, "Permission denied"):
			return broken("%s: %d %s", file, r.code, r.err)
		}
	}
	return blocked("EACCES")
}

// rootsFile returns a file below /etc that only root may read, and that no profile hides.
func rootsFile() (found string) {
	_ = filepath.WalkDir("/etc", func(path string, e os.DirEntry, err error) error {
		if err != nil {
			return nil //nolint:nilerr // continue with the next file
		}
		info, err := e.Info()
		if err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o077 == 0 && !strings.Contains(path, "shadow") {
			found = path
			return filepath.SkipAll
		}
		return nil
	})
	return found
}
