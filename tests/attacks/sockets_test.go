package attacks

import (
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"cordon/tests/scratch"
)

// withNet lists the profiles that show the host's tree, with and without a network.
var withNet = []string{"default", "build", "agent", "net-client"}

func socketAttacks() []attack {
	return []attack{
		{45, "a socket in the working directory", "mount", socketIn("cwd", ""), withNet, anyone},
		{45, "a socket deep in the working directory", "mount", socketIn("cwd", "a/b"), withNet, anyone},
		{45, "a socket that was renamed after it was bound", "mount", socketRenamed, withNet, anyone},
		{45, "a socket in /tmp, with /tmp as working directory", "mount", socketIn("/tmp", "t"), withNet, anyone},
		{45, "a socket of a service below /var/lib", "mount", socketIn("/var/lib", "."), withNet, anyone},
		{45, "a socket that was bound by a relative name, in a directory of root's", "mount", socketRelative(false), withNet, shows(socketRelative(false))},
		{45, "a socket that was renamed, in a directory of root's", "mount", socketRelative(true), withNet, shows(socketRelative(true))},
		{45, "a program that listens for one connection still has it after a launch", "launcher", socketOnce, []string{"build"}, noControl("it is a check, not an attack")},
		{45, "a socket that is made in the working directory later", "mount", socketLater, []string{"default", "net-client"}, anyone},
		{45, "a socket that was bound through a link", "mount", socketLinked, withNet, anyone},
		{45, "a tmux server runs a command", "mount", tmuxServer, withNet, anyone},
		{45, "a working directory that is /run, or a session's part of it", "launcher", inRun, withNet, noControl("it is a check, not an attack")},
		{45, "a socket that an earlier run left can be removed", "mount", socketLeft, []string{"build", "agent"}, noControl("it is a check, not an attack")},
		{45, "a socket that is bound by its name stays", "mount", socketNamed, onTree, noControl("it is a check, not an attack")},
		{54, "flock on a read-only file, held against a program outside", "mount", lockedOutside, []string{"default", "net-client"}, shows(lockedOutside)},
	}
}

// listen makes a socket that belongs to the account, and listens at it.
func (b *box) listen(path string) {
	b.t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		panic(broken("%v", err))
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		panic(broken("%v", err))
	}
	l.(*net.UnixListener).SetUnlinkOnClose(true)
	b.t.Cleanup(func() { l.Close() })
	if err := errors.Join(os.Chmod(path, 0o700), give(path, b.who)); err != nil {
		panic(broken("%v", err))
	}
}

// in returns the box with a different working directory.
func (b *box) in(dir string) *box {
	c := *b
	c.dir = dir
	return &c
}

// socketIn connects to a socket below place. "cwd" means a new working directory.
func socketIn(place, below string) func(*box) outcome {
	return func(b *box) outcome {
		var dir string
		c := b
		if place == "cwd" {
			dir = b.scratch("cwd")
			c = b.in(dir)
		} else {
			top, err := scratch.Dir(place, "attacks")
			if err != nil {
				return absent("%v", err)
			}
			b.t.Cleanup(func() { os.RemoveAll(top) })
			if err := errors.Join(os.Chmod(top, 0o755), give(top, b.who)); err != nil {
				return broken("%v", err)
			}
			if place == "/tmp" {
				c = b.in(place)
			}
			dir = top
		}
		sock := filepath.Join(dir, below, "s")
		b.listen(sock)
		return twice(func() outcome {
			r := c.run(b.site.work+"/probe", "connect", sock)
			if r.code == 125 && place == "/tmp" { // because of other files there, such as an unreadable repository
				return blocked("refused: %s", firstLines(r.err, 1))
			}
			return outcomeOf(r)
		})
	}
}

func twice(run func() outcome) outcome {
	if o := run(); o.state != "blocked" {
		return o
	}
	return run()
}

func socketRenamed(b *box) outcome {
	dir := b.scratch("cwd")
	b.listen(dir + "/a")
	if err := os.Rename(dir+"/a", dir+"/b"); err != nil {
		return broken("%v", err)
	}
	return twice(func() outcome { return outcomeOf(b.in(dir).run(b.site.work+"/probe", "connect", dir+"/b")) })
}

// socketRelative connects to a socket below /var/lib that was bound by a relative name, so that the kernel knows no
// path for it.
func socketRelative(rename bool) func(*box) outcome {
	return func(b *box) outcome {
		if os.Getuid() != 0 {
			return absent("only root can make a socket there")
		}
		dir, err := scratch.Dir("/var/lib", "attacks")
		if err != nil {
			return broken("%v", err)
		}
		b.t.Cleanup(func() { os.RemoveAll(dir) })
		here, err := os.Getwd()
		if err != nil {
			return broken("%v", err)
		}
		if err := errors.Join(os.Chmod(dir, 0o755), os.Chdir(dir)); err != nil {
			return broken("%v", err)
		}
		l, err := net.Listen("unix", "s")
		if err = errors.Join(err, os.Chdir(here)); err != nil {
			return broken("%v", err)
		}
		b.t.Cleanup(func() { l.Close() })
		sock := dir + "/s"
		if rename {
			sock = dir + "/t"
			err = os.Rename(dir+"/s", sock)
		}
		if err := errors.Join(err, os.Chmod(sock, 0o777)); err != nil {
			return broken("%v", err)
		}
		return twice(func() outcome { return outcomeOf(b.run(b.site.work+"/probe", "connect", sock)) })
	}
}

// socketOnce listens in another network namespace, so that the launcher cannot ask the kernel about the socket. The
// launcher itself must not connect to it either, because that would use up the connection.
func socketOnce(b *box) outcome {
	if os.Getuid() != 0 {
		return absent("only root can make the network namespace")
	}
	python, err := exec.LookPath("python3")
	if err != nil {
		return absent("no python3")
	}
	dir := b.scratch("cwd")
	const once = `import socket,sys
s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen(1); s.settimeout(1.5)
print("ready", flush=True)
try: s.accept(); print("taken")
except TimeoutError: print("waiting")`
	return twice(func() outcome {
		os.Remove(dir + "/s")
		server := exec.Command("unshare", "-n", python, "-c", once, dir+"/s")
		out, err := server.StdoutPipe()
		if err = errors.Join(err, server.Start()); err != nil {
			return broken("%v", err)
		}
		defer server.Wait()
		line := make([]byte, 6)
		if _, err := io.ReadFull(out, line); err != nil {
			return broken("%v", err)
		}
		r := b.in(dir).run("ls")
		rest, _ := io.ReadAll(out)
		if r.code != 0 || strings.TrimSpace(string(rest)) != "waiting" {
			return escaped("exit %d, the server says %s %s", r.code, rest, r.err)
		}
		return blocked("the program still waits")
	})
}

// socketLinked connects to a socket by its real path. The socket was bound by a path that leads through a link.
func socketLinked(b *box) outcome {
	dir := b.outside().dir
	link := b.scratch("link") + "/l"
	if err := os.Symlink(dir, link); err != nil {
		return broken("%v", err)
	}
	b.listen(link + "/s")
	return twice(func() outcome { return outcomeOf(b.run(b.site.work+"/probe", "connect", dir+"/s")) })
}

// socketLater makes the socket while the task waits.
func socketLater(b *box) outcome {
	dir := b.scratch("cwd")
	if err := copyFile(probeBin, dir+"/probe"); err != nil {
		return broken("%v", err)
	}
	r := b.in(dir).start("sh", "-c", "ls >/dev/null; echo ready; read line; exec ./probe connect "+dir+"/s")
	b.listen(dir + "/s")
	if _, err := r.stdin.Write([]byte("go\n")); err != nil {
		return broken("%v", err)
	}
	r.end()
	return outcomeOf(result{out: strings.TrimPrefix(r.out.String(), "ready\n"), err: r.errs.String(), code: exitCode(r.cmd)})
}

// tmuxServer asks a tmux server of the account to run a command, which would then run outside the sandbox.
func tmuxServer(b *box) outcome {
	tmux, err := exec.LookPath("tmux")
	if err != nil {
		return absent("no tmux")
	}
	dir := b.scratch("cwd")
	outside := newBox(b.t, "", b.who).in(dir)
	if r := outside.run(tmux, "-S", dir+"/t", "new-session", "-d", "sleep 60"); r.code != 0 {
		return broken("tmux: %s", r.err)
	}
	defer outside.run(tmux, "-S", dir+"/t", "kill-server")
	out := b.outside()
	return twice(func() outcome {
		r := b.in(dir).run(tmux, "-S", dir+"/t", "run-shell", "touch "+out.dir+"/made")
		time.Sleep(50 * time.Millisecond)
		if exists(out.dir + "/made") {
			return escaped("the server made a file")
		}
		return blocked("%s", firstLines(r.err, 1))
	})
}

// inRun starts with a working directory that would show the session's sockets.
func inRun(b *box) outcome {
	for _, dir := range []string{"/run", "/run/user"} {
		if !exists(dir) {
			continue
		}
		r := b.in(dir).run("ls", "-A", dir)
		if r.code != 125 && strings.TrimSpace(r.out) != "" {
			return escaped("%s: exit %d %s%s", dir, r.code, r.out, r.err)
		}
	}
	return blocked("refused, or not shown")
}

// socketNamed connects to a socket that the caller binds by name in the profile.
func socketNamed(b *box) outcome {
	sock := b.scratch("named") + "/s"
	b.listen(sock)
	if r := b.with("--ro", sock).run(b.site.work+"/probe", "connect", sock); !strings.Contains(r.out, "escaped") {
		return broken("it cannot be reached: %s%s", r.out, r.err)
	}
	return blocked("it can be reached")
}

// lockedOutside lets the task lock a file that it may only read, and then tries to lock the file outside.
func lockedOutside(b *box) outcome {
	if _, err := exec.LookPath("flock"); err != nil {
		return absent("no flock")
	}
	dir := b.scratch("cwd")
	if err := errors.Join(os.WriteFile(dir+"/f", nil, 0o644), give(dir, b.who)); err != nil {
		return broken("%v", err)
	}
	r := b.in(dir).start("sh", "-c", "exec 3<f; flock -n 3 && echo ready; read line; :")
	defer r.end()
	if held := newBox(b.t, "", b.who).in(dir).run("flock", "-n", "f", "true"); held.code != 0 {
		return escaped("a program outside waits for the lock")
	}
	return blocked("the lock is the sandbox's own")
}

// socketLeft removes a socket at which nobody listens any more.
func socketLeft(b *box) outcome {
	dir := b.scratch("cwd")
	l, err := net.Listen("unix", dir+"/s")
	if err != nil {
		return broken("%v", err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	if err := errors.Join(l.Close(), give(dir, b.who)); err != nil {
		return broken("%v", err)
	}
	if r := b.in(dir).run("rm", "s"); r.code != 0 {
		return broken("exit %d %s", r.code, r.err)
	}
	return blocked("it was removed")
}
