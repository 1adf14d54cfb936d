package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"cordon/policy"
	"cordon/policy/convert"
	"cordon/policy/filter"
	"cordon/policy/phrase"
)

// conversion holds the flags that import and export share.
type conversion struct {
	out   string
	arch  string
	lossy bool
	json  bool
}

func (f *conversion) add(c *cobra.Command) {
	fs := c.Flags()
	fs.StringVarP(&f.out, "output", "o", "-", "write to `OUT` instead of stdout")
	fs.StringVar(&f.arch, "arch", "", "`ARCH` that the profile is for: amd64, arm64 or riscv64; by default this machine's")
	fs.BoolVar(&f.lossy, "lossy", false, "write the profile even if rules are lost, or if it allows more calls")
	fs.BoolVar(&f.json, "json", false, "print as JSON how cordon converted every rule; needs -o")
	_ = c.RegisterFlagCompletionFunc("arch", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return []string{"amd64", "arm64", "riscv64"}, cobra.ShellCompDirectiveNoFileComp
	})
}

// check refuses impossible flags before the command reads anything.
func (f *conversion) check(c *cobra.Command) (filter.Arch, error) {
	if f.json && f.out == "-" {
		return 0, usageError(c, c.CommandPath()+": --json puts the listing on stdout: name a file for the profile with -o")
	}
	name := f.arch
	if name == "" {
		name = runtime.GOARCH
	}
	arch, ok := filter.ParseArch(name)
	if !ok || arch == filter.X32 {
		return 0, &cliError{err: fmt.Errorf("%q is not an architecture that cordon makes filters for", name), hint: "use --arch amd64, arm64 or riscv64"}
	}
	return arch, nil
}

func newProfileImport(u *ui) *cobra.Command {
	var f conversion
	var opts convert.ImportOptions
	var caps []string
	kernel := ""
	c := &cobra.Command{
		Use:   "import [flags] FILE",
		Short: "Make a profile from a seccomp profile in JSON",
		Long: "Make a profile from a seccomp profile in JSON: a profile of Docker or Podman, or of the OCI runtime specification\n" +
			"(also a whole config.json). FILE may be - for stdin. stderr lists every rule that cordon cannot convert exactly. If\n" +
			"the result would lose a rule or allow more calls, cordon writes nothing and exits with 1; with --lossy it writes the\n" +
			"result in spite of this.\n\n" +
			"The new profile is complete: apart from its system calls it equals the profile \"container\". With --bare the new\n" +
			"profile has only the system calls. Then use it together with a second profile, whose denials and rules also hold.",
		Example: "  cordon profile import default.json -o docker.yaml\n" +
			"  cordon run -p ./docker.yaml --root /srv/rootfs -- sh",
		DisableFlagsInUseLine: true,
		Args:                  cobra.MatchAll(needArgs(1, "the file"), atMost(1)),
		RunE: func(c *cobra.Command, args []string) error {
			arch, err := f.check(c)
			if err != nil {
				return err
			}
			t := convert.Target{Arch: arch}
			if t.Caps, err = keptCaps(caps); err != nil {
				return err
			}
			if t.Kernel, err = kernelOf(kernel); err != nil {
				return err
			}
			return u.importProfile(args[0], t, opts, &f)
		},
	}
	f.add(c)
	fs := c.Flags()
	fs.StringVar(&opts.Name, "name", "", "`NAME` of the profile; by default the file's name")
	fs.StringArrayVar(&caps, "cap", nil, "assume that the container keeps `CAP` besides Docker's fourteen; none, as the first CAP, drops these fourteen; may be repeated")
	fs.StringVar(&kernel, "kernel", "", "assume Linux `X.Y`; by default the running kernel")
	fs.BoolVar(&opts.Bare, "bare", false, "write only the section syscalls, for use with another profile")
	fs.BoolVar(&opts.Names, "names", false, "list every call by name; do not use groups, which may change with the version of cordon")
	_ = c.RegisterFlagCompletionFunc("cap", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return append(policy.CapabilityNames(), "none", "all"), cobra.ShellCompDirectiveNoFileComp
	})
	return c
}

func (u *ui) importProfile(file string, t convert.Target, opts convert.ImportOptions, f *conversion) error {
	name, in := file, io.Reader(os.Stdin)
	if file == "-" {
		name = "stdin"
	} else {
		r, err := openInput(file)
		if err != nil {
			return convertError("import", file, err)
		}
		defer r.Close()
		in = r
	}
	data, err := io.ReadAll(io.LimitReader(in, convert.MaxFile+1))
	if err != nil {
		return convertError("import", file, err)
	}
	res, err := convert.Import(name, data, t, opts)
	if err != nil {
		return err
	}
	return u.converted(res, f, nil)
}

// keptCaps returns Docker's default capabilities and those in named. The word none removes all before it, and all means
// every capability.
func keptCaps(named []string) ([]string, error) {
	caps := convert.DockerCaps()
	for _, n := range named {
		name := strings.TrimPrefix(strings.ToUpper(n), "CAP_")
		switch name {
		case "NONE":
			caps = nil
			continue
		case "ALL":
			caps = policy.CapabilityNames()
			continue
		}
		if _, ok := policy.CapabilityNumber(name); !ok {
			e := &cliError{err: fmt.Errorf("--cap %s: %q is not a capability", n, n)}
			if near := policy.Suggest(name, policy.CapabilityNames()); near != "" {
				e.hint = "did you mean " + near + "?"
			}
			return nil, e
		}
		if !slices.Contains(caps, name) {
			caps = append(caps, name)
		}
	}
	return caps, nil
}

// kernelOf parses a kernel release. If none is given, it returns the release of the running kernel.
func kernelOf(given string) (k convert.Kernel, err error) {
	if given != "" {
		if k, err = convert.ParseKernel(given); err != nil {
			err = &cliError{err: errors.New("--kernel: " + err.Error()), hint: "use a version such as --kernel 6.1"}
		}
		return k, err
	}
	var uts unix.Utsname
	if err := unix.Uname(&uts); err != nil {
		return k, fmt.Errorf("uname: %w", err)
	}
	release := unix.ByteSliceToString(uts.Release[:])
	if _, err := fmt.Sscanf(release, "%d.%d", &k.Major, &k.Minor); err != nil {
		return k, &cliError{err: fmt.Errorf("uname: release %q is not a version", release), hint: "name the kernel: --kernel X.Y"}
	}
	return k, nil
}

func convertError(command, file string, err error) error {
	return &cliError{err: because("profile "+command+": "+strconv.Quote(file), err)}
}

// converted prints how the rules were converted, and writes the result. If something is lost, it writes only with
// --lossy. If the result goes to a file, the messages go to stdout.
func (u *ui) converted(res *convert.Result, f *conversion, beside []byte) error {
	u.listNotes(res.Notes)
	if f.json {
		if err := u.json(listedNotes(res.Notes)); err != nil {
			return err
		}
	}
	if n := res.Lossy(); n > 0 && !f.lossy {
		return &cliError{err: fmt.Errorf("%s would be lost or let more calls pass: nothing is written", phrase.Counted(n, "rule")),
			hint: "use --lossy to write the result all the same", code: exitNo}
	}
	if f.out == "-" {
		return u.write(string(res.Text))
	}
	if err := putFile(f.out, "", res.Text); err != nil {
		return err
	}
	if f.json || len(beside) == 0 {
		return nil
	}
	return u.write(string(beside))
}

// listNotes prints a line for each rule that was not converted exactly, and the totals.
func (u *ui) listNotes(notes []convert.Note) {
	exact, others, dropped := 0, 0, 0
	for i := range notes {
		n := &notes[i]
		switch n.Class {
		case convert.Exact:
			exact++
			continue
		case convert.Dropped:
			dropped++
		default:
			others++
		}
		at := n.Pos.Short()
		if n.Pos.Line == 0 && n.Pos.Flag == "" {
			at = n.At
		}
		u.line(string(n.Class), at+": "+n.Rule+": "+suffixed(string(n.Effect), ": ")+n.How)
	}
	u.line("converted", fmt.Sprintf("%s exact, %d approximated, %d dropped", phrase.Counted(exact, "rule"), others, dropped))
}

func suffixed(s, suffix string) string {
	if s == "" {
		return ""
	}
	return s + suffix
}

// listedNote is an item of --json.
type listedNote struct {
	At     string `json:"at"`
	Place  string `json:"place,omitempty"`
	Rule   string `json:"rule"`
	Class  string `json:"class"`
	Effect string `json:"effect,omitempty"`
	How    string `json:"how,omitempty"`
}

func listedNotes(notes []convert.Note) any {
	out := struct {
		Version int          `json:"version"`
		Notes   []listedNote `json:"notes"`
	}{1, []listedNote{}}
	for _, n := range notes {
		out.Notes = append(out.Notes, listedNote{n.At, n.Pos.Short(), n.Rule, string(n.Class), string(n.Effect), n.How})
	}
	return out
}
