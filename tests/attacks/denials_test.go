package attacks

import (
	"math/rand/v2"
	"regexp"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

func denialAttacks() []attack {
	reporting := []string{"default", "build"}
	return []attack{
		{15, "the listener of denied calls, found or forged", "seccomp", try("listener"), reporting, anyone},
		{26, "a denied call whose text changes meanwhile", "seccomp", racing, reporting, anyone},
		{26, "a report that writes on the terminal", "launcher", hostileReport, reporting, noControl("it is a check, not an attack")},
		{26, "a flood of ever new kinds of denied calls", "launcher", floodedReport, reporting, noControl("it is a check, not an attack")},
		{26, "a second program, with exec: once", "seccomp", secondProgram("execve", "execveat", "fd"), narrow, anyone},
		{26, "the same by int 0x80 and x32", "seccomp", secondProgram("int80", "x32"), narrow, noControl("the next row shows it")},
		{26, "the same by int 0x80 alone", "seccomp", secondProgram("int80"), narrow, anyone},
	}
}

// racing calls add_key while another thread changes the memory with the key's type. The filter must deny the call all
// the same, because it decides by the call's number alone.
func racing(b *box) outcome {
	return b.attack("racing", strconv.Itoa(unix.SYS_ADD_KEY), "0", "0", "s:content", "7", "-2")
}

// secondProgram tries to execute a second program under `exec: once`, with guessed nonces. Without cordon, and with
// `exec: any`, the attempt succeeds.
func secondProgram(ways ...string) func(*box) outcome {
	return func(b *box) outcome {
		once := b
		if !b.bare() {
			once = b.with("--exec", "once")
		}
		var last outcome
		for _, way := range ways {
			for _, nonce := range []uint64{0, 1, 1<<64 - 1, rand.Uint64()} {
				last = once.attack("again", way, strconv.FormatUint(nonce, 10))
				if last.state != "blocked" {
					return last
				}
			}
		}
		if any := b.with("--exec", "any"); !b.bare() && ways[0] == "execve" {
			if o := any.attack("again", "execve", "0"); o.state != "escaped" && b.profile != "strict" {
				return broken("with exec: any it is %s, too: %s", o.state, o.detail)
			}
		}
		return last
	}
}

var unprintable = regexp.MustCompile(`[\x00-\x09\x0b-\x1f\x7f]`)

// hostileReport makes a denied mount whose arguments contain the escape sequence that clears a terminal, and checks
// that the report escapes it.
func hostileReport(b *box) outcome {
	name, nr := "mount", unix.SYS_MOUNT
	if b.nests() {
		name, nr = "add_key", unix.SYS_ADD_KEY
	}
	r := b.with("-v").run(b.program(), "call", name, strconv.Itoa(nr), "s:\x1b[2J\r\nroot#", "s:/a\"b\\", "0", "0", "0")
	if !strings.Contains(r.err, "cordon: denied: "+name+`("\x1b[2J\r\nroot#"`) || unprintable.MatchString(r.err) {
		return escaped("%q", r.err)
	}
	return blocked("escaped")
}

// floodedReport makes 300 different denied calls, and checks that the report lists 20 of them and counts the rest in
// one line.
func floodedReport(b *box) outcome {
	name, nr := "unshare", unix.SYS_UNSHARE
	if b.nests() {
		name, nr = "bpf", unix.SYS_BPF
	}
	r := b.with("-v").run("/bin/sh", "-c", "i=0; while [ $i -lt 300 ]; do "+b.program()+" call "+name+" "+strconv.Itoa(nr)+" $i >/dev/null; i=$((i+1)); done")
	lines := strings.Count(r.err, "cordon: denied: ")
	if r.code != 0 || lines != 21 || !strings.Contains(r.err, "cordon: denied: 280 more calls, of other kinds; --report FILE lists 256") {
		return escaped("exit %d, %d lines: %s", r.code, lines, firstLines(r.err[strings.LastIndex(r.err[:max(0, len(r.err)-1)], "\n")+1:], 1))
	}
	return blocked("counted")
}
