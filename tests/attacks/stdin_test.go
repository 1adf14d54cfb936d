package attacks

import (
	"bytes"
	"context"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// This file has row 47 of the threat model: the task's standard input is a regular file that the caller has opened for
// reading.

func stdinAttacks() []attack {
	on := []string{"default", "build", "agent", "net-client", "container"}
	return []attack{
		{47, "mode, times, attributes, size of a file on stdin", "mount", changedStdin(), on, anyone},
		{47, "the same for root as root", "mount", changedStdin("--host-user", "caller"), on, noControl("the row above shows it")},
	}
}

func changedStdin(flags ...string) func(*box) outcome {
	return func(b *box) outcome {
		dir := b.scratch("stdin")
		file := dir + "/in"
		if err := os.WriteFile(file, []byte("first\nsecond\n"), 0o600); err != nil {
			return broken("%v", err)
		}
		if err := give(dir, b.who); err != nil {
			return broken("%v", err)
		}
		box, _, inside := b.bitsBox(b.scratch("bits"))
		if !b.bare() {
			box = box.with(flags...)
		}
		program := inside + "/bits"
		if b.onRootfs() {
			program = "/bits"
		}
		for range 2 {
			if o := box.changeStdin(file, program, inside); o.state != "blocked" {
				return o
			}
		}
		return blocked("nothing changed")
	}
}

// changeStdin runs the attempts, and compares the file before and after. The task reads one line of the file.
func (b *box) changeStdin(file, program, inside string) outcome {
	f, err := os.Open(file)
	if err != nil {
		return broken("%v", err)
	}
	defer f.Close()
	var before, after unix.Stat_t
	if err := unix.Stat(file, &before); err != nil {
		return broken("%v", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c := b.command(ctx, program, "stdin", inside)
	var out, errs bytes.Buffer
	c.Stdin, c.Stdout, c.Stderr = f, &out, &errs
	if err := c.Run(); err != nil || !strings.Contains(out.String(), "tried") {
		return broken("%v: %s%s", err, out.String(), errs.String())
	}
	if err := unix.Stat(file, &after); err != nil {
		return broken("%v", err)
	}
	n, _ := unix.Llistxattr(file, make([]byte, 256))
	if before.Mode != after.Mode || before.Mtim != after.Mtim || before.Size != after.Size || before.Gid != after.Gid || n > 0 {
		return escaped("mode %o, size %d, time %d, %d bytes of attributes", after.Mode, after.Size, after.Mtim.Sec, n)
	}
	if at, _ := f.Seek(0, 1); at != 6 {
		return broken("the caller's descriptor is at %d, and the task has read 6", at)
	}
	return blocked("nothing changed")
}
