package e2e

import (
	"bytes"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// grabber is a program that tries to read every key: it opens its terminal and sets raw mode.
const grabber = `#!/bin/bash
exec 3</dev/tty 4>/dev/tty
stty raw -echo <&3
echo up >&4
while read -rn1 -t 8 c <&3; do echo "TOOK $c" >&4; done
`

// TestTerminalShared checks that the task does not get keys that the user types for other programs.
func TestTerminalShared(t *testing.T) {
	for _, tt := range []struct {
		name string
		do   func(p *pane)
	}{
		{"at a prompt of the script that started it in the background", func(p *pane) {
			p.put("script", "cordon run bash ./grabber &\nsleep 1; stty -a | grep -o ' icanon'; read -r x; echo \"GOT $x\"; kill $!; wait\n")
			p.run("bash script")
			p.see(`^ icanon`)
			p.keys("mine", "Enter")
			p.see(`^GOT mine$`)
			p.none("TOOK")
			p.sane()
		}},
		{"the same with /dev/null named", func(p *pane) {
			p.put("script", "cordon run bash ./grabber </dev/null &\nsleep 1; read -rsp 'word: ' x; echo \"GOT $x\"; kill $!; wait\n")
			p.run("bash script")
			p.see(`word:`)
			p.keys("mine", "Enter")
			p.see(`GOT mine$`)
			p.none("TOOK")
			p.sane()
		}},
		{"at the prompt of the next in a pipeline", func(p *pane) {
			p.put("next", "sleep 1; read -rsp 'word: ' x </dev/tty; echo \"GOT $x\"; cat\n")
			p.run("cordon run bash ./grabber | bash next")
			p.see(`word:`)
			p.keys("mine", "Enter")
			p.see(`GOT mine$`)
			p.none("TOOK")
			p.keys("C-c")
			p.sane()
		}},
		{"in a pager behind it", func(p *pane) {
			p.put("n", countTo(500))
			p.run("cordon run bash -c 'cat n; exec bash ./grabber' | less")
			p.see(`^23\n`)
			for range 5 {
				p.keys("Space")
			}
			p.see(`^138\n`)
			p.keys("q")
			p.none("TOOK")
			p.keys("C-c")
			p.sane()
		}},
		{"at a password's prompt before it in a pipeline", func(p *pane) {
			p.put("first", "read -rsp 'word: ' x </dev/tty; echo \"GOT $x\" >/dev/tty; sleep 1\n")
			p.run("bash first | cordon run bash -c 'sleep 1; exec bash ./grabber'")
			p.see(`word:`)
			time.Sleep(2 * time.Second)
			p.keys("mine", "Enter")
			p.see(`GOT mine$`)
			p.none("TOOK")
			p.keys("C-c")
			p.see(prompt + "$")
		}},
		{"a line of /dev/tty, with a pipe on stdin", func(p *pane) {
			seesTasks(p.t) // the launcher reads the terminal only while it sees that a process has opened it
			p.run(`echo piped | cordon run sh -c 'read x </dev/tty; echo "got $x"; cat'`)
			pause()
			p.keys("line", "Enter")
			p.see(`^got line\npiped$`)
			p.sane()
		}},
		{"typed ahead, for the shell", func(p *pane) {
			p.run("cordon run sleep 2")
			pause()
			p.keys("echo ahe", "a", "d", "Enter", "echo more")
			p.see(`^ahead$`)
			p.keys("Enter")
			p.see(`^more$`)
			p.sane()
		}},
		{"typed ahead, behind what the program reads", func(p *pane) {
			p.run(`cordon run sh -c 'read x; sleep 2; echo "first $x"'`)
			pause()
			p.keys("one", "Enter", "echo two", "Enter")
			p.see(`^first one$`)
			p.see(`^two$`)
			p.sane()
		}},
		{"a main process that stops itself, and the clock", func(p *pane) {
			p.run(`cordon run -p build --timeout 3s --kill-after 1s bash -c '(while :; do date +%s%N >>beat; sleep 0.1; done) & read x; kill -STOP $$'`)
			pause()
			p.keys("Enter")
			p.see(`Stopped`)
			time.Sleep(5 * time.Second)
			beat := p.read("beat")
			time.Sleep(500 * time.Millisecond)
			if beat == "" || beat != p.read("beat") {
				p.t.Error("it goes on past its time")
			}
			p.keys("Enter")
			p.see(`Exit 124|Exit 137|Done|Killed|Terminated`)
			p.sane()
		}},
		{"stopped and continued within its time", func(p *pane) {
			p.run(`cordon run --timeout 60s cat`)
			p.keys("one", "Enter")
			p.see(`^one\none\n?`)
			for range 3 {
				p.keys("C-z")
				p.see(`Stopped .*cat\n+OUT\$ ?$`)
				p.run("fg")
				pause()
			}
			p.keys("two", "Enter")
			p.see(`^two\ntwo\n?`)
			p.keys("C-d")
			p.sane()
		}},
		{"stopped by another, and slow to stop itself", func(p *pane) {
			p.put("slow", "trap 'sleep 1; trap - TSTP; kill -TSTP $$' TSTP\necho $PPID up\nwhile read -r x; do echo \"got $x\"; done\n")
			p.run(`cordon run bash ./slow`)
			p.see(`up$`)
			shell, err := strconv.Atoi(strings.TrimSpace(p.tmux("display-message", "-p", "-t", "s", "#{pane_pid}")))
			if err == nil {
				err = unix.Kill(foreground(p.t, shell), unix.SIGTSTP)
			}
			if err != nil {
				p.t.Fatal(err)
			}
			p.see(`Stopped .*slow\n+OUT\$ ?$`)
			p.run("fg")
			time.Sleep(2 * time.Second) // by now it has handled the first signal
			p.keys("one", "Enter")
			p.see(`^got one$`)
			p.keys("C-d")
			p.sane()
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, need := range []string{"bash", "less"} {
				if _, err := exec.LookPath(need); err != nil {
					t.Skip(err)
				}
			}
			p := newPane(t)
			p.put("grabber", grabber)
			tt.do(p)
		})
	}
}

// none fails the test if the screen shows the text.
func (p *pane) none(text string) {
	p.t.Helper()
	if screen := p.screen(); strings.Contains(screen, text) {
		p.t.Errorf("%s on the screen:\n%s", text, screen)
	}
}

// foreground returns the leader of the foreground process group of a process's terminal: proc_pid_stat(5), tpgid. The
// shell of a pane may be a child of the process that tmux started.
func foreground(t *testing.T, pid int) int {
	t.Helper()
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:])) // from the state on
	leader, err := strconv.Atoi(fields[5])
	if err != nil || leader <= 1 {
		t.Fatalf("no foreground process group: %s", text)
	}
	return leader
}
