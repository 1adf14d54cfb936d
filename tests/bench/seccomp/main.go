//go:build cgo && libseccomp

// Command seccomp compares our filters with libseccomp's filters for the same rules: how long they take to compile,
// how many instructions they have, how long the kernel takes to load them, and how long a call takes under them. It
// prints JSON. Command bench runs it, because command bench itself does not link libseccomp.
//
// Each measurement loads its filter in a separate copy of this program, because a process cannot remove a filter.
package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"time"

	"cordon/cmd/cordon-reference/reference"
	"cordon/policy/filter"
)

// figures is the output of this command.
type figures struct {
	Libseccomp string
	Rows       []row
}

// row is the filter that one compiler makes from one set of rules. Times are in nanoseconds.
type row struct {
	Rules    string // the name of the set of rules
	Compiler string // cordon, libseccomp 1 or libseccomp 2
	Insns    int
	Compile  []float64 // one value for each round
	Load     []float64 // the time of seccomp(2)
	Allowed  []float64 // the time of a call that is allowed without a check
	Checked  []float64 // the time of a call that is allowed after a check of its argument
	program  []byte
	compile  func() ([]filter.Insn, error)
}

const noFilter = "no filter"

func main() {
	child := flag.Int("child", -1, "load the filter on stdin and make `N` calls of each kind (used by itself)")
	rounds := flag.Int("rounds", 40, "how often everything is measured")
	calls := flag.Int("calls", 100000, "calls of each kind in a round")
	flag.Parse()
	err := error(nil)
	if *child >= 0 {
		err = measureHere(*child)
	} else {
		err = measure(*rounds, *calls)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "seccomp:", err)
		os.Exit(1)
	}
}

// measure measures every row in every round, each time in a different order, so that a change of the machine's speed
// affects all rows alike.
func measure(rounds, calls int) error {
	f := figures{Libseccomp: reference.Version()}
	for _, set := range []func() (*rules, error){docker, shipped} {
		r, err := set()
		if err != nil {
			return err
		}
		rows, err := r.rows()
		if err != nil {
			return fmt.Errorf("%s: %w", r.name, err)
		}
		f.Rows = append(f.Rows, rows...)
	}
	f.Rows = append(f.Rows, row{Rules: noFilter})
	for round := range rounds {
		for i := range f.Rows {
			if err := f.Rows[(i+round)%len(f.Rows)].round(calls); err != nil {
				return err
			}
		}
	}
	return json.NewEncoder(os.Stdout).Encode(f)
}

// round measures a row once.
func (r *row) round(calls int) error {
	if r.compile != nil {
		start := time.Now()
		if _, err := r.compile(); err != nil {
			return err
		}
		r.Compile = append(r.Compile, float64(time.Since(start)))
	}
	cmd := exec.Command("/proc/self/exe", "-child", fmt.Sprint(calls))
	cmd.Stdin, cmd.Stderr = bytes.NewReader(r.program), os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("%s, %s: %w", r.Rules, r.Compiler, err)
	}
	var c costs
	if err := json.Unmarshal(out, &c); err != nil {
		return err
	}
	r.Load, r.Allowed, r.Checked = append(r.Load, c.Load), append(r.Allowed, c.Allowed), append(r.Checked, c.Checked)
	return nil
}

// rows compiles a set of rules with every compiler, and checks that the programs make the same decisions.
func (r *rules) rows() ([]row, error) {
	rows := []row{{Rules: r.name, Compiler: "cordon", compile: func() ([]filter.Insn, error) {
		p, err := filter.Compile(r.spec, native)
		if err != nil {
			return nil, err
		}
		return p.Insns, nil
	}}}
	for optimize := 1; optimize <= 2; optimize++ {
		rows = append(rows, row{Rules: r.name, Compiler: fmt.Sprintf("libseccomp, optimization %d", optimize), compile: func() ([]filter.Insn, error) {
			return r.libseccomp(optimize)
		}})
	}
	var first []filter.Insn
	for i := range rows {
		insns, err := rows[i].compile()
		if err != nil {
			return nil, err
		}
		if i == 0 {
			first = insns
		} else if err := r.same(first, insns); err != nil {
			return nil, fmt.Errorf("%s: %w", rows[i].Compiler, err)
		}
		rows[i].Insns = len(insns)
		rows[i].program = (&filter.Program{Insns: insns}).Bytes()
	}
	return rows, nil
}

// same compares the decisions of two programs for every number, and for the arguments that matter. It leaves out calls
// that libseccomp does not know.
func (r *rules) same(a, b []filter.Insn) error {
	args := samples()
	for nr := range int32(400) {
		call, ok := filter.Name(native, uint32(nr))
		if !ok || slices.Contains(r.unknown, call) {
			continue
		}
		for _, x := range args {
			d := filter.Data{Nr: nr, Arch: native.Audit(), Args: x}
			if x, y := filter.ActionOf(filter.Run(a, &d, nil)), filter.ActionOf(filter.Run(b, &d, nil)); x != y {
				return fmt.Errorf("%s%#x: %s and %s", call, d.Args, x, y)
			}
		}
	}
	return nil
}

// samples returns arguments at the edges of the conditions: one value in all arguments, and families, types and
// protocols of sockets.
func samples() (list [][6]uint64) {
	for _, x := range [...]uint64{0, 1, 2, 8, 10, 16, 17, 40, 0x3ff, 0x400, 0x401, 0x402, 0x403, 0x40f, 0x410, 0x411, 0x20000,
		0x5411, 0x5412, 0x5413, 0x541b, 0x541c, 0x541d, 0x5422, 0x5423, 0x5424, 0x10000000, 0x7e020000, 0xffffffff} {
		list = append(list, [6]uint64{x, x, 0, x})
	}
	for family := range uint64(20) {
		for _, kind := range [...]uint64{0, 1, 2, 3, 4, 5, 10, 0x80001, 0x80802, 0x80805} {
			for _, protocol := range [...]uint64{0, 1, 2, 6, 16, 17, 33, 58, 132, 262} {
				list = append(list, [6]uint64{family, kind, protocol})
			}
		}
	}
	return list
}
