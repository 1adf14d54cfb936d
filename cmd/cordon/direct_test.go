package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"cordon/policy"
)

// treeRun parses arguments with the tree of commands. ok is false if the tree would not run a program, or if the
// arguments set a field of runFlags other than the profiles and the fields of the profile.
func treeRun(t testing.TB, args []string) (f runFlags, command []string, ok bool) {
	u, _, _ := newTestUI()
	u.args, u.lean = args, lean(args)
	root := newRoot(u, args)
	run, _, err := root.Find([]string{"run"})
	if err != nil || run == root {
		return f, nil, false
	}
	run.RunE = func(c *cobra.Command, rest []string) error {
		command, ok = rest, true
		f.profiles = c.Flags().Lookup(flagProfile).Value.(pflag.SliceValue).GetSlice()
		c.Flags().Visit(func(flag *pflag.Flag) {
			if into, field := flag.Value.(*field); field {
				f.fields = *into.into
			} else if flag.Name != flagProfile {
				ok = false
			}
		})
		return nil
	}
	return f, command, root.Execute() == nil && ok
}

// checkDirect compares function direct with the tree of commands. If direct accepts the arguments, the tree must accept
// them too, with the same meaning. checkDirect returns whether direct accepts them.
func checkDirect(t testing.TB, args []string) (taken bool) {
	var f runFlags
	command, taken := f.direct(args)
	if !taken {
		return false
	}
	tree, want, ok := treeRun(t, args)
	if !ok || !slices.Equal(command, want) || !slices.Equal(f.profiles, tree.profiles) || !slices.Equal(f.fields, tree.fields) {
		t.Errorf("%q: %q %q %q, and by the tree (%v) %q %q %q", args, f.profiles, f.fields, command, ok, tree.profiles, tree.fields, want)
	}
	return true
}

// TestDirectIsTheTree checks that function direct and the tree of commands read arguments alike, and that direct
// accepts the usual arguments of a launch.
func TestDirectIsTheTree(t *testing.T) {
	for _, tt := range []struct {
		args  string
		taken bool
	}{
		{"run true", true}, {"run -- true", true}, {"run -p default -- true", true}, {"run --profile=a --profile b -p c true -p d", true},
		{"run --rw . --ro=/x --no-landlock -e A=B -w / -u 1:2 --env=C=D= -- -x --", true}, {"run -", true}, {"run --net none --memory -5 x", true},
		{"run --no-landlock=false x", true}, {"run --profile= x", true}, {"run -- -h", true}, {"run x -h", true}, {"run -p -h x", true},
		{"run --rw --help x", true}, {"run -p -- -- x", true},

		{"", false}, {"run", false}, {"run --", false}, {"run -p", false}, {"run -p x", false}, {"run --rw", false}, {"plan x", false},
		{"run -h", false}, {"run --help x", false}, {"run -pdefault x", false}, {"run -p=default x", false}, {"run -v x", false},
		{"run --nonesuch x", false}, {"run --nonesuch=1 x", false}, {"run ---rw x", false}, {"run --=x y", false}, {"run -=x y", false},
		{"run -ue A=B x", false}, {"run --quiet x", false}, {"run --detach x", false}, {"run --trust x", false}, {"run --p x y", false},
		{"run --u 1 x", false}, {"run -rw . x", false}, {"help run", false}, {"-p x run y", false},
	} {
		if taken := checkDirect(t, strings.Fields(tt.args)); taken != tt.taken {
			t.Errorf("%q: taken %v", tt.args, taken)
		}
	}
	for d := range policy.AllFlags {
		args := []string{"run", "--" + d.Name, "value", "x"}
		if d.Arg == "" {
			args = []string{"run", "--" + d.Name, "x"}
		}
		if !checkDirect(t, args) {
			t.Errorf("%q is left to the tree", args)
		}
	}
}

// FuzzDirect compares function direct with the tree of commands on arbitrary words.
func FuzzDirect(f *testing.F) {
	for _, s := range []string{"-p default -- true", "--rw . --ro=/x -e A=B x", "-pd x", "--memory", "-u -h", "--no-landlock=0 -", "-- --", "-ve A=B y"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		checkDirect(t, append([]string{"run"}, strings.Split(line, " ")...))
	})
}
