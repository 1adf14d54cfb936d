package filter

import (
	"slices"
	"strconv"
	"strings"

	"cordon/policy/filter/tables"
)

// Notes returns a note for each instruction of a Program that was compiled from spec. The note says for what the
// instruction is used: the call whose number it compares, the argument that it loads, or the rule to which it belongs.
// Notes follows every number of every table through the program.
func Notes(spec Spec, p *Program) ([]string, error) {
	c, err := newCompiler(&spec, p.Arch)
	if err != nil {
		return nil, err
	}
	w := walker{p: p, seen: make([]bool, len(p.Insns)), users: make([][]user, len(p.Insns)), abis: make([][X32 + 1]bool, len(p.Insns))}
	for _, abi := range c.abis() {
		for _, n := range table(abi) {
			w.walk(abi, n)
		}
	}
	notes := make([]string, len(p.Insns))
	for i := range notes {
		notes[i] = c.noteOf(&w, i)
	}
	return notes, nil
}

// abis returns the native ABI and the ABIs that the Spec adds.
func (c *compiler) abis() []Arch {
	all := []Arch{c.arch}
	for _, a := range [...]Arch{I386, ARM, X32} {
		if a != c.arch && c.lists(a) {
			all = append(all, a)
		}
	}
	return all
}

// user is a call for which the program executes an instruction of a check.
type user struct {
	abi  Arch
	call uint16
}

// walker finds out which calls reach which instructions.
type walker struct {
	p     *Program
	seen  []bool          // whether the current call reaches an instruction with an argument in the accumulator
	users [][]user        // the calls that reach an instruction, from the first load of an argument on
	abis  [][X32 + 1]bool // the ABIs whose numbers reach an instruction before that load
}

func (w *walker) walk(abi Arch, n tables.Numbered) {
	d := Data{Nr: int32(n.Nr), Arch: abi.Audit()}
	if abi == X32 {
		d.Nr |= X32Bit
	}
	m := machine{d: &d}
	for pc := 0; pc < len(w.p.Insns); pc++ {
		in := &w.p.Insns[pc]
		w.abis[pc][abi] = true
		switch {
		case in.Code == opLoad && in.K >= offArgs:
			clear(w.seen)
			w.check(pc, user{abi, n.Call})
			return
		case in.Code == opRet:
			return
		case in.Code&7 == 5:
			skip, _ := m.jump(in)
			pc += int(skip)
		default:
			m.step(in)
		}
	}
}

// check follows both branches of each jump.
func (w *walker) check(pc int, u user) {
	for ; pc < len(w.p.Insns) && !w.seen[pc]; pc++ {
		w.seen[pc] = true
		w.users[pc] = append(w.users[pc], u)
		in := &w.p.Insns[pc]
		switch {
		case in.Code == opRet:
			return
		case in.Code == opJump:
			pc += int(in.K)
		case in.Code&7 == 5:
			w.check(pc+1+int(in.Jt), u)
			pc += int(in.Jf)
		}
	}
}

// noteOf returns the note for one instruction.
func (c *compiler) noteOf(w *walker, i int) string {
	in := &w.p.Insns[i]
	users := w.users[i]
	switch {
	case in.Code == opRet || in.Code == opLoad && in.K < offArgs:
		return w.p.note(i)
	case in.Code == opLoad:
		note := w.p.note(i)
		if name := argName(users, int(in.K-offArgs)/8); name != "" {
			note = name + strings.TrimPrefix(note, "arg"+strconv.Itoa(int(in.K-offArgs)/8))
		}
		return note + "; " + c.rulesOf(users)
	case len(users) > 0 || in.Code == opJump:
		return ""
	case in.Code == opJeq && w.p.note(i) != "":
		return w.p.note(i)
	}
	return c.numberNote(in, &w.abis[i])
}

// numberNote names the call with whose number an instruction compares.
func (c *compiler) numberNote(in *Insn, abis *[X32 + 1]bool) string {
	name := "number " + strconv.Itoa(int(int32(in.K)))
	for _, abi := range c.abis() {
		nr := in.K
		if !abis[abi] || (abi == X32) != (nr&X32Bit != 0 && nr>>31 == 0) {
			continue
		}
		if n, ok := Name(abi, nr&^X32Bit); ok {
			name = n
			break
		}
	}
	switch {
	case in.K == X32Bit:
		name = "x32's numbers"
	case in.K == 1<<32-1:
		name = "-1, a call that a tracer skips"
	}
	if in.Code == opJge {
		return "from " + name + " on"
	}
	return name
}

// argName returns the argument's name if all calls that use the instruction have the same name for it.
func argName(users []user, arg int) (name string) {
	for i, u := range users {
		p := parser{arch: u.abi, call: u.call}
		names := Args(tables.CallNames[u.call])
		if arg >= len(names) || p.split(arg) || i > 0 && names[arg] != name {
			return ""
		}
		name = names[arg]
	}
	return name
}

// rulesOf names the calls and the rules from which a check comes.
func (c *compiler) rulesOf(users []user) string {
	var calls, from []string
	for _, u := range users {
		name := tables.CallNames[u.call]
		if u.abi != c.arch {
			name += " on " + u.abi.String()
		}
		calls = append(calls, name)
		owner := c.ruleOwner(u.call)
		for i := range c.rules {
			at := c.spec.Rules[c.rules[i].index].From
			if c.rules[i].call == owner && at != "" && !slices.Contains(from, at) {
				from = append(from, at)
			}
		}
	}
	s := strings.Join(calls, ", ")
	if len(from) > 0 {
		s += " (" + strings.Join(from, ", ") + ")"
	}
	return s
}

// Step is one instruction of a Trace.
type Step struct {
	Index int    // in Program.Insns
	Asm   string // the instruction
	Did   string // its result: "nr = 41", "41 >= 128: no"
	Note  string // what it is about: see Notes
}

// Trace runs the program for one call, and reports each instruction that it executes. notes are the result of Notes.
func (p *Program) Trace(d *Data, notes []string) []Step {
	var path []int
	p.Run(d, &path)
	m := machine{d: d}
	steps := make([]Step, 0, len(path))
	for _, pc := range path {
		in := &p.Insns[pc]
		s := Step{Index: pc, Asm: in.asm(pc), Note: notes[pc]}
		switch {
		case in.Code == opRet:
			s.Did, s.Note = s.Note, ""
		case in.Code == opJump:
		case in.Code&7 == 5:
			s.Did = m.comparison(in)
		default:
			m.step(in)
			s.Did = "A = " + hex(m.a)
		}
		steps = append(steps, s)
	}
	return steps
}

// comparison returns a conditional jump in words.
func (m *machine) comparison(in *Insn) string {
	k, op := in.K, "=="
	if in.Code&fromX != 0 {
		k = m.x
	}
	switch in.Code &^ fromX {
	case opJgt:
		op = ">"
	case opJge:
		op = ">="
	case opJset:
		op = "&"
	}
	answer := "no"
	if skip, _ := m.jump(in); skip == uint32(in.Jt) && in.Jt != in.Jf {
		answer = "yes"
	}
	return hex(m.a) + " " + op + " " + hex(k) + ": " + answer
}
