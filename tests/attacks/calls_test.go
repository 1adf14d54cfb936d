package attacks

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// each tries every call of a list through one entry of the kernel: call, int80 or x32. On a host without that entry
// there is nothing to try.
func each(door string, calls []call) func(*box) outcome {
	return func(b *box) outcome {
		answers := map[string]int{}
		for _, c := range calls {
			nr := c.nr
			if door == "int80" {
				nr = c.i386
			}
			if nr == 0 || door == "call" && b.nests() && slices.Contains(nestCalls, c.name) {
				continue
			}
			o := b.attack(append([]string{door, c.name, strconv.Itoa(nr)}, c.args...)...)
			errno, _, _ := strings.Cut(o.detail, " ")
			if b.bare() && o.state == "blocked" && slices.Contains(noSuchThing, errno) {
				answers["absent"]++ // the kernel does not have the call
				continue
			}
			if o.state != "blocked" && !b.bare() || o.state != "escaped" && b.bare() {
				return outcome{o.state, c.name + " " + strings.Join(c.args, " ") + ": " + o.detail}
			}
			answers[errno]++
		}
		if b.bare() {
			return eachBare(answers, len(calls))
		}
		return blocked("%s", most(answers))
	}
}

// noSuchThing lists the errors by which a kernel says that it lacks a call or a kind of socket.
var noSuchThing = []string{"ENOSYS", "EAFNOSUPPORT", "EPROTONOSUPPORT", "ESOCKTNOSUPPORT", "EOPNOTSUPP"}

func eachBare(answers map[string]int, n int) outcome {
	if answers["absent"] == n {
		return absent("the kernel has none of them")
	}
	return escaped("%d reached the kernel, %d are not in this kernel", n-answers["absent"], answers["absent"])
}

// most returns the most frequent answer, and lists the other answers.
func most(answers map[string]int) string {
	best := ""
	for errno, n := range answers {
		if best == "" || n > answers[best] || n == answers[best] && errno < best {
			best = errno
		}
	}
	rest := ""
	for errno, n := range answers {
		if errno != best {
			rest += fmt.Sprintf(" %s×%d", errno, n)
		}
	}
	return fmt.Sprintf("%s ×%d%s", best, answers[best], rest)
}

// clone3 checks the answer to clone3(2). A filter cannot see its flags, so it must answer ENOSYS, so that libc uses
// clone(2), or kill.
func clone3(b *box) outcome {
	for _, c := range clone3Calls() {
		o := b.attack(append([]string{"call", c.name, strconv.Itoa(c.nr)}, c.args...)...)
		if b.bare() && o.state == "escaped" {
			return o
		}
		errno, _, _ := strings.Cut(o.detail, " ")
		if o.state != "blocked" || errno != "ENOSYS" && errno != "SIGSYS" {
			return escaped("%s: %s %s", c.args[0], o.state, o.detail)
		}
	}
	return blocked("ENOSYS")
}

// unknownNumbers checks that unknown numbers get ENOSYS, so that programs use another call.
func unknownNumbers(b *box) outcome {
	for _, nr := range holes {
		o := b.attack("nr", nr)
		errno, _, _ := strings.Cut(o.detail, " ")
		if o.state != "blocked" || errno != "ENOSYS" && !(errno == "SIGSYS" && (b.profile == "strict" || isX32(nr))) {
			return escaped("%s: %s %s", nr, o.state, o.detail)
		}
	}
	return blocked("ENOSYS")
}

// isX32 reports whether bit 30 of a call number is set, which marks an x32 call on x86-64. The filter must refuse such
// calls as x32 calls.
func isX32(nr string) bool {
	n, err := strconv.ParseInt(nr, 0, 64)
	return err == nil && uint32(n)&0x40000000 != 0
}

// unknownByFilter asks for an errno that the kernel itself would not return, so that the test sees whether the filter
// answers.
func unknownByFilter(b *box) outcome {
	box := b.using("syscalls: {unknown: errno(EXDEV)}\n")
	for _, nr := range holes {
		r := box.run(b.program(), "nr", nr)
		if isX32(nr) && outcomeOf(r).state == "blocked" {
			continue
		}
		if !strings.Contains(r.out, "EXDEV") {
			return escaped("%s: %s%s", nr, r.out, r.err)
		}
	}
	return blocked("EXDEV")
}

func unknownName(b *box) outcome {
	for _, yaml := range []string{"syscalls: {allow: [sendfile65]}\n", "syscalls: {deny: [ptrce]}\n", "syscalls: {allow: [\"@nothing\"]}\n",
		"syscalls: {rules: [{sokcet: \"family == AF_UNIX\"}]}\n", "syscalls: {arches: [z80]}\n"} {
		r := b.using(yaml).run(b.program(), "nr", "1000")
		if r.code != 125 || !strings.Contains(r.err, ".yaml:4:") {
			return escaped("%s: exit %d %s", strings.TrimSpace(yaml), r.code, r.err)
		}
	}
	return blocked("load errors")
}
