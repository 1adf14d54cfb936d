package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// pane is a terminal of tmux(1) in which a shell with job control runs.
type pane struct {
	t      *testing.T
	socket string
	dir    string
}

// prompt is the prompt of the shell. No program prints it.
const prompt = `OUT\$ ?`

// newPane starts a shell in a new directory.
func newPane(t *testing.T) *pane {
	t.Helper()
	if _, err := exec.LookPath("tmux"); err != nil {
		if ci {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	root := filepath.Join(base, strconv.Itoa(os.Getuid()))
	if err := os.MkdirAll(root, 0o755); err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp(root, "pane-")
	if err == nil {
		err = os.Mkdir(dir+".home", 0o755) // another working directory, because no profile shows the home
	}
	if err != nil {
		t.Fatal(err)
	}
	p := &pane{t, filepath.Join(dir, "tmux"), dir}
	shell := fmt.Sprintf("env -i PATH=%s HOME=%s.home TERM=tmux-256color LANG=C.UTF-8 SHELL=/bin/bash PS1='OUT$ ' bash --norc --noprofile -i", toolPath(), dir)
	leave := p.endWith()
	p.tmux("new-session", "-d", "-s", "s", "-x", "80", "-y", "24", "-c", dir, shell)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the screen:\n%s", p.screen())
		}
		p.tmux("kill-server")
		leave()
	})
	p.see(prompt + "$")
	return p
}

// endWith starts a shell that ends the server and removes the directories when this process has ended, in whatever way.
// The shell reads from a pipe whose other end only this process holds. The returned function makes the shell do its
// work at once.
func (p *pane) endWith() (leave func()) {
	p.t.Helper()
	c := exec.Command("sh", "-c", `read x; tmux -S "$0/tmux" kill-server; exec rm -rf "$0" "$0.home"`, p.dir)
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // so that Ctrl-C does not reach it
	in, err := c.StdinPipe()
	if err == nil {
		err = c.Start()
	}
	if err != nil {
		p.t.Fatal(err)
	}
	return func() {
		in.Close()
		_ = c.Wait() // kill-server fails if the server is gone
	}
}

func (p *pane) tmux(args ...string) string {
	p.t.Helper()
	c := exec.Command("timeout", append([]string{"20", "tmux", "-S", p.socket, "-f", "/dev/null"}, args...)...)
	c.Env = append(os.Environ(), "LANG=C.UTF-8", "HOME="+p.dir)
	out, err := c.CombinedOutput()
	if err != nil {
		p.t.Fatalf("tmux %q: %v\n%s", args, err, out)
	}
	return string(out)
}

// screen returns what the terminal shows, without empty lines and without spaces at the end.
func (p *pane) screen() string {
	p.t.Helper()
	return strings.TrimRight(p.tmux("capture-pane", "-p", "-t", "s"), " \n")
}

// pause waits for a program that prints nothing when it starts.
func pause() { time.Sleep(500 * time.Millisecond) }

// see waits until the screen matches.
func (p *pane) see(pattern string) {
	p.t.Helper()
	re := regexp.MustCompile(`(?m)` + pattern)
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(30 * time.Millisecond) {
		screen := p.screen()
		if re.MatchString(screen) {
			return
		}
		if time.Now().After(end) {
			p.t.Fatalf("looked for %s in vain in\n%s", pattern, screen)
		}
	}
}

// keys types keys, by tmux's names for them.
func (p *pane) keys(keys ...string) {
	p.t.Helper()
	p.tmux(append([]string{"send-keys", "-t", "s"}, keys...)...)
}

// run types a command on an empty screen.
func (p *pane) run(command string) {
	p.t.Helper()
	p.see(prompt + "$")
	p.tmux("send-keys", "-t", "s", "C-l")
	p.tmux("clear-history", "-t", "s")
	p.tmux("send-keys", "-t", "s", "-l", command)
	p.see(prompt + regexp.QuoteMeta(command[:min(len(command), 60)])) // only a later prompt counts now
	p.keys("Enter")
}

// sane checks that the shell has the terminal again, in line mode and with an echo.
func (p *pane) sane() {
	p.t.Helper()
	p.run("stty -a | grep -cE '^isig icanon iexten echo |opost'")
	p.see(`^2$`)
}

func (p *pane) put(name, text string) {
	p.t.Helper()
	if err := os.WriteFile(filepath.Join(p.dir, name), []byte(text), 0o644); err != nil {
		p.t.Fatal(err)
	}
}

func (p *pane) read(name string) string {
	text, _ := os.ReadFile(filepath.Join(p.dir, name))
	return string(text)
}

func countTo(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintln(&b, i+1)
	}
	return b.String()
}

// TestTerminalPrograms starts programs such as vi and less with cordon in a pane of tmux, and types keys as a user would.
// cordon gives most of these programs a terminal of their own.
func TestTerminalPrograms(t *testing.T) {
	for _, tt := range []struct {
		name string
		need string
		do   func(p *pane)
	}{
		{"names", "sh", func(p *pane) {
			p.run(`cordon run sh -c 'tty; readlink /proc/self/fd/2; stty size </dev/console; echo said >/dev/tty; ps -o tty= -p $$'`)
			p.see(`^/dev/pts/0\n/dev/pts/0\n24 80\nsaid\npts/0\s*\nOUT`)
		}},
		{"vi", "vi", func(p *pane) {
			p.run("cordon run -p build vi -u NONE -N text")
			p.see(`^~\n~`)
			p.keys("ione", "Escape", "C-z")
			p.see(`Stopped .*vi -u NONE -N text\n+OUT\$`)
			p.sane()
			p.run("fg")
			p.see(`^one *\n~`)
			p.keys("otwo", "Escape", ":x", "Enter")
			p.see(prompt + "$")
			p.sane()
			if got := p.read("text"); got != "one\ntwo\n" {
				p.t.Errorf("text is %q", got)
			}
		}},
		{"less", "less", func(p *pane) {
			p.put("n", countTo(500))
			p.run("cordon run less n")
			p.see(`^23\n`)
			p.keys("Space")
			p.see(`^46\n`)
			p.keys("C-z")
			p.see(`Stopped .*less n\n+OUT\$`)
			p.run("fg")
			p.see(`^46\n`)
			p.keys("q")
			p.sane()
		}},
		{"less behind a pipe", "less", func(p *pane) {
			p.put("n", countTo(500))
			p.run("cat n | cordon run less")
			p.see(`^23\n`)
			p.keys("Space")
			p.see(`^46\n`)
			p.keys("q")
			p.sane()
		}},
		{"in front of less", "less", func(p *pane) {
			p.put("n", countTo(500))
			p.run("cordon run sh -c 'cat n; sleep 60' | less")
			p.see(`^23\n`)
			for range 5 { // the launcher passes each of them to the task
				p.keys("Space")
			}
			p.see(`^138\n`)
			p.keys("q")
			p.see(`\| less$`)
			p.keys("C-c")
			p.sane()
		}},
		{"top", "top", func(p *pane) {
			p.run("cordon run top")
			p.see(`PID .*COMMAND`)
			p.see(`\btop$`)
			p.keys("q")
			p.sane()
		}},
		{"bash", "bash", func(p *pane) {
			p.run("cordon run --env PS1='IN$ ' bash --norc --noprofile -i")
			p.see(`^IN\$$`)
			p.keys("sleep 100", "Enter")
			pause()
			p.keys("C-z")
			p.see(`^\[1\]\+  Stopped  +sleep 100\nIN\$`)
			p.keys("bg", "Enter")
			p.see(`^\[1\]\+ sleep 100 &\nIN\$`)
			p.keys("fg", "Enter")
			p.see(`^sleep 100$`)
			pause()
			p.keys("C-c")
			p.see(`\^C\nIN\$$`)
			for range 3 { // a shell answers, and does not end
				p.keys("C-c")
				time.Sleep(200 * time.Millisecond)
			}
			p.see(`IN\$ \^C\nIN\$ \^C\nIN\$ \^C\nIN\$$`)
			p.keys("exit 7", "Enter")
			p.see(prompt + "$")
			p.run("echo $?")
			p.see(`^7$`)
		}},
		{"fish", "fish", func(p *pane) {
			p.run("cordon run -p build fish")
			p.see(`> ?$|# ?$`)
			p.keys("echo a(math 1+1)b", "Enter")
			p.see(`^a2b`)
			p.keys("sleep 100", "Enter")
			pause()
			p.keys("C-z")
			p.see(`has stopped`)
			p.keys("fg", "Enter")
			pause()
			p.keys("C-c")
			pause()
			p.keys("exit", "Enter")
			p.see(prompt + "$")
			p.sane()
		}},
		{"cat", "cat", func(p *pane) {
			p.run("cordon run cat")
			p.keys("one", "Enter")
			p.see(`^one\none\n?`)
			p.keys("C-z")
			p.see(`Stopped`)
			p.sane()
			p.run("fg")
			p.keys("two", "Enter")
			p.see(`^two\ntwo\n?`)
			p.keys("C-d")
			p.sane()
		}},
		{"a password", "bash", func(p *pane) {
			p.run(`cordon run bash -c 'read -rsp "word: " x </dev/tty; echo; echo "got ${#x}"'`)
			p.see(`^word:`)
			p.keys("secret", "Enter")
			p.see(`^got 6$`)
			p.run(`cordon run bash -c 'read -rsp "word: " x </dev/tty; echo; echo "got ${#x}"' | cat`)
			p.see(`^word:`)
			p.keys("secret", "Enter")
			p.see(`^got 6$`)
			if strings.Contains(p.screen(), "secret") {
				p.t.Error("the password is shown")
			}
			p.sane()
		}},
		{"a line in a pipeline", "cat", func(p *pane) {
			p.run("cordon run cat | cat")
			pause()
			p.keys("line", "Enter")
			p.see(`^line\nline$`)
			p.keys("C-d")
			p.sane()
		}},
		{"a new size", "bash", func(p *pane) {
			p.run(`cordon run bash -c 'trap "stty size" WINCH; stty size; while :; do sleep 0.05; done'`)
			p.see(`^24 80$`)
			p.tmux("resize-window", "-t", "s", "-x", "90", "-y", "30")
			p.see(`^30 90$`)
			p.keys("C-z")
			p.see(`Stopped`)
			p.tmux("resize-window", "-t", "s", "-x", "70", "-y", "20")
			p.run("fg")
			p.see(`^20 70$`)
			p.keys("C-c")
			p.sane()
		}},
		{"no terminal of its own", "ps", func(p *pane) {
			long := strconv.Itoa(1e7 + os.Getpid()) // seconds; others may run this test too
			p.run("cordon run --tty inherit sh -c 'sleep " + long + "; true'")
			pause()
			p.keys("C-z") // also stops the processes that the task has started
			p.see(`Stopped`)
			p.run("ps axo stat=,args= | grep -c '^T.*[s]leep " + long + "'")
			p.see(`^3$`) // the launcher, sh and sleep
			p.run("fg")
			pause()
			p.keys("C-c")
			p.sane()
			p.run("sleep 1000 | cordon run sh -c 'cat; true'") // only stdout is a terminal
			pause()
			p.keys("C-z")
			p.see(`Stopped`)
			p.run("fg")
			pause()
			p.keys("C-c")
			p.sane()
		}},
		{"the background", "bash", func(p *pane) {
			p.run(`cordon run sh -c 'sleep 1; echo from behind; read x; echo "read $x"' &`)
			p.run("echo mine")
			p.see(`^mine$`)
			p.see(`from behind`)
			p.keys("Enter")
			p.run("fg")
			p.see(`^cordon run`)
			pause()
			p.keys("yours", "Enter")
			p.see(`^read yours$`)
			p.sane()
		}},
		{"Ctrl-C", "sh", func(p *pane) {
			p.run("cordon run sleep 100; echo $?")
			pause()
			p.keys("C-c")
			p.see(`^\^C`)
			p.see(prompt + "$")
			p.run("cordon run sleep 100")
			pause()
			p.keys("C-\\")
			p.see(prompt + "$")
			p.run("echo $?")
			p.see(`^131$`)
		}},
		{"Ctrl-C twice", "sh", func(p *pane) {
			p.run(`cordon run sh -c 'trap "" INT; echo up; sleep 100'`)
			p.see(`^up$`)
			p.keys("C-c")
			time.Sleep(300 * time.Millisecond)
			p.keys("C-c")
			p.see(prompt + "$")
			p.run("echo $?")
			p.see(`^137$`)
			p.sane()
		}},
		{"keys that are none of a signal", "dd", func(p *pane) {
			p.run(`cordon run sh -c 'stty raw -echo; echo up; dd bs=1 count=5 2>/dev/null | od -An -tu1'`)
			p.see(`^up`)
			p.keys("C-c", "C-z", "C-c", "C-d", "C-s")
			p.see(`3 +26 +3 +4 +19`)
			p.sane()
		}},
		{"a task that is killed", "sh", func(p *pane) {
			p.run(`cordon run sh -c 'stty raw -echo; kill -9 $$'`)
			p.see(prompt + "$")
			p.sane()
		}},
		{"a sandbox in a sandbox", "sh", func(p *pane) {
			p.put("outer.yaml", nestingProfile)
			p.run(`cp ` + base + `/bin/cordon . && cordon run -p ./outer.yaml -- sh -c './cordon run --host-user caller vi -u NONE -N other'`)
			p.see(`^~\n~`)
			p.keys("ideep", "Escape", ":set lines?", "Enter")
			p.see(`lines=24`)
			p.keys(":q!", "Enter")
			p.sane()
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := exec.LookPath(tt.need); err != nil {
				if ci {
					t.Fatal(err)
				}
				t.Skip(err)
			}
			tt.do(newPane(t))
		})
	}
}

// nestingProfile allows what a launcher inside needs.
const nestingProfile = `version: 1
name: outer
root: {host: ro}
mounts: [{proc: /proc, mask: [], read-only: []}, {dev: /dev}, {tmpfs: /tmp}, {bind: .}]
syscalls: {default: allow, deny: [add_key]}
landlock: off
user: {uid: 0, gid: 0, host: caller}
capabilities:
  keep: [CHOWN, DAC_OVERRIDE, FOWNER, SETGID, SETUID, SETPCAP, NET_ADMIN, SYS_CHROOT, SYS_ADMIN, SYS_RESOURCE, MKNOD, SETFCAP]
env: {keep: [PATH, HOME, TERM]}
tty: broker
`
