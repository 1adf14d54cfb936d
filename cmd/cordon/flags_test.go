package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"cordon/policy"
)

// parseRun parses a command line as `cordon run` does, without running anything.
func parseRun(args []string) (f runFlags, command []string, err error) {
	u := &ui{args: append([]string{"run"}, args...)}
	u.lean = lean(u.args)
	c := &cobra.Command{Use: "run", SilenceErrors: true, SilenceUsage: true, Args: cobra.ArbitraryArgs}
	c.RunE = func(_ *cobra.Command, rest []string) error {
		command = rest
		return nil
	}
	addRunFlags(u, c, &f)
	c.SetArgs(args)
	err = c.Execute()
	return f, command, err
}

// TestCommandBegins checks that everything after --, and after the first word that is not a flag, belongs to the
// command, even if it looks like a flag.
func TestCommandBegins(t *testing.T) {
	for _, tt := range []struct{ args, command []string }{
		{[]string{"ls"}, []string{"ls"}},
		{[]string{"ls", "--rw", "-p", "x", "--help"}, []string{"ls", "--rw", "-p", "x", "--help"}},
		{[]string{"--", "ls"}, []string{"ls"}},
		{[]string{"--", "--rw", "."}, []string{"--rw", "."}},
		{[]string{"--", "-h"}, []string{"-h"}},
		{[]string{"--", "--", "x"}, []string{"--", "x"}},
		{[]string{"ls", "--", "x"}, []string{"ls", "--", "x"}},
		{[]string{"-p", "build", "run", "plan"}, []string{"run", "plan"}},
		{[]string{"--rw", ".", "--no-landlock", "x", "--net", "host"}, []string{"x", "--net", "host"}},
		{[]string{"--", "a\nb", "\x1b[2J", ""}, []string{"a\nb", "\x1b[2J", ""}},
		{[]string{"", "x"}, []string{"", "x"}},
		{[]string{"-"}, []string{"-"}},
	} {
		_, rest, err := parseRun(tt.args)
		if err != nil || !slices.Equal(rest, tt.command) {
			t.Errorf("%q: command %q, want %q; %v", tt.args, rest, tt.command, err)
		}
	}
}

func TestFieldFlagsKeepTheirOrder(t *testing.T) {
	f, _, err := parseRun([]string{"-p", "a", "--rw", "x", "--ro=y", "-pb", "--rw", "--ro", "--no-landlock", "--env", "A=B=C", "--", "true"})
	if err != nil {
		t.Fatal(err)
	}
	want := []fieldValue{{"rw", "x"}, {"ro", "y"}, {"rw", "--ro"}, {"no-landlock", "true"}, {"env", "A=B=C"}}
	if !slices.Equal(f.fields, want) || !slices.Equal(f.profiles, []string{"a", "b"}) {
		t.Errorf("%+v", f)
	}
}

// TestLeanFlagsAreTheSame checks that a command line means the same if cordon builds only the flags that occur in it.
func TestLeanFlagsAreTheSame(t *testing.T) {
	for _, d := range policy.Flags() {
		args := []string{"run", "--" + d.Name}
		if d.Arg != "" {
			args = append(args, "value")
		}
		args = append(args, "true")
		var got []fieldValue
		for _, isLean := range []bool{false, true} {
			u, _, text := newTestUI()
			u.args, u.lean = args, isLean
			var f runFlags
			c := &cobra.Command{Use: "run"}
			addRunFlags(u, c, &f)
			if err := c.ParseFlags(args[1:]); err != nil {
				t.Errorf("%v, lean %v: %v %s", args, isLean, err, text)
			}
			if n := strings.Count(c.Flags().FlagUsages(), "\n"); isLean && n != 2 {
				t.Errorf("%v: %d flags", args, n)
			}
			if !isLean {
				got = f.fields
			} else if !slices.Equal(got, f.fields) {
				t.Errorf("%v: %v, lean %v", args, got, f.fields)
			}
		}
	}
}

func TestLean(t *testing.T) {
	for _, tt := range []struct {
		args string
		want bool
	}{
		{"run true", true}, {"plan -- true", true}, {"run -- ls --help", true}, {"run --rw . true", true},
		{"run --help", false}, {"run -h", false}, {"run -vh", false}, {"help run", false}, {"", false}, {"__complete run --", false},
	} {
		if got := lean(strings.Fields(tt.args)); got != tt.want {
			t.Errorf("%q: %v", tt.args, got)
		}
	}
}

func TestOverlay(t *testing.T) {
	p, err := overlay(nil)
	if p != nil || err != nil {
		t.Errorf("no flags: %+v, %v", p, err)
	}
	p, err = overlay([]fieldValue{{"hostname", "box"}, {"rw", "."}, {"hostname", "last"}})
	if err != nil || p.Hostname != "last" || len(p.Mounts) != 1 || !p.Mounts[0].Write {
		t.Errorf("%+v, %v", p, err)
	}
	if at := p.Source("hostname"); at.Flag != "--hostname last" {
		t.Errorf("source %+v", at)
	}
	_, err = overlay([]fieldValue{{"net", "hots"}, {"hostname", "ok"}, {"cap", "NET\x1bRAW"}})
	all := each(err)
	if len(all) != 2 {
		t.Fatalf("%v", err)
	}
	u, _, text := newTestUI()
	if code := u.fail(err); code != exitLauncher {
		t.Errorf("code %d", code)
	}
	want := "cordon: error: --net hots: \"hots\" is not a network\n" +
		"cordon: hint: did you mean \"host\"?\n" +
		"cordon: error: --cap NET\\x1bRAW: \"NET\\x1bRAW\" is not a capability\n"
	if !strings.HasPrefix(text.String(), want) {
		t.Errorf("%s\nwant\n%s", text, want)
	}
}

func TestWords(t *testing.T) {
	for _, tt := range []struct{ arg, want string }{
		{"none|host|PATH", "none host"}, {"off", "off"}, {"N|keep", "keep"}, {"NAME|@GROUP", ""}, {"PATH[:TARGET]", ""}, {"", ""}, {"{...}", ""},
		{"KIND=new|host|PATH", "host"}, {"signal|abstract-unix-socket", "signal abstract-unix-socket"},
	} {
		if got := strings.Join(words(tt.arg), " "); got != tt.want {
			t.Errorf("%q: %q, want %q", tt.arg, got, tt.want)
		}
	}
}
