package filter

import (
	"sort"
	"strconv"
	"strings"

	"cordon/policy/filter/tables"
)

// noCall is an id that does not belong to any call.
const noCall = ^uint16(0)

// nameHash returns the FNV-1a hash of a name, folded. gen fills tables.CallHash by the same function.
func nameHash(s string) uint32 {
	h := uint32(2166136261)
	for i := 0; i < len(s); i++ {
		h = (h ^ uint32(s[i])) * 16777619
	}
	return h ^ h>>15
}

// callID finds a call by name. It returns noCall for an unknown name.
func callID(name string) uint16 {
	for h := nameHash(name); ; h++ {
		v := tables.CallHash[h%uint32(len(tables.CallHash))]
		if v == 0 {
			break
		}
		if tables.CallNames[v-1] == name {
			return v - 1
		}
	}
	if name == "sync_file_range2" { // both are names of the same call
		return callID("arm_sync_file_range")
	}
	return noCall
}

func groupIndex(name string) int {
	i := sort.SearchStrings(tables.GroupNames[:], name)
	if i < tables.NumGroups && tables.GroupNames[i] == name {
		return i
	}
	return -1
}

// table returns the calls of an architecture, sorted by number, or nil if it has no table.
func table(a Arch) []tables.Numbered {
	switch a {
	case AMD64:
		return tables.CallsAMD64[:]
	case ARM64:
		return tables.CallsARM64[:]
	case RISCV64:
		return tables.CallsRISCV64[:]
	case I386:
		return tables.CallsI386[:]
	case ARM:
		return tables.CallsARM[:]
	case X32:
		return tables.CallsX32[:]
	}
	return nil
}

// Known reports whether a call of this name exists on any architecture in the tables.
func Known(call string) bool { return callID(call) != noCall }

// Number returns the call's number on arch. For X32 this is the number without X32Bit.
func Number(arch Arch, call string) (nr uint32, ok bool) {
	id := callID(call)
	for _, c := range table(arch) {
		if c.Call == id {
			return c.Nr, true
		}
	}
	return 0, false
}

// Name returns the call with a number on arch. For X32 this is the number without X32Bit.
func Name(arch Arch, nr uint32) (call string, ok bool) {
	if id := numberID(arch, nr); id != noCall {
		return tables.CallNames[id], true
	}
	return "", false
}

func numberID(arch Arch, nr uint32) uint16 {
	t := table(arch)
	i := sort.Search(len(t), func(i int) bool { return t[i].Nr >= nr })
	if i < len(t) && t[i].Nr == nr {
		return t[i].Call
	}
	return noCall
}

// Calls lists every call in the tables, sorted.
func Calls() []string { return append([]string(nil), tables.CallNames[:]...) }

// Since returns the kernel release that introduced the call, such as "5.6". It returns "" for a call from before
// 2.6.6, and for an unknown call.
func Since(call string) string {
	id := callID(call)
	if id == noCall || tables.CallSince[id] == 0 {
		return ""
	}
	v := tables.CallSince[id]
	if v>>8 == 2 {
		return "2.6." + strconv.Itoa(int(v&0xff))
	}
	return strconv.Itoa(int(v>>8)) + "." + strconv.Itoa(int(v&0xff))
}

// Suggest returns the call or group (with @) whose name is closest to name, or "" if none is close.
func Suggest(name string) string {
	if strings.HasPrefix(name, "@") {
		return closest(name, tables.GroupNames[:])
	}
	return closest(name, tables.CallNames[:])
}

// closest returns the name with the fewest edits from s. It returns "" if more than 4 edits are needed, or more edits
// than a third of the length of s.
func closest(s string, names []string) string {
	best, limit := "", min(len(s)/3, 4)+1
	if len(s) > 64 {
		return ""
	}
	for _, n := range names {
		if d := edits(s, n, limit); d < limit {
			best, limit = n, d
		}
	}
	return best
}

// edits returns how many edits turn a into b, or limit if more are needed. An edit inserts, removes or replaces a
// character, or exchanges it with the next one.
func edits(a, b string, limit int) int {
	if len(a)-len(b) >= limit || len(b)-len(a) >= limit {
		return limit
	}
	var buf [3][80]int
	if len(b) >= len(buf[0]) {
		return limit
	}
	before, prev, row := &buf[0], &buf[1], &buf[2]
	for j := range len(b) + 1 {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		before, prev, row = prev, row, before
		row[0] = i
		for j := 1; j <= len(b); j++ {
			d := prev[j-1]
			if a[i-1] != b[j-1] {
				d++
			}
			d = min(d, prev[j]+1, row[j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				d = min(d, before[j-2]+1)
			}
			row[j] = d
		}
	}
	return min(row[len(b)], limit)
}

// Groups lists the groups' names, with @, sorted.
func Groups() []string { return append([]string(nil), tables.GroupNames[:]...) }

// Members lists the calls of a group, sorted. It returns nil for an unknown group.
func Members(group string) (calls []string) {
	i := groupIndex(group)
	if i < 0 {
		return nil
	}
	for id := range uint16(tables.NumCalls) {
		if tables.GroupSets[i].Has(id) {
			calls = append(calls, tables.CallNames[id])
		}
	}
	return calls
}

// Names reports whether an item of a list names a call: the item is the call, or a group that contains it.
func Names(item, call string) bool {
	if item == call {
		return true
	}
	g, id := groupIndex(item), callID(call)
	return g >= 0 && id != noCall && tables.GroupSets[g].Has(id)
}

// About describes a group in one line. It returns "" for an unknown group.
func About(group string) string {
	if i := groupIndex(group); i >= 0 {
		return tables.GroupAbout[i]
	}
	return ""
}

// Args lists the names of the call's arguments as rules may use them. It returns nil if the call is unknown or has
// none.
func Args(call string) (names []string) {
	id := callID(call)
	if id == noCall {
		return nil
	}
	for f := range strings.FieldsSeq(tables.CallArgs[id]) {
		names = append(names, f[:len(f)-2])
	}
	return names
}

// constant finds a named constant on arch; ok is false if arch has no such constant.
func constant(name string, arch Arch) (v tables.ConstValue, ok bool) {
	i := sort.SearchStrings(tables.ConstNames[:], name)
	if i == tables.NumConsts || tables.ConstNames[i] != name {
		return tables.ConstValue{}, false
	}
	if v = tables.ConstValues[i]; v.Flags != 0 {
		return v, true
	}
	j := sort.Search(len(tables.ConstByArch), func(j int) bool { return int(tables.ConstByArch[j].Index) >= i })
	v = tables.ConstByArch[j].Values[constColumn(arch)]
	return v, v.Flags != 0
}

// constColumn returns the index of arch in tables.ArchConst.Values. X32 has the values of AMD64.
func constColumn(arch Arch) int {
	switch arch {
	case ARM64:
		return 1
	case RISCV64:
		return 2
	case I386:
		return 3
	case ARM:
		return 4
	}
	return 0
}

// Extended lists the calls, sorted, to which the Spec's denials and rules apply because they do the work of a call that
// the Spec names. For example, on 32-bit ABIs a rule for setuid also applies to setuid32.
func Extended(spec Spec) (calls []string) {
	c := &compiler{spec: &spec, arch: AMD64, abi: AMD64, buf: new(buffers)}
	c.settle()
	var ignored tables.CallSet
	for i := range spec.Deny {
		c.item(&spec.Deny[i], &c.deny, &ignored)
	}
	c.readRules()
	for i := range tables.Variants {
		v := &tables.Variants[i]
		own := c.ownRule(v.Other)
		if c.deny.Has(v.Call) || c.ruled.Has(v.Call) && !own {
			calls = append(calls, tables.CallNames[v.Other])
		}
	}
	sort.Strings(calls)
	return calls
}

// Constant returns the value of a named constant on arch, in two's complement; ok is false if arch has no such
// constant.
func Constant(name string, arch Arch) (bits uint64, negative, ok bool) {
	v, ok := constant(name, arch)
	return v.Bits, v.Flags&2 != 0, ok
}

// Param is an argument of a call.
type Param struct {
	Name string // as rules may use it
	Kind byte   // its type as a letter of gen/calls.txt, such as i for int and p for a pointer
}

// Params lists the call's arguments in order. It returns nil if the call is unknown or has none.
func Params(call string) (params []Param) {
	if id := callID(call); id != noCall {
		for f := range strings.FieldsSeq(tables.CallArgs[id]) {
			params = append(params, Param{f[:len(f)-2], f[len(f)-1]})
		}
	}
	return params
}

// VariantOf lists the calls whose denials and rules also apply to call. For setuid32 it returns setuid.
func VariantOf(call string) (bases []string) {
	id := callID(call)
	for i := range tables.Variants {
		if tables.Variants[i].Other == id {
			bases = append(bases, tables.CallNames[tables.Variants[i].Call])
		}
	}
	return bases
}

// Multiplexes lists the calls whose work a multiplexer (socketcall, ipc) can do. It returns nil for any other call.
func Multiplexes(call string) (others []string) {
	id := callID(call)
	for i := range tables.Multiplexed {
		if tables.Multiplexed[i].Call == id {
			others = append(others, tables.CallNames[tables.Multiplexed[i].Other])
		}
	}
	return others
}
