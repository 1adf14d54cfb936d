package main

import (
	"strings"
	"time"

	"github.com/spf13/cobra"

	"cordon/policy"
)

// fieldValue is a value that the command line gives to a field of the profile, by --NAME VALUE.
type fieldValue struct{ name, value string }

// field is a flag that sets a field of the profile. It collects its values in the order of the command line. Package
// policy interprets them.
type field struct {
	name, arg string
	into      *[]fieldValue
}

func (f *field) String() string { return "" }

// Type returns what the help shows as the flag's value. For a bool, pflag shows nothing.
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
	trust    bool // use profiles even if a task (a program in a sandbox) may have written them
	fields   []fieldValue
	report   string
	summary  bool
	sumFile  string
	verbose  bool
	quiet    bool
	dryRun   bool
	json     bool

	interactive, terminal bool   // -i, -t
	recordTTY             string // the file named by --record-tty
	killAfter             time.Duration

	keep keepFlags
}

// addRunFlags adds -p and the flags for fields of the profile. For help and completion it adds all of them, and
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
	if occurs("--env-file", u.args) {
		fs.Var((*envFile)(&f.fields), "env-file", "")
		_ = fs.MarkHidden("env-file")
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

// addQueryFlags adds -p and flags for fields of the profile to a command that runs nothing. If section is "", it adds
// all fields, otherwise only those of the section. It leaves out --arch, because these commands have a flag --arch of
// their own.
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

// occursShort reports whether one of the arguments contains a flag's letter, or may contain it in a group of letters.
func occursShort(letter string, args []string) bool {
	for _, a := range args {
		if strings.HasPrefix(a, "-") && !strings.HasPrefix(a, "--") && strings.Contains(a, letter) {
			return true
		}
	}
	return false
}

// occurs reports whether one of the arguments is the flag, or looks like it.
func occurs(flag string, args []string) bool {
	for _, a := range args {
		if rest, found := strings.CutPrefix(a, flag); found && (rest == "" || rest[0] == '=') {
			return true
		}
	}
	return false
}

// lean reports whether the arguments run or plan something without asking for help, so that only the flags in use need
// be built.
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

// words returns the literal values that a flag accepts: none and host for "none|host|PATH".
func words(arg string) []string {
	var out []string
	for w := range strings.SplitSeq(arg, "|") {
		if w != "" && strings.ToLower(w) == w && !strings.ContainsAny(w, "[]{}=:*@") {
			out = append(out, w)
		}
	}
	return out
}
