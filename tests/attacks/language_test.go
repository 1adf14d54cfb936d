package attacks

import (
	"os"
	"path/filepath"
	"strings"
)

// languageAttacks returns attacks by misleading profiles. Their text seems to protect something, but without a warning
// protects nothing or does the opposite.
func languageAttacks() []attack {
	return []attack{
		{60, "a profile whose YAML two readers understand differently", "launcher", brokenProfiles, onTree, noControl("a launcher that reads it has no sandbox to compare with")},
		{60, "values in a profile that do nothing, or the opposite", "launcher", idleValues, onTree, noControl("it is a check, not an attack")},
		{60, "two profiles compare as equal, although one allows more", "launcher", equalProfiles, []string{"default"}, noControl("it is a check, not an attack")},
	}
}

// guarding lists ways to write in YAML that a directory is read-only. Some readers of YAML understand them differently.
// The profile's mounts follow; DIR stands for the directory.
var guarding = []string{
	"mounts: [{bind: WORK, mode: rw}, {bind: DIR mode: ro, optional: true}]\n",
	"mounts: [{bind: WORK, mode: rw}, {bind: DIR mode ro, optional: true}]\n",
	"mounts: [{bind: WORK, mode: rw}, {bind: DIR\n mode: ro, optional: true}]\n",
	"mounts: [{bind: WORK, mode: rw}, {bind: DIR #x, optional: true}\n]\n",
	"mounts:\n  - {bind: WORK, mode: rw}\n  - bind: DIR mode ro\n    optional: true\n",
	"mounts:\n  - {bind: WORK, mode: rw}\n  - bind: DIR\n      mode ro\n    optional: true\n",
	"mounts:\n  - {bind: WORK, mode: rw}\n  - bind: DIR #x\n    optional: true\n",
	"mounts:\n  - {bind: WORK, mode: rw}\n  - bind: DIR, optional\n    optional: true\n",
	"mounts:\n  - {bind: WORK, mode: rw}\nhide:\n  - DIR, /nothing\n",
	"mounts:\n  - {bind: WORK, mode: rw}\nhide:\n  - DIR\n    /nothing\n",
	"mounts: &m\n  - {bind: WORK, mode: rw}\nhide: [DIR]\n...\n---\nhide: []\n",
	"mounts: [{bind: WORK, mode: rw}]\nhide: [DIR]\nhide: []\n",
	"mounts: [{bind: WORK, mode: rw}]]\nhide: [DIR]\n",
	"mounts: [{bind: WORK, mode: rw}]\n---\nhide: [DIR]\n",
}

// brokenProfiles runs twice under each of these profiles. Either cordon refuses to start, or the directory does not
// change.
func brokenProfiles(b *box) outcome {
	for _, text := range guarding {
		work := b.scratch("work")
		dir := filepath.Join(work, "hooks")
		if err := os.Mkdir(dir, 0o755); err != nil {
			return broken("%v", err)
		}
		if err := give(dir, b.who); err != nil {
			return broken("%v", err)
		}
		text = strings.NewReplacer("WORK", work, "DIR", dir).Replace(text)
		for range 2 {
			r := b.using(text).run("sh", "-c", "echo x >"+dir+"/pre-commit")
			if _, err := os.Stat(dir + "/pre-commit"); err == nil {
				return escaped("written under %q", text)
			}
			if r.code != 125 || !strings.Contains(r.err, "hint:") && !strings.Contains(r.err, "duplicate") && !strings.Contains(r.err, "not YAML") {
				return broken("exit %d: %s under %q", r.code, r.err, text)
			}
		}
	}
	return blocked("refused, with the place")
}

// idle lists flags whose value the kernel or the launcher could not put into effect.
var idle = [][]string{
	{"--tmpfs", "/tmp:0"}, {"--mount", "{tmpfs: /tmp, size: 0}"}, {"--rule", "getuid: errno(0)"}, {"--syscall-default", "errno(0)"},
	{"--syscall-unknown", "errno(512)"}, {"--keep-env", "A_[XY]*"}, {"--keep-env", "A?"}, {"--rlimit", "rss=1MiB"}, {"--rlimit", "locks=1"},
	{"--rlimit", "cpu=0"}, {"--rw", ".:/tmp:ro"}, {"--mount", "{proc: /proc, mask: [/proc/kore]}"}, {"--mount", "{proc: /proc, read-only: [/proc/syss]}"},
	{"--mount", "{dir: /etc, mode: \"0700\"}"}, {"--mount", "{bind: /etc, target: /tmp/x y}"},
	{"--remove", "mounts=/nothing"}, {"--hostname", "a/b"}, {"--umask", "1777"},
}

func idleValues(b *box) outcome {
	for _, flags := range idle {
		for range 2 {
			if r := b.with(flags...).run("true"); r.code != 125 || !strings.Contains(r.err, "error:") {
				return escaped("%v: exit %d: %s", flags, r.code, r.err)
			}
		}
	}
	for flags, want := range map[string]string{
		"--rlimit nofile=99999999999": "rlimits: limits.rlimits.nofile", "--landlock-write /nothing": "landlock: landlock.write /nothing",
	} {
		if r := b.with(strings.Fields(flags)...).run("true"); r.code != 0 || !strings.Contains(r.err, "missing: "+want) {
			return escaped("%s: exit %d: %s", flags, r.code, r.err)
		}
	}
	return blocked("refused, or missing")
}

// wider lists pairs of profiles of which the second allows more.
var wider = [][2]string{
	{"mounts: [{tmpfs: /tmp, noexec: true}]", "mounts: [{tmpfs: /tmp}]"}, {"user: {uid: 1000}", "user: {uid: 0}"},
	{"root: {host: ro}", "root: {host: ro, enter: chroot}"}, {"version: 1", "env: {set: {LD_PRELOAD: /tmp/x.so}}"},
	{"limits: {io: {/: rbps=1MiB}}", "limits: {io: {/: rbps=2MiB}}"}, {"limits: {hugetlb: {2MiB: 0}}", "limits: {hugetlb: {2MiB: 2MiB}}"},
	{"mounts: [{overlay: /srv, upper: ./up}]", "mounts: [{overlay: /srv, upper: ~/.ssh}]"},
	{`mounts: [{tmpfs: /tmp, mode: "0700"}]`, `mounts: [{tmpfs: /tmp, mode: "1777"}]`},
	{"mounts: [{bind: ~/x, mode: rw}, {tmpfs: /home}]", "mounts: [{tmpfs: /home}, {bind: ~/x, mode: rw}]"},
}

func equalProfiles(b *box) outcome {
	dir := b.scratch("diff")
	for _, pair := range wider {
		for i, text := range pair {
			if err := os.WriteFile(filepath.Join(dir, []string{"a", "b"}[i]), []byte(text), 0o644); err != nil {
				return broken("%v", err)
			}
		}
		r := b.plain(cordonBin, "profile", "diff", "--fail-on", "widen", dir+"/a", dir+"/b")
		if r.code != 1 {
			return escaped("%q and %q: exit %d: %s%s", pair[0], pair[1], r.code, r.out, r.err)
		}
	}
	return blocked("each widens")
}
