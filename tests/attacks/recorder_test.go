package attacks

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// recorderAttacks are made by a program on who records it.
func recorderAttacks() []attack {
	on := []string{"default"}
	return []attack{
		{57, "arguments and environment of 300 MB, for record --pid", "launcher", longArguments, on, shows(longBare)},
	}
}

// longest is how much a recorder may take, in KiB; the program costs its own user 1.5 MB.
const longest = 150 << 10

// long starts a program of the account's with arguments as long as it likes.
func (b *box) long(size int) (*exec.Cmd, error) {
	dir := b.scratch("long")
	program, ready := filepath.Join(dir, "longargs"), filepath.Join(dir, "ready")
	if err := build("gcc", "-O1", "-static", "-o", program, filepath.Join("testdata", "longargs.c")); err != nil {
		return nil, err
	}
	c := exec.Command(program, strconv.Itoa(size), ready)
	c.SysProcAttr = &syscall.SysProcAttr{Credential: credential(b.who)}
	if err := c.Start(); err != nil {
		return nil, err
	}
	for deadline := time.Now().Add(10 * time.Second); !exists(ready); {
		if time.Now().After(deadline) {
			_ = c.Process.Kill()
			return nil, errors.Join(errors.New("longargs does not get ready"), c.Wait())
		}
		time.Sleep(10 * time.Millisecond)
	}
	return c, nil
}

func longArguments(b *box) outcome {
	if os.Getuid() != 0 {
		return absent("record --pid takes root")
	}
	victim, err := b.long(300 << 20)
	if err != nil {
		return broken("%v", err)
	}
	defer func() { _ = victim.Process.Kill(); _ = victim.Wait() }()
	for range 2 {
		if o := b.recorded(victim.Process.Pid); o.state != "blocked" {
			return o
		}
	}
	return blocked("bounded")
}

// recorded records a process as root for a moment.
func (b *box) recorded(pid int) outcome {
	file := filepath.Join(b.scratch("recording"), "r.jsonl")
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c := exec.CommandContext(ctx, cordonBin, "record", "-o", file, "--pid", strconv.Itoa(pid))
	var errs bytes.Buffer
	c.Stderr, c.Env = &errs, b.environ()
	if err := c.Start(); err != nil {
		return broken("%v", err)
	}
	time.Sleep(time.Duration(slow) * 2 * time.Second)
	_ = c.Process.Signal(os.Interrupt)
	err := c.Wait()
	if strings.Contains(errs.String(), "bpf: ") {
		return absent("no back end: %.100s", errs.String())
	}
	if used := c.ProcessState.SysUsage().(*syscall.Rusage).Maxrss; used > longest {
		return escaped("%d MiB of the recorder's", used>>10)
	}
	if err != nil || !exists(file) {
		return escaped("no recording: %v %s", err, errs.String())
	}
	return blocked("bounded")
}

// longBare reads what the kernel gives, as a careless reader would.
func longBare(b *box) outcome {
	victim, err := b.long(64 << 20)
	if err != nil {
		return broken("%v", err)
	}
	defer func() { _ = victim.Process.Kill(); _ = victim.Wait() }()
	text, err := os.ReadFile("/proc/" + strconv.Itoa(victim.Process.Pid) + "/cmdline")
	if err == nil && len(text) >= 64<<20 {
		return escaped("%d MiB of arguments", len(text)>>20)
	}
	return blocked("%d bytes, %v", len(text), err)
}
