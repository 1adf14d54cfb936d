package attacks

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// recorderAttacks returns the attacks that a recorded program makes on the recorder.
func recorderAttacks() []attack {
	on := []string{"default"}
	return []attack{
		{57, "arguments and environment of 300 MB, for record --pid", "launcher", longArguments, on, shows(longBare)},
		{58, "recordings that lie of homes, names and calls, for learn", "launcher", lyingRecordings, on, noControl("the profile that learn writes is the attack")},
	}
}

// longest is the memory that a recorder may use, in KiB. The attacking program itself needs only 1.5 MB.
const longest = 150 << 10

// long starts a program as the attacking account, with size bytes of arguments and environment, and waits until it is
// ready.
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

// recorded records a process as root for a moment, and checks how much memory the recorder takes.
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
	used := peakMemory(c.Process.Pid)
	_ = c.Process.Signal(os.Interrupt)
	err := c.Wait()
	if strings.Contains(errs.String(), "bpf: ") {
		return absent("no back end: %.100s", errs.String())
	}
	if used == 0 || used > longest {
		return escaped("%d MiB of the recorder's", used>>10)
	}
	if err != nil || !exists(file) {
		return escaped("no recording: %v %s", err, errs.String())
	}
	return blocked("bounded")
}

// peakMemory returns VmHWM of a process in KiB: proc_pid_status(5). ru_maxrss would not do: until its execve(2) a child has
// the memory of the test.
func peakMemory(pid int) (kib int64) {
	fields, _ := status(pid)
	kib, _ = strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(fields["VmHWM"], "kB")), 10, 64)
	return kib
}

// longBare reads the whole text that the kernel returns, as a careless reader would.
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

// lie writes a false recording, of the kind that an attacker might ask a person to use with `cordon learn`.
func lie(path, home, workdir string, records ...string) error {
	head := `{"cordon":"recording","version":1,"arch":"` + runtime.GOARCH + `","runs":[{"backend":"bpf","complete":false,"why":["not shown: ptrace bpf"],` +
		`"kernel":"6.1","started":"2026-01-01T00:00:00Z","wall_ns":1,"command":["tool"],"home":"` + home + `","workdir":"` + workdir + `","uid":0}]}`
	all := append([]string{head, `{"kind":"executable","id":0,"path":"/usr/bin/tool"}`}, records...)
	all = append(all, `{"kind":"end","records":`+strconv.Itoa(len(all)-1)+`}`)
	return os.WriteFile(path, []byte(strings.Join(all, "\n")+"\n"), 0o644)
}

func seenFile(path, via, access, kind string) string {
	if via != "" {
		via = `"via":"` + via + `",`
	}
	return `{"kind":"path","exe":0,"path":"` + path + `",` + via + `"access":["` + access + `"],"type":"` + kind + `","n":1}`
}

// lyingRecordings runs `cordon learn` on three false recordings, each once as the first, and checks that the profile
// grants none of what they ask for falsely.
func lyingRecordings(b *box) outcome {
	dir, home := b.scratch("lies"), b.site.home
	kept := filepath.Join(dir, "kept", "key")
	link := filepath.Join(home, ".pgpass")
	files := []string{dir + "/a.rec", dir + "/b.rec", dir + "/c.rec"}
	defer os.Remove(link)
	err := errors.Join(os.Mkdir(filepath.Dir(kept), 0o755), os.WriteFile(kept, []byte(b.site.mark), 0o644), os.Symlink(kept, link),
		lie(files[0], "/nowhere", b.site.work, seenFile(home+"/.ssh/id_ed25519", "", "read", "file"), seenFile("/root/.netrc", "", "read", "file"), seenFile("/dev/mem", "", "read", "char")),
		lie(files[1], home+"/.ssh", home+"/.ssh", seenFile(home+"/.ssh/id_ed25519", "", "read", "file"), seenFile(kept, "", "read", "file"),
			seenFile("/tmp/tmux-0/default", "", "connect", "socket"), `{"kind":"call","exe":0,"call":"ptrace","n":1}`),
		lie(files[2], home, b.site.work, seenFile(b.site.work+"/probe", "", "read", "file"), seenFile("/opt/k", home+"/.ssh/other", "read", "file")))
	if err != nil {
		return broken("%v", err)
	}
	for i := range files {
		c := exec.Command(cordonBin, append([]string{"learn"}, append(files[i:len(files):len(files)], files[:i]...)...)...)
		var out, errs bytes.Buffer
		c.Stdout, c.Stderr, c.Env, c.Dir = &out, &errs, b.environ(), b.site.work
		c.SysProcAttr = &syscall.SysProcAttr{Credential: credential(b.who)}
		_ = c.Run() // 1 means that the profile denies what was recorded
		if !strings.Contains(out.String(), "bind: ./probe") {
			return broken("%s%s", out.String(), errs.String())
		}
		for line := range strings.Lines(out.String()) {
			for _, not := range []string{"id_ed25519", "/root/.netrc", "/dev/mem", kept, "tmux", "/opt/k", "- ptrace", "- bpf"} {
				if (strings.Contains(line, "bind:") || not[0] == '-') && strings.Contains(line, not) {
					return escaped("%s", line)
				}
			}
		}
	}
	return blocked("listed")
}
