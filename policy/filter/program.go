package filter

// Insn is struct sock_filter of linux/filter.h: same size, same layout.
type Insn struct {
	Code   uint16
	Jt, Jf uint8
	K      uint32
}

// MaxInsns is BPF_MAXINSNS: the kernel takes no longer program.
const MaxInsns = 4096

// Program is a compiled filter.
type Program struct {
	Arch     Arch
	Insns    []Insn
	Warnings []Warning
}

// Warning is something in a Spec that has no effect, or not the one it seems to have.
type Warning struct {
	From []string // the places concerned, in order
	Msg  string
}

// Data is struct seccomp_data of linux/seccomp.h.
type Data struct {
	Nr   int32
	Arch uint32
	IP   uint64
	Args [6]uint64
}

// Verdict is the answer to one call, and why.
type Verdict struct {
	Action Action
	Call   string   // its name; "" if the number is not in the table
	From   []string // the items or rules that decide it, as given in the Spec; empty where a default does
	Why    string   // in words: "denied by @keyring", "not allowed", "unknown number", …
}
