package ledger

import (
	"os"
	"testing"
	"time"
)

func TestReached(t *testing.T) {
	places := []Place{{Base: t.TempDir(), Below: "state/cordon"}}
	top := t.TempDir()
	mk := func(name string) string {
		t.Helper()
		if err := os.MkdirAll(top+"/"+name, 0o700); err != nil {
			t.Fatal(err)
		}
		return top + "/" + name
	}
	before, other := mk("proj/rt/cordon"), mk("other/cordon")
	if err := Reached(places, before); err != nil {
		t.Fatal("no run yet: ", err)
	}
	r, err := Begin(places, []string{top + "/proj"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Go()
	want := func(dir string, reached bool) {
		t.Helper()
		if err := Reached(places, dir); (err != nil) != reached {
			t.Errorf("%s: %v, want reached %v", dir, err, reached)
		}
	}
	for range 2 {
		want(before, true)
		want(mk("proj/made"), true)
		want(other, false)
		want(top, true) // a part of it could be written
	}
	if err := os.Symlink(top+"/proj/rt", top+"/link"); err != nil {
		t.Fatal(err)
	}
	want(top+"/link/cordon", true)
	r.Stop()
	r.End()
	want(before, true)
	if err := os.Rename(top+"/proj", top+"/moved"); err != nil {
		t.Fatal(err)
	}
	want(top+"/moved/rt/cordon", true)
	time.Sleep(120 * time.Millisecond) // longer than what is allowed for two clocks
	want(mk("moved/after/cordon"), false)
	want(other, false)
	hides(t, places, mk("own"), mk("own/cordon"))
}

// hides begins runs that can write something above the state directory but cannot reach it, and then a run that can.
func hides(t *testing.T, places []Place, dir, state string) {
	t.Helper()
	for i, hidden := range []string{state, state, "/elsewhere"} {
		r, err := Begin(places, []string{dir}, nil, hidden)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 { // while it goes on, and after its end
			if err := Reached(places, state); (err != nil) != (i == 2) {
				t.Errorf("run %d hides %s: %v", i, hidden, err)
			}
			if r != nil {
				r.End()
			}
			r = nil
		}
	}
}
