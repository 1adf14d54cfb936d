package e2e

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// injectName is the name under which this binary types a command into its terminal: ioctl_tty(2), TIOCSTI.
const injectName = "inject"

func isInject() bool { return filepath.Base(os.Args[0]) == injectName }

func inject() int {
	for _, b := range []byte("echo INJECT''ED\n") {
		if err := unix.IoctlSetPointerInt(0, unix.TIOCSTI, int(b)); err != nil {
			fmt.Println(err)
			return 1
		}
	}
	fmt.Println("typed")
	return 0
}

// TestTerminalInjection runs a task with every right and every call that types a command for the shell that started it.
// If the task has the shell's terminal, the shell runs the command. If the task has a terminal of its own, the command
// must get nowhere.
func TestTerminalInjection(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("who is not root may type into a terminal of another session in no case")
	}
	p := newPane(t)
	p.put("wide.yaml", `version: 1
name: wide
root: {host: ro}
mounts: [{proc: /proc}, {dev: /dev}]
namespaces: {user: host}
user: {host: caller}
capabilities: {keep: [SYS_ADMIN]}
syscalls: {default: allow, deny: [add_key]}
landlock: off
env: {keep: [PATH, HOME, TERM]}
`)
	p.run("cordon run -p ./wide.yaml --tty inherit inject")
	p.see(`^typed`)
	p.see(`^INJECTED$`)
	p.run("cordon run -p ./wide.yaml --tty broker inject; sleep 0.5")
	p.see(`^typed`)
	p.see(prompt + "$")
	if strings.Contains(p.screen(), "INJECTED") {
		t.Error("the command was run")
	}
	p.sane()
}

// TestTerminalSSH logs in to a server on this machine. ssh(1) asks its questions on /dev/tty, one of them without an
// echo, and passes on keys in raw mode.
func TestTerminalSSH(t *testing.T) {
	sshd := "/usr/sbin/sshd"
	if _, err := os.Stat(sshd); err != nil || os.Getuid() != 0 {
		if ci && os.Getuid() == 0 {
			t.Fatal(err)
		}
		t.Skip("needs root, and sshd: ", err)
	}
	p := newPane(t)
	mustShell(t, p.dir, "ssh-keygen -q -t ed25519 -N '' -f hostkey && ssh-keygen -q -t ed25519 -N 'open sesame' -f key && chmod 600 key")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
	l.Close()
	p.put("config", "HostKey "+p.dir+"/hostkey\nListenAddress 127.0.0.1:"+port+"\nAuthorizedKeysFile "+p.dir+
		"/key.pub\nStrictModes no\nPermitRootLogin yes\nUsePAM no\nPasswordAuthentication no\nPidFile none\n")
	if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
		t.Fatal(err)
	}
	server := exec.Command(sshd, "-D", "-e", "-f", filepath.Join(p.dir, "config"))
	var said strings.Builder
	server.Stderr = &said
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		server.Process.Kill()
		server.Wait()
		if t.Failed() {
			t.Logf("sshd: %s", said.String())
		}
	}()
	waitFor(t, "sshd", func() bool {
		c, err := net.Dial("tcp", "127.0.0.1:"+port)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	p.run("cordon run --net host --rw . ssh -F none -o UserKnownHostsFile=./hosts -i ./key -p " + port + " root@127.0.0.1 -t 'PS1=FAR: sh'")
	p.see(`\(yes/no`)
	p.keys("yes", "Enter")
	p.see(`Enter passphrase`)
	p.keys("open sesame", "Enter")
	p.see(`^FAR:$`)
	p.keys("stty size; sleep 100", "Enter")
	p.see(`^24 80$`)
	time.Sleep(300 * time.Millisecond)
	p.keys("C-c")
	p.see(`\^C\nFAR:$`)
	p.keys("exit 5", "Enter")
	p.see(prompt + "$")
	p.run("echo $?")
	p.see(`^5$`)
	p.sane()
}

func mustShell(t *testing.T, dir, script string) {
	t.Helper()
	c := exec.Command("sh", "-c", script)
	c.Dir = dir
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", script, err, out)
	}
}
