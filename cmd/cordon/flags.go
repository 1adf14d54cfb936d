package main

import (
	"strings"
	"time"

	"github.com/spf13/cobra"

	"cordon/policy"
)

// fieldValue is a field of the profile that the command line sets with --NAME VALUE.
type fieldValue struct{ name, value string }

// field is a flag that sets a field of the profile. It collects its values in the order of the command line. Package
// policy says what the values mean.
type field struct {
	name, arg string
	into      *[]fieldValue
}

func (f *field) String() string { return "" }

// Type returns the text that the help shows for the value. For a bool, pflag shows nothing.
func (f *field) Type() string {
	if f.arg == "" {
		return "bool"
	}
	return f.arg
}

// Set stores a value. pflag calls it for each occurrence of the flag.
func (f *field) Set(v string) error {
	*f.into = append(*f.into, fieldValue{f.name, v})
	return nil
}

// runFlags holds the flags of `run` and `plan`.
type runFlags struct {
	profiles []string
	trust    bool // use profiles that a task may have written
	fields   []fieldValue
	report   string
	summary  bool
	sumFile  string
	verbose  bool
	quiet    bool
	dryRun   bool
	json     bool

	interactive, terminal bool   // -i, -t
	recordTTY             string // the file of --record-tty
	killAfter             time.Duration

	keep keepFlags
}

// addRunFlags adds -p and the flags for fields of the profile. For the help and for completion it adds all of them,
// otherwise only those that occur in the arguments, because adding fifty flags takes a tenth of a launch's time. The
// words from the first argument that is not a flag belong to the command.
func addRunFlags(u *ui, c *cobra.Command, f *runFlags) {
	fs := c.Flags()
	fs.SetInterspersed(false)
	fs.SortFlags = false
	fs.StringArrayVarP(&f.profiles, flagProfile, shortProfile, nil, "profile by `NAME`, or a file if it has a slash; may be repeated")
	if !u.lean || occurs("--trust", u.args) {
		fs.BoolVar(&f.trust, "trust", false, "use profiles even if a program in a sandbox may have written them; see cordon profile trust")
	}
	for d := range policy.AllFlags {
		if !u.lean || occurs("--"+d.Name, u.args) || d.Short != "" && occursShort(d.Short, u.args) {
			addField(c, f, &d)
		}
	}
	if completing() {
		completeRun(c)
	}
}

// addQueryFlags adds -p and flags for fields of the profile to a command that runs nothing: the fields of a section,
// or all fields if section is "". It leaves out --arch, because there --arch says what the question is about.
func addQueryFlags(c *cobra.Command, f *runFlags, section string) {
	fs := c.Flags()
	fs.SortFlags = false
	fs.StringArrayVarP(&f.profiles, flagProfile, shortProfile, nil, "profile by `NAME`, or a file if it has a slash; may be repeated")
	for _, d := range policy.Flags() {
		if d.Name == "arch" || !strings.HasPrefix(d.Key, section) && d.Name != "remove" {
			continue
		}
		addField(c, f, &d)
	}
	if completing() {
		completeRun(c)
	}
}

// addField adds the flag for a field of the profile.
func addField(c *cobra.Command, f *runFlags, d *policy.Flag) {
	v := c.Flags().VarPF(&field{d.Name, d.Arg, &f.fields}, d.Name, d.Short, d.Doc)
	if d.Arg == "" {
		v.NoOptDefVal = "true"
	}
	v.Hidden = d.For != ""
}

// occursShort reports whether an argument contains a flag's letter, or looks as if it does.
func occursShort(letter string, args []string) bool {
	for _, a := range args {
		if strings.HasPrefix(a, "-") && !strings.HasPrefix(a, "--") && strings.Contains(a, letter) {
			return true
		}
	}
	return false
}

// occurs reports whether an argument is the flag, or looks like it.
func occurs(flag string, args []string) bool {
	for _, a := range args {
		if rest, found := strings.CutPrefix(a, flag); found && (rest == "" || rest[0] == '=') {
			return true
		}
	}
	return false
}

// lean reports whether the arguments run or plan something, and do not ask for help.
func lean(args []string) bool {
	if len(args) == 0 || args[0] != "run" && args[0] != "plan" {
		return false
	}
	for _, a := range args[1:] {
		if a == "--" {
			return true
		}
		if a == "-h" || strings.HasPrefix(a, "--help") || strings.HasPrefix(a, "-") && !strings.HasPrefix(a, "--") && strings.Contains(a, "h") {
			return false
		}
	}
	return true
}

// words returns the literal values of a flag such as "none|host|PATH".
func words(arg string) []string {
	var out []string
	for w := range strings.SplitSeq(arg, "|") {
		if w != "" && strings.ToLower(w) == w && !strings.ContainsAny(w, "[]{}=:*@") {
			out = append(out, w)
		}
	}
	return out
}
