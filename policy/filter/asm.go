package filter

import (
	"strconv"
	"strings"
)

// Asm prints the program in the syntax of the kernel's BPF assembler (Documentation/networking/filter.rst), one
// instruction a line, with what it means as a comment: notes are those of Notes, or nil.
func (p *Program) Asm(notes []string) string {
	var b strings.Builder
	targets := p.targets()
	for i := range p.Insns {
		if targets[i] {
			b.WriteString("l" + strconv.Itoa(i) + ":")
		}
		b.WriteByte('\t')
		b.WriteString(p.Insns[i].asm(i))
		note := p.note(i)
		if notes != nil {
			note = notes[i]
		}
		if note != "" {
			b.WriteString("\t; " + note)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// targets marks the instructions that something jumps to.
func (p *Program) targets() []bool {
	t := make([]bool, len(p.Insns)+256)
	for i, in := range p.Insns {
		switch {
		case in.Code == opJump:
			if n := i + 1 + int(in.K); n < len(p.Insns) {
				t[n] = true
			}
		case in.Code&7 == 5:
			t[i+1+int(in.Jt)], t[i+1+int(in.Jf)] = true, true
		}
	}
	return t
}

func hex(k uint32) string { return "0x" + strconv.FormatUint(uint64(k), 16) }

// asm is the instruction at index i.
func (in Insn) asm(i int) string {
	to := func(skip int) string { return "l" + strconv.Itoa(i+1+skip) }
	jump := func(name string) string {
		with := " #" + hex(in.K)
		if in.Code&fromX != 0 {
			with = " %x"
		}
		return name + with + ", " + to(int(in.Jt)) + ", " + to(int(in.Jf))
	}
	switch in.Code {
	case opLoad:
		return "ld [" + strconv.Itoa(int(in.K)) + "]"
	case opAnd:
		return "and #" + hex(in.K)
	case opXor:
		return "xor #" + hex(in.K)
	case opJump:
		return "jmp " + to(int(in.K))
	case opJeq, opJeq | fromX:
		return jump("jeq")
	case opJgt, opJgt | fromX:
		return jump("jgt")
	case opJge, opJge | fromX:
		return jump("jge")
	case opJset, opJset | fromX:
		return jump("jset")
	case opTax:
		return "tax"
	case opRet:
		return "ret #" + hex(in.K)
	}
	return "; " + hex(uint32(in.Code)) + " " + strconv.Itoa(int(in.Jt)) + " " + strconv.Itoa(int(in.Jf)) + " " + hex(in.K)
}

// note says what an instruction is about; "" where that is plain.
func (p *Program) note(i int) string {
	in := p.Insns[i]
	switch {
	case in.Code == opRet:
		return ActionOf(in.K).String()
	case in.Code == opLoad && in.K == offNr:
		return "nr"
	case in.Code == opLoad && in.K == offArch:
		return "arch"
	case in.Code == opLoad && in.K >= offArgs:
		half := ", low half"
		if in.K%8 != 0 {
			half = ", high half"
		}
		return "arg" + strconv.Itoa(int(in.K-offArgs)/8) + half
	case in.Code == opJeq:
		for a := AMD64; a <= ARM; a++ {
			if in.K == a.Audit() {
				return a.String()
			}
		}
	}
	return ""
}
