package main

import (
	"strings"

	"github.com/spf13/cobra"

	"cordon/policy"
)

// fieldValue is a field of the profile set on the command line: --NAME VALUE.
type fieldValue struct{ name, value string }

// field is a flag that stands for a field of the profile. It collects, in the order of the command line; package policy
// says what the values mean.
type field struct {
	name, arg string
	into      *[]fieldValue
}

func (f *field) String() string { return "" }

// Type is what the help shows for the value; pflag shows nothing for a bool.
func (f *field) Type() string {
	if f.arg == "" {
		return "bool"
	}
	return f.arg
}

// Set is called by pflag for each occurrence.
func (f *field) Set(v string) error {
	*f.into = append(*f.into, fieldValue{f.name, v})
	return nil
}

// runFlags are the flags of `run` and `plan`.
type runFlags struct {
	profiles []string
	fields   []fieldValue
	report   string
	verbose  bool
	dryRun   bool
	json     bool
}

// addRunFlags adds -p and a flag for every field of the profile. What follows the first argument that is no flag belongs
// to the command.
func addRunFlags(c *cobra.Command, f *runFlags) {
	fs := c.Flags()
	fs.SetInterspersed(false)
	fs.SortFlags = false
	fs.StringArrayVarP(&f.profiles, "profile", "p", nil, "profile by `NAME`, or a file, with a slash; may be repeated")
	for _, d := range policy.Flags() {
		v := fs.VarPF(&field{d.Name, d.Arg, &f.fields}, d.Name, "", d.Doc)
		if d.Arg == "" {
			v.NoOptDefVal = "true"
		}
	}
	if completing() {
		completeRun(c)
	}
}

// words are the values of a flag such as "none|host|PATH" that are spelled out.
func words(arg string) []string {
	var out []string
	for w := range strings.SplitSeq(arg, "|") {
		if w != "" && strings.ToLower(w) == w && !strings.ContainsAny(w, "[]{}=:*@") {
			out = append(out, w)
		}
	}
	return out
}
