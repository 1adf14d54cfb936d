package sandbox

import (
	"os"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"cordon/sandbox/report"
)

// TestOwnTerminal gives a program a terminal of the sandbox's own devpts at which nobody types. It does the same for a
// program that joins a sandbox. The launcher must count what the program writes there like any other output.
func TestOwnTerminal(t *testing.T) {
	before := look(t)
	for _, tt := range []struct {
		script, want string
		bytes        int64
		limit        string
	}{
		{"tty; stat -c %d /dev/pts; stat -Lc %d /proc/self/fd/0; tty >&2", "/dev/pts/0\r\n", 1 << 20, ""},
		{"yes", strings.Repeat("y\r\n", 50), 150, report.LimitOutput},
	} {
		c := chatty(t, tt.script, tt.bytes)
		c.Terminal = true
		text, report := output(t, c)
		checkTerminalText(t, text, tt.want, report, tt.limit)
	}
	unchanged(t, before)

	_, a := joinable(t, chatty(t, linger, 150))
	text, rep := output(t, &Cmd{Into: a, Args: []string{"sh", "-c", "tty; stat -c %d /dev/pts; stat -Lc %d /proc/self/fd/0; tty >&2"}, Terminal: true})
	checkTerminalText(t, text, "/dev/pts/0\r\n", rep, "")
	text, rep = output(t, &Cmd{Into: a, Args: []string{"yes"}, Terminal: true})
	checkTerminalText(t, text, strings.Repeat("y\r\n", 50), rep, report.LimitOutput)
	asUserToo(t)
}

// checkTerminalText checks what a program has printed about its terminal.
func checkTerminalText(t *testing.T, text, want string, report *report.Report, limit string) {
	t.Helper()
	if !strings.HasPrefix(text, want) || report.Limit != limit {
		t.Errorf("%q, %+v", text, report)
	}
	if limit != "" {
		return
	}
	var host unix.Stat_t
	if err := unix.Stat("/dev/pts", &host); err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	f := strings.Fields(text)
	if len(f) != 4 || f[1] != f[2] || f[1] == strconv.Itoa(int(host.Dev)) || f[0] != f[3] {
		t.Errorf("the terminal is not the sandbox's: %q; the host's devpts is %d", text, host.Dev)
	}
}
