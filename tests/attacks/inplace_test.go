package attacks

import (
	"slices"
	"strings"
	"testing"
)

// inPlace returns the box without namespaces.
func (b *box) inPlace() *box {
	c := *b
	c.place = true
	return &c
}

// placeProfiles lists the profiles that can run in place.
var placeProfiles = []string{"default", "strict"}

// TestInPlace runs the attacks of the matrix in place (without namespaces), in the profiles that claim to stop them. It
// leaves out the attacks in notInPlace.
func TestInPlace(t *testing.T) {
	fewerRaces(t)
	for _, a := range attacks() {
		on := a.on
		if on == nil {
			on = shipped
		}
		if notInPlace[a.name] != "" {
			continue
		}
		t.Run(label(a), func(t *testing.T) {
			for _, profile := range placeProfiles {
				if !slices.Contains(on, profile) {
					continue
				}
				for _, who := range accountsOnce() {
					o := attempt(a.run, newBox(t, profile, who).inPlace())
					t.Logf("in %s as %s: %s %s", profile, who.name, o.state, o.detail)
					if o.state != "blocked" && o.state != "absent" && !refusedInPlace(o) {
						t.Errorf("in %s as %s: %s %s", profile, who.name, o.state, o.detail)
					}
				}
			}
		})
	}
}

// refusedInPlace reports whether an attack could not be tried because cordon refused the launch: the profile or the
// flags need a mount or a user namespace.
func refusedInPlace(o outcome) bool {
	return o.state == "broken" && strings.Contains(o.detail, "cordon: error: ") &&
		(strings.Contains(o.detail, "in place ") || strings.Contains(o.detail, "Landlock cannot keep an entry "))
}

// notInPlace maps attacks that cannot be tried in place to the reason, for example because what they attack does not
// exist there.
var notInPlace = map[string]string{
	// docs/in-place.md lists these attacks under "What is weaker": see TestNotHeldInPlace.
	"write the working directory":                               "its owner can change its mode",
	"write the program's own file":                              "its owner can change its mode",
	"write the binary behind an exe link":                       "the same file, busy: ETXTBSY comes before Landlock is asked",
	"a mount propagated in later":                               "what the host mounts is seen",
	"read kcore, keys, timer_list, firmware":                    "/proc is whole",
	"processes of the host":                                     "/proc is whole",
	"the same of a process of the host":                         "/proc is whole: the numbers of descriptors can be listed",
	"securebits":                                                "a user's launcher lacks CAP_SETPCAP; the report says so",
	"mode, times, attributes, size of a file on stdin":          "its owner can change all but the size",
	"the same for root as root":                                 "its owner can change all but the size",
	"the user's inotify instances":                              "the user has them together with the program",
	"read /proc/locks, which shows other sandboxes' locks":      "/proc is whole",
	"flock on a read-only file, held against a program outside": "a file that can be read can be locked",
	// These attacks expect another limit or another place than a run in place has.
	"SysV shared memory":                                   "the filter denies System V IPC before the memory limit is reached",
	"tmpfs filled, against the memory limit":               "nothing can be mounted, and the program cannot write /tmp",
	"a sparse file of 100 GB":                              "the program cannot write /tmp",
	"a program that confines itself if it may":             "the program cannot write /tmp",
	"a socket that is bound by its name stays":             "before Landlock ABI 9 there are no named sockets",
	"stopped processes, at the wall-clock limit":           "they look for pid 1 of a pid namespace",
	"frozen processes, at the wall-clock limit":            "they look for pid 1 of a pid namespace",
	"values in a profile that do nothing, or the opposite": "it looks for what is missing, which is an error in place",
	// These attacks examine something that a run in place does not have.
	"a mount table without a weak line":                       "it has no mounts of its own",
	"remount with CAP_SYS_ADMIN in the sandbox":               "capabilities are refused",
	"a setuid program in the working directory":               "each run of root's shows an id of its own",
	"a program with file capabilities":                        "each run of root's shows an id of its own",
	"the same where its parent is bound, writable":            "refused: a hidden entry in a writable directory",
	"the same under another name, writable":                   "refused: another name takes a mount",
	"the same by itself under another name":                   "refused: another name takes a mount",
	"the same with CAP_SYS_ADMIN in the sandbox":              "capabilities are refused",
	"the same with every capability in the sandbox":           "capabilities are refused",
	"CapBnd CapPrm CapEff CapInh CapAmb, seccomp, namespaces": "they look for namespaces and pid 1",
	"the same, started with ambient capabilities":             "they look for namespaces and pid 1",
	"descriptors as seen from outside":                        "they look for pid 1 of a pid namespace",
	"launcher and init, read from outside":                    "they look for pid 1 of a pid namespace",
}

// TestNotHeldInPlace shows each attack that, according to docs/in-place.md, is not stopped in place. If one of them is
// stopped, the page is wrong.
func TestNotHeldInPlace(t *testing.T) {
	who := accounts()[len(accounts())-1]
	for _, x := range [...]struct {
		what string
		args []string
	}{
		{"the mode of a file in a read-only tree", []string{"/bin/chmod", "755", "./probe"}},
		{"the size of a hidden file", []string{"/bin/sh", "-c", "stat -c %s \"$0\"", "{home}/.ssh/id_ed25519"}},
		{"the locks of every process", []string{"/bin/sh", "-c", "cat /proc/locks >/dev/null"}},
		{"a lock of a file that it may read", []string{"/bin/sh", "-c", "exec 3<./probe; flock -n 3"}},
		{"the command line of a process outside", []string{"/bin/sh", "-c", "cat /proc/1/cmdline >/dev/null"}},
	} {
		b := newBox(t, "default", who).inPlace()
		for i := range x.args {
			if x.args[i] == "{home}/.ssh/id_ed25519" {
				x.args[i] = b.site.home + "/.ssh/id_ed25519"
			}
		}
		if r := b.run(x.args...); r.code != 0 {
			t.Errorf("%s: exit %d: %s%s", x.what, r.code, r.out, r.err)
		}
	}
}
