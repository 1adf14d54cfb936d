//go:build cgo && libseccomp

package reference

import "cordon/policy/filter"

// compared collects the values with which a program compares each word of the registers. It follows all paths through
// the program for one call. words[2i] is for the low half of register i, words[2i+1] for the high half.
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
	walk = func(pc, word int) { // word is the index of the word in the accumulator, -1 if it holds no register word
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
	// Only one path leads to the first load of a register, and the program takes this path if all registers are zero.
	// So a run with zero registers finds the load.
	var path []int
	filter.Run(insns, &d, &path)
	for _, pc := range path {
		if insns[pc].Code == load && insns[pc].K >= args {
			walk(pc, -1)
			return
		}
	}
}
