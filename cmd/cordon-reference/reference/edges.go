//go:build cgo && libseccomp

package reference

import "cordon/policy/filter"

// compared collects what each word of the registers is compared with on any way that a program can take for a call:
// 2i is the low half of register i, 2i+1 the high one.
func compared(insns []filter.Insn, d filter.Data, words *[12][]uint32) {
	const (
		load  = 0x20 // BPF_LD|BPF_W|BPF_ABS
		jump  = 0x05 // BPF_JMP|BPF_JA
		class = 0x07
		jmp   = 0x05
		ret   = 0x06
		args  = 16 // offset of the registers in struct seccomp_data
	)
	type state struct{ pc, word int }
	seen := map[state]bool{}
	var walk func(pc, word int)
	walk = func(pc, word int) { // word: what the accumulator was loaded from; -1: not a register
		for ; pc < len(insns) && !seen[state{pc, word}]; pc++ {
			seen[state{pc, word}] = true
			switch in := insns[pc]; {
			case in.Code&class == ret:
				return
			case in.Code == load && in.K >= args:
				word = int(in.K-args) / 4
			case in.Code == load:
				word = -1
			case in.Code == jump:
				pc += int(in.K)
			case in.Code&class == jmp:
				if word >= 0 {
					words[word] = append(words[word], in.K)
				}
				walk(pc+1+int(in.Jt), word)
				pc += int(in.Jf)
			}
		}
	}
	// To the first load of a register there is one way; where it is, is where the program's path for zeros has it.
	var path []int
	filter.Run(insns, &d, &path)
	for _, pc := range path {
		if insns[pc].Code == load && insns[pc].K >= args {
			walk(pc, -1)
			return
		}
	}
}
