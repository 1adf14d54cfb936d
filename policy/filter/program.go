package filter

import (
	"strconv"
	"strings"
)

// Insn is struct sock_filter of linux/filter.h: same size, same layout.
type Insn struct {
	Code   uint16
	Jt, Jf uint8
	K      uint32
}

// MaxInsns is BPF_MAXINSNS: the kernel does not accept a longer program.
const MaxInsns = 4096

// These are the instructions that the compiler uses (linux/bpf_common.h). A is the accumulator.
const (
	opLoad = 0x20 // BPF_LD|BPF_W|BPF_ABS: A = the word at K of struct seccomp_data
	opAnd  = 0x54 // BPF_ALU|BPF_AND|BPF_K
	opXor  = 0xa4 // BPF_ALU|BPF_XOR|BPF_K
	opJump = 0x05 // BPF_JMP|BPF_JA: the only jump that can skip more than 255 instructions
	opJeq  = 0x15 // BPF_JMP|BPF_JEQ|BPF_K
	opJgt  = 0x25 // BPF_JMP|BPF_JGT|BPF_K
	opJge  = 0x35 // BPF_JMP|BPF_JGE|BPF_K
	opJset = 0x45 // BPF_JMP|BPF_JSET|BPF_K
	opTax  = 0x07 // BPF_MISC|BPF_TAX: X = A
	opRet  = 0x06 // BPF_RET|BPF_K
	fromX  = 0x08 // BPF_X instead of BPF_K, in jumps and arithmetic
)

// Offsets in struct seccomp_data of linux/seccomp.h. All our architectures are little-endian.
const (
	offNr   = 0
	offArch = 4
	offArgs = 16
)

// Program is a compiled filter.
type Program struct {
	Arch     Arch
	Insns    []Insn
	Warnings []Warning
}

// Encode returns the instructions as an array of struct sock_filter of a little-endian machine.
func Encode(insns []Insn) string {
	b := make([]byte, 0, 8*len(insns))
	for _, in := range insns {
		b = append(b, byte(in.Code), byte(in.Code>>8), in.Jt, in.Jf, byte(in.K), byte(in.K>>8), byte(in.K>>16), byte(in.K>>24))
	}
	return string(b)
}

// Warning is about a part of a Spec that has no effect, or a different effect than it seems to have.
type Warning struct {
	From []string // the positions of the rules concerned, in order
	Msg  string
	Hint string // how to correct it; may be empty
}

// Data is struct seccomp_data of linux/seccomp.h.
type Data struct {
	Nr   int32
	Arch uint32
	IP   uint64
	Args [6]uint64
}

// Verdict is the decision about one call, with the reason.
type Verdict struct {
	Action Action
	Call   string   // its name; "" if the number is not in the table
	From   []string // the items or rules that decide the call; empty if a default does
	Why    string   // in words: "denied by @keyring", "not allowed", "unknown number", …
	By     Decider
	Rules  []int // if By is ByRule: indices in Spec.Rules of the rule that fails, or of all rules if none fails
}

// Decider is the step in the order of Spec that decides a call.
type Decider uint8

// The deciders, in Spec's order.
const (
	ByArch        Decider = iota // the call is of another architecture, or of x32, that is not in Foreign
	ByUnknown                    // the number is in no table
	ByDeny                       // an item of Deny
	ByMultiplexer                // socketcall or ipc, because not every call that it can make is allowed without conditions
	ByRule                       // the rules about the call
	ByAllow                      // an item of Allow
	ByDefault                    // the default applies, because nothing names the call
)

// Asm prints the program in the syntax of the kernel's BPF assembler (Documentation/networking/filter.rst), one
// instruction on each line with its meaning as a comment. notes are the result of Notes, or nil.
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

// targets marks the instructions that are targets of a jump.
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

// asm returns the instruction, which is at index i, as text.
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

// note says what an instruction compares or returns, or "" if the instruction alone does not tell.
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
