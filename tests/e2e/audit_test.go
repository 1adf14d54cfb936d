package e2e

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// audited is the part of audit's list that these tests check.
type audited struct {
	Exit    int
	Denials []struct {
		Layer, Call, Object, Result, Why, Rule, Note, Basis string
		Count                                               int
		Fix                                                 []string
	}
}

func (a *audited) layers() (layers []string) {
	for _, d := range a.Denials {
		layers = append(layers, d.Layer)
	}
	return layers
}

// audit runs an audit of a denial. It returns the list, and the text that the audit printed, for the message of a
// failing test.
func (s *scene) audit(t *testing.T, d *denied, more []string) (a audited, text string) {
	t.Helper()
	reset(t, s.work)
	list := filepath.Join(s.dir, "list.json")
	_, told, code := s.cordon(t, []string{"audit", "--json", "-o", list}, d, more, append([]string{"--"}, s.command(d)...)...)
	out, err := os.ReadFile(list)
	if err == nil {
		err = json.Unmarshal(out, &a)
	}
	text = "exit " + strconv.Itoa(code) + ": " + told + string(out)
	if want := a.Exit; err != nil || len(a.Denials) == 0 && code != want || len(a.Denials) > 0 && code != 3 {
		t.Fatalf("%v: %s", err, text)
	}
	return a, text
}

// mend applies the changes that audits suggest until an audit finds nothing. Several audits may be needed, because a
// second layer may deny what the first layer then allows. whole says that every denial had a suggestion.
func (s *scene) mend(t *testing.T, d *denied, a audited) (fixes []string, whole bool) {
	t.Helper()
	for range 4 {
		if len(a.Denials) == 0 {
			return fixes, true
		}
		var more []string
		for _, x := range a.Denials {
			if len(x.Fix) == 0 {
				return fixes, false
			}
			more = append(more, x.Fix...)
		}
		fixes = append(fixes, more...)
		a, _ = s.audit(t, d, fixes)
	}
	return fixes, false
}

// TestAuditSeesWhatRunDenies checks each operation that fails in a sandbox. The list of an audit must contain it, under
// the layer that denies it, unless it fails without a sandbox too. With the suggested changes it must succeed in the
// sandbox.
func TestAuditSeesWhatRunDenies(t *testing.T) {
	s := newScene(t)
	if mended := s.audited(t, denials); mended < 20 {
		t.Errorf("%d denials were mended", mended)
	}
}

// rootDenials lists denials in a root file system of busybox.
var rootDenials = []denied{
	{"", "echo x >/srv/new", "", "mount", "Read-only", true},
	{"", "mkdir /var", "", "mount", "Read-only", true},
	{"", "rm /srv/f", "", "mount", "Read-only", true},
	{"", "chmod 700 /srv/f", "", "mount", "Read-only", true},
	{"", "grep -q . /proc/keys", "", "mount", "", false},
	{"", "echo 1 >/proc/sys/kernel/randomize_va_space", "", "mount", "", false},
	{"--hide /srv/f", "grep text /srv/f", "", "mount", "", false},
	{"--mount {bind:$W,target:/srv,noexec:true}", "/srv/script", "", "mount", "ermission denied", false},
	{"--ro $W/data:/srv/f", "echo x >/srv/f", "", "mount", "", false},
	{"--landlock-read /bin --landlock-read /proc", "cat /srv/f", "", "landlock", "ermission denied", true},
	{"--landlock-execute /srv --root-mode rw", "ls /", "", "landlock", "ermission denied", false},
	{"--deny-syscall mkdir --deny-syscall mkdirat --root-mode rw", "mkdir /srv/d", "", "seccomp", "not permitted", false},
	{"", "nc -w 1 127.0.0.1 $T </dev/null >/dev/null", "", "net", "refused", true},
	{"--rlimit fsize=1KiB --root-mode rw", "head -c 9999 /dev/zero >/srv/big", "", "limits", "", true},
}

// TestAuditInRoot does the same as TestAuditSeesWhatRunDenies for a root that is a directory.
func TestAuditInRoot(t *testing.T) {
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		t.Skip("no busybox")
	}
	s := newScene(t)
	root := filepath.Join(s.dir, "root")
	for _, d := range []string{"bin", "etc", "proc", "dev", "tmp", "sys", "srv"} {
		err = errors.Join(err, os.MkdirAll(filepath.Join(root, d), 0o755))
	}
	for _, f := range []string{"etc/hosts", "etc/hostname", "etc/resolv.conf", "srv/f"} {
		err = errors.Join(err, os.WriteFile(filepath.Join(root, f), []byte("text\n"), 0o644))
	}
	for _, p := range []string{"sh", "cat", "ls", "mkdir", "rm", "chmod", "grep", "nc", "head"} {
		err = errors.Join(err, os.Symlink("busybox", filepath.Join(root, "bin", p)))
	}
	if err = errors.Join(err, exec.Command("cp", "-L", busybox, filepath.Join(root, "bin/busybox")).Run()); err != nil {
		t.Fatal(err)
	}
	s.root = root
	if mended := s.audited(t, rootDenials); mended < 5 {
		t.Errorf("%d denials were mended", mended)
	}
}

// audited tries denials, and returns how many were mended.
func (s *scene) audited(t *testing.T, list []denied) (mended int) {
	for _, d := range list {
		t.Run(d.ask+" "+d.flags+" "+d.script, func(t *testing.T) {
			reset(t, s.work)
			run := func(more []string) (string, int) {
				_, text, code := s.cordon(t, []string{"run"}, &d, more, append([]string{"--"}, s.command(&d)...)...)
				return text, code
			}
			if text, code := run(nil); code == 0 || !strings.Contains(text, d.fails) {
				t.Fatalf("it is not denied: exit %d: %s", code, text)
			}
			reset(t, s.work)
			a, text := s.audit(t, &d, nil)
			if !slices.Contains(a.layers(), d.layer) {
				if _, _, bare := s.run(t, s.command(&d)...); d.layer == "file" && bare != 0 { // nor without
					return
				}
				t.Fatalf("want %s: %s", d.layer, text)
			}
			fixes, whole := s.mend(t, &d, a)
			if !whole && d.fixed {
				t.Fatalf("not every denial has a remedy: %s", text)
			}
			if !whole || a.Exit != 0 && !d.fixed {
				return
			}
			mended++
			reset(t, s.work)
			if text, code := run(fixes); code != 0 {
				t.Errorf("with %q it is still denied: exit %d: %s", fixes, code, text)
			}
		})
	}
	return mended
}
