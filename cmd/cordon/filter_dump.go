package main

import (
	"encoding/json"
	"errors"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"cordon/policy"
	"cordon/policy/filter"
)

type dumpFlags struct {
	runFlags
	format, arch, out string
}

// formats lists the output formats of `filter dump`.
var formats = [...]struct {
	name, about string
	make        func(*dumped) ([]byte, error)
}{
	{"asm", "text: one instruction on each line, with a comment that says what it checks", (*dumped).asm},
	{"pfc", "the result for each call, in the style of libseccomp's pseudo filter code", (*dumped).pfc},
	{"bpf", "an array of struct sock_filter, for seccomp(2) and bwrap --seccomp FD", (*dumped).bpf},
	{"c", "a C source file that contains the array of bpf", (*dumped).c},
	{"json", "JSON: each instruction with its meaning", (*dumped).json},
}

func newFilterDump(u *ui) *cobra.Command {
	var f dumpFlags
	long := "Print the filter that cordon compiles from a profile. This needs no privilege, and the files that the profile names\n" +
		"need not exist.\n\n"
	for _, x := range formats {
		long += "  " + pad(x.name, 6) + x.about + "\n"
	}
	c := &cobra.Command{
		Use:   "dump [flags]",
		Short: "Print the filter that cordon compiles from a profile",
		Long: long + "\n  cordon filter dump -p build --format bpf -o build.bpf\n" +
			"  bwrap --ro-bind / / --seccomp 9 9< build.bpf -- make",
		DisableFlagsInUseLine: true,
		Args:                  noArgs,
		RunE:                  func(*cobra.Command, []string) error { return u.filterDump(&f) },
	}
	addQueryFlags(c, &f.runFlags, "syscalls.")
	c.Flags().StringVar(&f.format, "format", "asm", "`FORMAT`: asm, pfc, bpf, c or json")
	c.Flags().StringVar(&f.arch, "arch", "", "`NAME` of the architecture that the filter is for: amd64, arm64 or riscv64")
	c.Flags().StringVarP(&f.out, "output", "o", "", "write to `FILE` instead of stdout")
	if completing() {
		_ = c.RegisterFlagCompletionFunc("format", cobra.FixedCompletions([]string{"asm", "pfc", "bpf", "c", "json"}, cobra.ShellCompDirectiveNoFileComp))
	}
	return c
}

// dumped is a filter to be printed.
type dumped struct {
	profile string
	spec    filter.Spec
	prog    *filter.Program
	notes   []string
	once    string // the position of `exec: once` in the profile; the printed filter lacks the rule that this key adds
}

func (u *ui) filterDump(f *dumpFlags) error {
	i := 0
	for i < len(formats) && formats[i].name != f.format {
		i++
	}
	if i == len(formats) {
		return &cliError{err: errors.New("filter dump: unknown format " + f.format), hint: "use --format asm, pfc, bpf, c or json"}
	}
	if f.format == "bpf" && f.out == "" && terminal(u.out) {
		return &cliError{err: errors.New("filter dump: stdout is a terminal, and bpf is not text"), hint: "use -o FILE, or --format asm"}
	}
	d, err := f.compile()
	if err != nil {
		return err
	}
	if d.once != "" {
		u.line("left out", "syscalls.exec once ("+d.once+"): it takes the launcher, whose own execve passes by a nonce")
	}
	data, err := formats[i].make(d)
	if err != nil {
		return err
	}
	if f.out == "" || f.out == "-" {
		return u.write(string(data))
	}
	return putFile(f.out, "filter dump:", data)
}

// compile compiles the filter that a launch would use.
func (f *dumpFlags) compile() (*dumped, error) {
	p, err := load(f.profiles, f.fields)
	if err != nil {
		return nil, err
	}
	native, abi, err := archesOf(f.arch)
	if err != nil {
		return nil, err
	}
	if native != abi {
		return nil, &cliError{err: errors.New("filter dump: no kernel is " + abi.String() + " alone"),
			hint: "--arch " + native.String() + ", with syscalls.arches: [" + abi.String() + "] in the profile"}
	}
	d := &dumped{profile: p.Name}
	if p.Syscalls.Exec == policy.ExecOnce {
		d.once = p.Source("syscalls.exec").Short()
	}
	if d.spec, err = p.Filter(); err != nil {
		return nil, err
	}
	if d.prog, err = filter.Compile(d.spec, native); err != nil {
		return nil, err
	}
	d.notes, err = filter.Notes(d.spec, d.prog)
	return d, err
}

// terminal reports whether w is a terminal.
func terminal(w any) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

func (d *dumped) asm() ([]byte, error) {
	var b strings.Builder
	for l := range strings.Lines(d.prog.Asm(d.notes)) {
		b.WriteString(cleanLine(l))
	}
	return []byte(b.String()), nil
}

// cleanLine escapes unprintable characters, but keeps the tabs and the end of a line.
func cleanLine(l string) string {
	cells := strings.Split(strings.TrimSuffix(l, "\n"), "\t")
	for i := range cells {
		cells[i] = clean(cells[i])
	}
	return strings.Join(cells, "\t") + "\n"
}

func (d *dumped) pfc() ([]byte, error) {
	text, err := filter.PFC(d.spec, d.prog.Arch)
	return []byte(text), err
}

func (d *dumped) bpf() ([]byte, error) { return d.prog.Bytes(), nil }

func (d *dumped) c() ([]byte, error) { return []byte(d.prog.C("cordon_filter", d.notes)), nil }

// dumpedJSON is the filter as JSON. code, jt, jf and k are the fields of struct sock_filter.
type dumpedJSON struct {
	Version      int          `json:"version"`
	Profile      string       `json:"profile"`
	Arch         string       `json:"arch"`
	AuditArch    uint32       `json:"audit_arch"`
	Instructions []dumpedInsn `json:"instructions"`
}

type dumpedInsn struct {
	Code uint16 `json:"code"`
	Jt   uint8  `json:"jt"`
	Jf   uint8  `json:"jf"`
	K    uint32 `json:"k"`
	Asm  string `json:"asm"`
	Note string `json:"note,omitempty"`
}

func (d *dumped) json() ([]byte, error) {
	out := dumpedJSON{1, d.profile, d.prog.Arch.String(), d.prog.Arch.Audit(), nil}
	for i, in := range d.prog.Insns {
		out.Instructions = append(out.Instructions, dumpedInsn{in.Code, in.Jt, in.Jf, in.K, d.prog.AsmAt(i), d.notes[i]})
	}
	text, err := json.MarshalIndent(out, "", "  ")
	return append(text, '\n'), err
}
