package attacks

import (
	"os"
	"path/filepath"
	"syscall"
	"time"
)

func openAttacks() []attack {
	return []attack{
		{56, "a FIFO in the place of the program", "launcher", waiting("bin/busybox", "/bin/busybox", ""), []string{"container"}, shows(waitingBare)},
		{56, "a FIFO in the place of a script's interpreter", "launcher", waiting("bin/other", "/script", "#!/bin/other\n"), []string{"container"}, shows(waitingBare)},
		{56, "a FIFO as program in the working directory", "launcher", waitingHere, hostRoot, shows(waitingBare)},
	}
}

// someoneReads makes a FIFO, and reports whether somebody opens it for reading before run ends.
func (b *box) someoneReads(path string, run func() result) outcome {
	if err := os.RemoveAll(path); err != nil {
		return broken("%v", err)
	}
	if err := syscall.Mkfifo(path, 0o777); err != nil {
		return broken("%v", err)
	}
	if err := give(path, b.who); err != nil {
		return broken("%v", err)
	}
	opened := make(chan bool, 1)
	go func() {
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		opened <- err == nil
		f.Close()
	}()
	time.Sleep(20 * time.Millisecond) // it waits in open(2) now
	r := run()
	select {
	case <-opened:
		return escaped("somebody opened the FIFO: exit %d %s", r.code, r.err)
	case <-time.After(20 * time.Millisecond):
	}
	if f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0); err == nil { // this lets the writer continue
		<-opened
		f.Close()
	}
	if r.code == 124 {
		return escaped("the launcher hangs")
	}
	return blocked("exit %d", r.code)
}

// waiting puts a FIFO at a name in the root file system, and runs a program whose lookup leads to this name.
func waiting(name, program, script string) func(*box) outcome {
	return func(b *box) outcome {
		root := b.scratch("rootfs")
		c := b.withRootfs(root)
		if script != "" {
			if err := os.WriteFile(root+program, []byte(script), 0o755); err != nil {
				return broken("%v", err)
			}
		}
		return c.someoneReads(filepath.Join(root, name), func() result { return c.run(program) })
	}
}

func waitingHere(b *box) outcome {
	dir := b.scratch("cwd")
	return b.someoneReads(dir+"/prog", func() result { return b.in(dir).run("./prog") })
}

func waitingBare(b *box) outcome {
	dir := b.scratch("cwd")
	return b.someoneReads(dir+"/prog", func() result { return b.in(dir).run("sh", "-c", "exec 3<prog") })
}
