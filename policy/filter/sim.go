package filter

// Run interprets the program as the kernel would (kernel/seccomp.c, net/core/filter.c). ret is the SECCOMP_RET_*
// value with its data. If path is not nil, Run appends to it the indices of the instructions that it executes. Run
// returns kill if it comes to something for which the kernel would not load the program: an unknown instruction, a
// jump or a load out of range, or an end without RET.
func (p *Program) Run(d *Data, path *[]int) (ret uint32) { return Run(p.Insns, d, path) }

// Action returns the program's decision for d.
func (p *Program) Action(d *Data) Action { return ActionOf(Run(p.Insns, d, nil)) }

// Run interprets a classic BPF program. It accepts every program that the kernel accepts as a seccomp filter.
func Run(insns []Insn, d *Data, path *[]int) (ret uint32) {
	m := machine{d: d}
	for pc := 0; pc < len(insns); pc++ {
		if path != nil {
			*path = append(*path, pc)
		}
		in := &insns[pc]
		switch in.Code & 0x07 {
		case 0x06: // RET
			if in.Code == 0x16 {
				return m.a
			}
			return in.K
		case 0x05: // JMP
			skip, ok := m.jump(in)
			if !ok || skip >= uint32(len(insns)) {
				return retKill
			}
			pc += int(skip)
		default:
			if !m.step(in) {
				return retKill
			}
		}
	}
	return retKill
}

// machine has the registers and the scratch memory of classic BPF.
type machine struct {
	d    *Data
	a, x uint32
	mem  [16]uint32
}

// word returns the 32-bit word at an offset of struct seccomp_data. ok is false if the offset is out of range or not
// a multiple of 4.
func (d *Data) word(off uint32) (w uint32, ok bool) {
	if off%4 != 0 || off >= 64 {
		return 0, false
	}
	var v uint64
	switch {
	case off == offNr:
		return uint32(d.Nr), true
	case off == offArch:
		return d.Arch, true
	case off < offArgs:
		v = d.IP
	default:
		v = d.Args[(off-offArgs)/8]
	}
	return uint32(v >> (off % 8 * 8)), true
}

// jump returns how many instructions a jump skips. ok is false if the jump is unknown.
func (m *machine) jump(in *Insn) (skip uint32, ok bool) {
	k := in.K
	if in.Code&0x08 != 0 {
		k = m.x
	}
	var yes bool
	switch in.Code &^ 0x08 {
	case opJump:
		return in.K, in.Code == opJump
	case opJeq:
		yes = m.a == k
	case opJgt:
		yes = m.a > k
	case opJge:
		yes = m.a >= k
	case opJset:
		yes = m.a&k != 0
	default:
		return 0, false
	}
	if yes {
		return uint32(in.Jt), true
	}
	return uint32(in.Jf), true
}

// step executes an instruction that is neither a jump nor a return. ok is false if the kernel would not accept it.
func (m *machine) step(in *Insn) (ok bool) {
	ok = true
	switch in.Code {
	case opLoad:
		m.a, ok = m.d.word(in.K)
	case 0x00: // LD IMM
		m.a = in.K
	case 0x01: // LDX IMM
		m.x = in.K
	case 0x80: // LD LEN
		m.a = 64
	case 0x81: // LDX LEN
		m.x = 64
	case 0x07: // TAX
		m.x = m.a
	case 0x87: // TXA
		m.a = m.x
	case 0x60, 0x61, 0x02, 0x03: // LD MEM, LDX MEM, ST, STX
		ok = m.memory(in)
	default:
		ok = m.alu(in)
	}
	return ok
}

func (m *machine) memory(in *Insn) (ok bool) {
	if in.K >= uint32(len(m.mem)) {
		return false
	}
	switch in.Code {
	case 0x60:
		m.a = m.mem[in.K]
	case 0x61:
		m.x = m.mem[in.K]
	case 0x02:
		m.mem[in.K] = m.a
	case 0x03:
		m.mem[in.K] = m.x
	}
	return true
}

func (m *machine) alu(in *Insn) (ok bool) {
	k := in.K
	if in.Code&0x08 != 0 {
		k = m.x
	}
	switch in.Code &^ 0x08 {
	case 0x04:
		m.a += k
	case 0x14:
		m.a -= k
	case 0x24:
		m.a *= k
	case 0x34:
		if k == 0 { // the kernel ends the program with 0, which kills the thread
			return false
		}
		m.a /= k
	case 0x44:
		m.a |= k
	case opAnd:
		m.a &= k
	case 0x64:
		m.a <<= k & 31
	case 0x74:
		m.a >>= k & 31
	case 0x84:
		m.a = -m.a
	case opXor:
		m.a ^= k
	default:
		return false
	}
	return true
}
