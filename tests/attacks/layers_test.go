package attacks

import (
	"fmt"
	"os"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// open is a profile without a filter. In all other respects it equals the profile default.
const open = `version: 1
name: open
root: {host: ro}
mounts:
  - {proc: /proc}
  - {dev: /dev}
  - {bind: .}
syscalls: {default: allow, unknown: allow, arches: [%s]}
missing: [cgroup, landlock]
`

// unfiltered returns the box with the profile open.
func (b *box) unfiltered(arches string) *box {
	b.t.Helper()
	c := *b
	f, err := os.CreateTemp(b.site.dir, "open-*.yaml")
	if err != nil {
		b.t.Fatal(err)
	}
	defer f.Close()
	fmt.Fprintf(f, open, arches)
	if err := f.Chmod(0o644); err != nil {
		b.t.Fatal(err)
	}
	c.file = f.Name()
	return &c
}

// TestLayers switches off one layer of the sandbox at a time, and checks that the attack that this layer stops now
// succeeds. This shows that this layer, and not another layer by chance, stops the attack.
func TestLayers(t *testing.T) {
	own := []call{
		{"unshare NEWUSER", unix.SYS_UNSHARE, 310, []string{"0x10000000"}},
		{"clone NEWUSER", unix.SYS_CLONE, 120, []string{"0x10000011", "0", "0", "0", "0"}},
		{"clone3", unix.SYS_CLONE3, 435, []string{"q:0,0,0,0,17,0,0,0", "64"}},
		{"ptrace", unix.SYS_PTRACE, 26, []string{"0", "0", "0", "0"}},
		{"process_vm_readv", unix.SYS_PROCESS_VM_READV, 347, []string{"99999", "0", "0", "0", "0", "7"}},
		{"pidfd_getfd", unix.SYS_PIDFD_GETFD, 438, []string{"-1", "0", "0"}},
		{"userfaultfd", unix.SYS_USERFAULTFD, 374, []string{"1"}},
	}
	for _, l := range []struct {
		layer string
		run   func(*box) outcome
	}{
		{"seccomp: own calls", func(b *box) outcome { return b.unfiltered("native").reach("call", own) }},
		{"seccomp: keyrings", func(b *box) outcome { return b.unfiltered("native").reach("call", keyring) }},
		{"seccomp: sockets", func(b *box) outcome {
			return b.unfiltered("native").reach("call", []call{sockets[0], sockets[6], sockets[7]})
		}},
		{"seccomp: the other architecture", func(b *box) outcome {
			return b.unfiltered("native, i386").reach("int80", append([]call{{"getpid", 0, 20, nil}}, own...))
		}},
		{"mount: read-only", func(b *box) outcome { return b.with("--rw", b.site.work).attack("write", ".") }},
		{"mount: hidden home", func(b *box) outcome {
			return b.with("--ro", b.site.home).attack("grep", "{kram}", "{home}/notes")
		}},
		{"env", func(b *box) outcome { return b.with("--keep-env", "SECRET").attack("environ", "{kram}") }},
	} {
		t.Run(l.layer, func(t *testing.T) {
			for _, who := range accounts() {
				if o := attempt(l.run, newBox(t, "default", who)); o.state != "escaped" {
					t.Errorf("as %s, without it: %s %s", who.name, o.state, o.detail)
				}
			}
		})
	}
}

// reach checks that every call gets to the kernel.
func (b *box) reach(door string, calls []call) outcome {
	for _, c := range calls {
		nr := c.nr
		if door == "int80" {
			nr = c.i386
		}
		if o := b.attack(slices.Concat([]string{door, c.name, fmt.Sprint(nr)}, c.args)...); o.state != "escaped" {
			return outcome{o.state, c.name + ": " + o.detail}
		}
	}
	return escaped("all")
}
