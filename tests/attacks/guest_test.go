package attacks

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// This file has rows 46 to 49 of the threat model: attacks on things that belong to the caller. testdata/guest.c plays
// the task.

func guestAttacks() []attack {
	return []attack{
		{46, "a script or a link that a task left chooses what is bound", "lookup", plantedPrograms, []string{"default", "build", "strict", "agent"}, shows(plantsBare)},
		{47, "write into the pipe on stdin, for the next reader", "launcher", injectStdin, nil, shows(injectStdin)},
		{47, "read what others have written to stdout's pipe", "launcher", drinkStdout, nil, shows(drinkStdout)},
		{48, "keys typed for the script that started it", "launcher", grabKeys, nil, shows(grabKeys)},
		{49, "ask another sandbox's control socket", "launcher", askControl, nil, shows(askControlBare)},
	}
}

var guestBin = sync.OnceValues(func() (string, error) {
	bin := filepath.Join(base, "guest")
	return bin, build("gcc", "-O1", "-Wall", "-Werror", "-static", "-o", bin, filepath.Join("testdata", "guest.c"))
})

// guest returns the path, in the sandbox, of the program that plays the task.
func (b *box) guest() string {
	b.t.Helper()
	bin, err := guestBin()
	to := b.site.work + "/guest"
	if b.onRootfs() {
		to = b.site.rootfs + "/guest"
	}
	if err == nil && !exists(to) {
		err = errors.Join(copyFile(bin, to), os.Chown(to, b.who.uid, b.who.gid))
	}
	if err != nil {
		b.t.Fatal(err)
	}
	if b.onRootfs() {
		return "/guest"
	}
	return "./guest"
}

// plants lists what a task may leave in the working directory so that the next run shows it a file of the home. Each
// entry has a shell command, the command line of the next run, and the first directory of PATH.
var plants = []struct{ plant, typed, path string }{
	{"ln -s SECRET l", "./l", ""},
	{"ln -s KEYS d", "./d/secret", ""},
	{"ln -s SECRET l; printf '#!WORK/l\\v\\n' >x", "./x", ""},
	{"ln -s SECRET l; printf '#!WORK/l\\302\\205\\n' >x", "./x", ""},
	{"ln -s SECRET l; echo '#!WORK/l' >x", "./x", ""},
	{"ln -s SECRET l; echo '#!l' >x", "./x", ""},
	{"ln -s KEYS d; echo '#!WORK/d/secret' >x", "./x", ""},
	{"echo '#!SECRET' >x", "./x", ""},
	{"ln -s ../../../../../../../../..SECRET l; echo '#!WORK/l a' >x", "./x", ""},
	{"cp /usr/bin/env env; echo '#!WORK/env secret' >x", "./x", "KEYS"},
	{"ln -s SECRET name; echo '#!/usr/bin/env name' >x", "./x", "WORK"},
	{"mkdir bin; ln -s SECRET bin/name", "name", "WORK/bin"},
	{"mkdir bin; ln -s /proc/self/root/KEYS bin/d; ln -s d/secret bin/name", "name", "WORK/bin"},
	{"echo '#!WORK/y' >x; ln -s SECRET l; echo '#!WORK/l' >y; chmod 755 y", "./x", ""},
	{"x=a; for i in 1 2 3 4 5; do echo '#!WORK/'$i >$x; chmod 755 $x; x=$i; done; echo '#!SECRET' >5; mv a x", "./x", ""},
}

// plantedPrograms lets one run leave such files, and checks what the next run shows.
func plantedPrograms(b *box) outcome { return b.tryPlants(true) }

func plantsBare(b *box) outcome { return b.tryPlants(false) }

func (b *box) tryPlants(all bool) outcome {
	keys := b.site.home + "/keys"
	err := errors.Join(os.MkdirAll(keys, 0o755), os.WriteFile(keys+"/secret", []byte("#!/bin/sh\necho "+b.site.mark+"\n"), 0o755), give(keys, b.who))
	if err != nil {
		return broken("%v", err)
	}
	refused := 0
	for _, p := range plants {
		work := b.scratch("plants")
		fill := strings.NewReplacer("SECRET", keys+"/secret", "KEYS", keys, "WORK", work)
		in := *b
		in.dir, in.env = work, append(b.env, "PATH="+strings.TrimPrefix(fill.Replace(p.path)+":/usr/bin:/bin", ":"))
		first := in
		if !b.bare() {
			first.profile = "build"
		}
		if r := first.run("sh", "-c", fill.Replace(p.plant)+"; [ ! -e x ] || chmod 755 x"); r.code != 0 {
			return broken("%s: %s", p.plant, r.err)
		}
		r := in.run(p.typed)
		if strings.Contains(r.out, b.site.mark) || strings.Contains(r.err, "added: "+keys) {
			return escaped("%s: %s%s", p.plant, r.out, r.err)
		}
		if refused++; r.code == 0 && all {
			return broken("%s: it ran: %s", p.plant, r.out)
		}
	}
	return blocked("%d ways", refused)
}

// injectStdin runs a task between two readers of one pipe.
func injectStdin(b *box) outcome {
	r, w := b.pipe("first\nsecond\n")
	var out bytes.Buffer
	code := b.onFiles(r, &out, nil, "inject")
	w.Close()
	rest, err := io.ReadAll(r)
	switch {
	case err != nil:
		return broken("%v", err)
	case strings.Contains(string(rest), "injected"):
		return escaped("the next reader gets %q", rest)
	case string(rest) != "first\nsecond\n":
		return broken("the next reader gets %q", rest)
	case nonblocking(r):
		return escaped("the pipe was made non-blocking")
	}
	return outcomeOf(result{out: out.String(), code: code})
}

// drinkStdout runs a task after another writer of one pipe.
func drinkStdout(b *box) outcome {
	r, w := b.pipe("unread\n")
	code := b.onFiles(nil, w, w, "drink")
	changed := nonblocking(w)
	w.Close()
	all, err := io.ReadAll(r)
	switch {
	case err != nil:
		return broken("%v", err)
	case !strings.HasPrefix(string(all), "unread\n"):
		return escaped("what was written before is gone: %q", all)
	case changed:
		return escaped("the pipe was made non-blocking")
	}
	return outcomeOf(result{out: string(all), code: code})
}

// pipe returns a pipe that belongs to the account and contains a text.
func (b *box) pipe(text string) (r, w *os.File) {
	b.t.Helper()
	r, w, err := os.Pipe()
	if err == nil && os.Getuid() == 0 {
		err = r.Chown(b.who.uid, b.who.gid)
	}
	if err == nil {
		_, err = w.WriteString(text)
	}
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { r.Close(); w.Close() })
	return r, w
}

// onFiles runs the guest with standard files of the test, and returns the guest's exit code.
func (b *box) onFiles(in *os.File, out, errs io.Writer, verb string) int {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c := b.command(ctx, b.guest(), verb)
	if c.Stdout, c.Stderr = out, errs; in != nil {
		c.Stdin = in
	}
	_ = c.Run() // the exit code says whether it succeeded
	return exitCode(c)
}

func nonblocking(f *os.File) bool {
	raw, err := f.SyscallConn()
	if err != nil {
		return false
	}
	var flags int
	_ = raw.Control(func(fd uintptr) { flags, _ = unix.FcntlInt(fd, unix.F_GETFL, 0) })
	return flags&unix.O_NONBLOCK != 0
}

// grabKeys runs a task in the background of a script that asks for a line, and tests whether the task reads the typed
// line.
func grabKeys(b *box) outcome {
	master, slave, err := openTerminal(b.who)
	if err != nil {
		return broken("%v", err)
	}
	defer master.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c := b.command(ctx, b.guest(), "grab")
	c.Args = append([]string{"sh", "-c", `"$@" & sleep 2; read -r line; echo "got $line"; wait`, "sh", c.Path}, c.Args[1:]...)
	c.Path = "/bin/sh"
	c.Stdin, c.Stdout, c.Stderr = slave, slave, slave
	c.SysProcAttr.Setsid, c.SysProcAttr.Setctty = true, true
	if err := c.Start(); err != nil {
		return broken("%v", err)
	}
	slave.Close()
	time.Sleep(1500 * time.Millisecond) // the task has done its part, and the script has not asked yet
	_, _ = master.WriteString("line\n")
	out, _ := io.ReadAll(master) // the error is EIO when all processes have gone
	_ = c.Wait()
	o := outcomeOf(result{out: strings.ReplaceAll(string(out), "\r", ""), code: exitCode(c)})
	if o.state == "blocked" && !strings.Contains(string(out), "got line") {
		return escaped("the script does not get its line: %s", out)
	}
	return o
}

// openTerminal opens a terminal that belongs to the account.
func openTerminal(who account) (master, slave *os.File, err error) {
	if master, err = os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		return nil, nil, err
	}
	fd := int(master.Fd()) // makes reads block
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		slave, err = os.OpenFile("/dev/pts/"+strconv.Itoa(number), os.O_RDWR|unix.O_NOCTTY, 0)
	}
	if err == nil && os.Getuid() == 0 {
		err = slave.Chown(who.uid, who.gid)
	}
	return master, slave, err
}

// askControl starts a sandbox of the same user that may write the runtime directory of a second sandbox, and asks the
// second sandbox's launcher from inside.
func askControl(b *box) outcome {
	if b.who.uid == 0 {
		return blocked("root's is always /run/cordon, which no sandbox sees")
	}
	k, _ := b.keep()
	other := b.scratch("runtime")
	if err := os.Chmod(other, 0o700); err != nil {
		return broken("%v", err)
	}
	seen := k.runtime
	if b.onRootfs() || b.profile == "strict" {
		seen = "/home"
	}
	in := *b
	in.env = append(in.env, "XDG_RUNTIME_DIR="+other)
	shown := in.with("--rw", k.runtime+":"+seen)
	for _, request := range []string{`{"op":"log"}`, `{"op":"attach"}`, `{"op":"signal","args":{"signal":19}}`, `{"op":"signal","args":{"signal":9}}`} {
		o := outcomeOf(shown.run(b.guest(), "ask", seen+"/cordon/"+k.entry+"/cordonctl", request))
		if o.state != "blocked" { // either the launcher refuses, or something covers the socket
			return outcome{o.state, request + ": " + o.detail}
		}
	}
	if harm := k.harmed(); harm != "" {
		return escaped("%s", harm)
	}
	return blocked("no reply")
}

func askControlBare(b *box) outcome {
	k, in := b.keep()
	return outcomeOf(in.run(b.guest(), "ask", k.dir+"/"+k.entry+"/cordonctl", `{"op":"attach"}`))
}
