package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// audited is the part of audit's list that is looked at here.
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

// audit is an audit of what is denied; what it prints, for a failure.
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

// mend collects the changes that audits name, until they name no more: behind a layer that is mended there may be another.
// whole says that every denial had one.
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

// TestAuditSeesWhatRunDenies: what fails in a sandbox is in the list of an audit, by the layer that denies it, unless it
// fails without a sandbox too; and with the changes that the list names it does not fail in the sandbox any more.
func TestAuditSeesWhatRunDenies(t *testing.T) {
	s := newScene(t)
	mended := 0
	for _, d := range denials {
		t.Run(d.ask+" "+d.flags, func(t *testing.T) {
			reset(t, s.work)
			run := func(more []string) (string, int) {
				_, text, code := s.cordon(t, []string{"run"}, &d, more, append([]string{"--"}, s.command(&d)...)...)
				return text, code
			}
			if text, code := run(nil); code == 0 || !strings.Contains(text, d.fails) {
				t.Fatalf("it is not denied: exit %d: %s", code, text)
			}
			reset(t, s.work)
			_, _, bare := s.run(t, s.command(&d)...)
			a, text := s.audit(t, &d, nil)
			if !slices.Contains(a.layers(), d.layer) {
				if d.layer == "file" && bare != 0 { // nor can it be done on the host
					return
				}
				t.Fatalf("want %s; without a sandbox exit %d; %s", d.layer, bare, text)
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
	if mended < 20 {
		t.Errorf("%d denials were mended", mended)
	}
}
