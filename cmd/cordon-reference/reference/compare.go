//go:build cgo && libseccomp

package reference

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"cordon/policy/filter"

	libseccomp "github.com/seccomp/libseccomp-golang"
)

// Limits of one comparison.
const (
	numbers    = 1024 // call numbers that are compared for each ABI: 0 to 1023
	maxPaths   = 2000 // how many paths of a diagram libseccomp gets as rules, at most
	maxSamples = 400  // at how many paths' edges the two programs are compared, at most
	randoms    = 300  // how many random register values are tried for each call that has rules
)

// Compare gives the rules of a Spec to libseccomp and compares both filters. It runs both on every number of every ABI
// of the filter, on numbers of other ABIs, on registers at the edges of the rules, and on random registers.
func Compare(spec filter.Spec, native filter.Arch, optimize int, seed uint64) (*Report, error) {
	ours, err := filter.Compile(spec, native)
	if err != nil {
		return nil, err
	}
	return CompareProgram(spec, ours, optimize, seed)
}

// CompareProgram does the same as Compare for a program that cordon need not have compiled.
func CompareProgram(spec filter.Spec, ours *filter.Program, optimize int, seed uint64) (*Report, error) {
	native := ours.Arch
	c := &comparison{Report: &Report{Libseccomp: Version(), Arch: native.String(), Optimize: optimize, Ours: len(ours.Insns)},
		policy: newPolicy(spec), native: native, ours: ours, random: rand.New(rand.NewPCG(seed, 1))}
	f, err := c.build(optimize)
	if err != nil {
		return nil, err
	}
	defer f.Release()
	if c.theirs, err = Export(f); err != nil {
		return nil, fmt.Errorf("libseccomp: export: %w", err)
	}
	c.Theirs = len(c.theirs)
	for _, abi := range c.abis() {
		c.table(abi)
	}
	c.strange()
	c.finish()
	return c.Report, nil
}

// maxDifferences is how many differences a report holds.
const maxDifferences = 20

type comparison struct {
	*Report
	policy *policy
	native filter.Arch
	ours   *filter.Program
	theirs []filter.Insn
	random *rand.Rand
	left   map[string]string // maps an ABI and a call to the reason why libseccomp did not get the call's rules
	made   map[string]*decision
}

func (c *comparison) abis() []filter.Arch {
	all := []filter.Arch{c.native}
	for _, a := range c.policy.Foreign {
		if !slices.Contains(all, a) {
			all = append(all, a)
		}
	}
	return all
}

// build returns libseccomp's filter. It makes one filter for each ABI and merges them, because a single filter would
// need the same rules for all ABIs.
func (c *comparison) build(optimize int) (*libseccomp.ScmpFilter, error) {
	c.left, c.made = map[string]string{}, map[string]*decision{}
	var whole *libseccomp.ScmpFilter
	for _, abi := range c.abis() {
		f, err := NewFilter(c.policy.Default, abi, optimize)
		if err == nil {
			err = c.fill(f, abi)
		}
		switch {
		case err != nil:
			return nil, fmt.Errorf("libseccomp: %s: %w", abi, err)
		case whole == nil:
			whole = f
			continue
		}
		if err := whole.Merge(f); err != nil {
			return nil, fmt.Errorf("libseccomp: merge %s: %w", abi, err)
		}
	}
	return whole, nil
}

// numbersOf returns the call numbers that are compared for an ABI. The ABI arm also has a few high numbers.
func numbersOf(abi filter.Arch) (all []uint32) {
	for nr := range uint32(numbers) {
		all = append(all, nr)
	}
	if abi == filter.ARM {
		for nr := range uint32(16) {
			all = append(all, 0xf0000+nr)
		}
	}
	return all
}

func (c *comparison) fill(f *libseccomp.ScmpFilter, abi filter.Arch) error {
	for _, nr := range numbersOf(abi) {
		call, ok := filter.Name(abi, nr)
		if !ok {
			continue
		}
		d := c.policy.decide(abi, call)
		key := abi.String() + " " + call
		c.made[key] = d
		if d.err != nil {
			c.left[key] = d.err.Error()
			continue
		}
		if !knows(abi, call) {
			c.left[key] = "libseccomp does not know the call"
			continue
		}
		if c.large(d) {
			c.left[key] = fmt.Sprintf("it would take libseccomp more than %d rules", maxPaths)
			continue
		}
		if shared(abi, call) && c.several(d) {
			c.left[key] = "libseccomp has one action for all arguments that a multiplexed call leaves behind a pointer"
			continue
		}
		id, err := libseccomp.GetSyscallFromName(call)
		if err == nil {
			err = add(f, id, d, c.policy.Default)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", call, err)
		}
	}
	return nil
}

// shared reports whether socketcall or ipc can do the work of this call on this ABI. If so, libseccomp also applies the
// call's rules to socketcall or ipc, but without the conditions of these rules.
func shared(abi filter.Arch, call string) bool {
	return abi == filter.I386 && slices.ContainsFunc([]string{"socketcall", "ipc"}, func(m string) bool {
		return slices.Contains(filter.Multiplexes(m), call)
	})
}

// several reports whether a call can have two or more different actions besides the default.
func (c *comparison) several(d *decision) bool {
	var seen []filter.Action
	d.paths(d.root, func(_ *cube, t node) bool {
		if a := d.action(t); a != c.policy.Default && !slices.Contains(seen, a) {
			seen = append(seen, a)
		}
		return len(seen) < 2
	})
	return len(seen) > 1
}

// knows reports whether libseccomp knows the call: by its number, or by a negative number, which stands both for a
// subcall of socketcall or ipc and for the call itself.
func knows(abi filter.Arch, call string) bool {
	nr, err := libseccomp.GetSyscallFromNameByArch(call, Arches[abi])
	return err == nil && (nr >= 0 || nr <= -101 && nr >= -299)
}

func (c *comparison) large(d *decision) bool {
	n := 0
	return !d.paths(d.root, func(*cube, node) bool { n++; return n <= maxPaths })
}

// table compares every number of an ABI.
func (c *comparison) table(abi filter.Arch) {
	bit := uint32(0)
	if abi == filter.X32 {
		bit = filter.X32Bit
	}
	for _, nr := range numbersOf(abi) {
		call, ok := filter.Name(abi, nr)
		d := c.made[abi.String()+" "+call]
		switch {
		case !ok:
			c.unknown(abi, nr|bit)
		case d.err != nil || c.policy.ruled(call) == "":
			c.one(abi, nr|bit, call, d, &[6]uint64{})
		default:
			c.edges(abi, nr|bit, call, d)
		}
	}
}

// edges compares the decisions on a call for the register values of each path of its diagram, for the same values with
// one bit of the path flipped, and for random values.
func (c *comparison) edges(abi filter.Arch, nr uint32, call string, d *decision) {
	n := 0
	d.paths(d.root, func(k *cube, _ node) bool {
		free := [...]func() uint64{func() uint64 { return 0 }, func() uint64 { return 1<<64 - 1 }, c.random.Uint64}[n%3]
		var args [6]uint64
		for i := range args {
			args[i] = k.value[i] | free()&^k.mask[i]
		}
		c.one(abi, nr, call, d, c.fits(abi, args))
		for i, mask := range k.mask {
			for b := uint64(1); b != 0; b <<= 1 {
				if mask&b != 0 && (mask&(mask-1) == 0 || c.random.IntN(4) == 0) {
					other := args
					other[i] ^= b
					c.one(abi, nr, call, d, c.fits(abi, other))
				}
			}
		}
		n++
		return n < maxSamples
	})
	var words [12][]uint32
	for _, insns := range [][]filter.Insn{c.ours.Insns, c.theirs} {
		compared(insns, filter.Data{Nr: int32(nr), Arch: abi.Audit()}, &words)
	}
	for range randoms {
		var args [6]uint64
		for i := range args {
			args[i] = uint64(c.word(words[2*i+1]))<<32 | uint64(c.word(words[2*i]))
		}
		c.one(abi, nr, call, d, c.fits(abi, args))
	}
}

// word returns a random choice of: a word with which a program compares, a word next to it, or any word.
func (c *comparison) word(near []uint32) uint32 {
	if len(near) == 0 || c.random.IntN(6) == 0 {
		return c.random.Uint32() >> c.random.IntN(32)
	}
	return near[c.random.IntN(len(near))] + uint32(c.random.IntN(3)) - 1
}

// fits returns the register values as libseccomp compares them. On x32 libseccomp compares 32 bits, although the kernel
// reads 64 bits for most calls.
func (c *comparison) fits(abi filter.Arch, args [6]uint64) *[6]uint64 {
	if abi == filter.X32 {
		for i := range args {
			args[i] = uint64(uint32(args[i]))
		}
	}
	return &args
}

// one compares the two decisions on one call with given arguments.
func (c *comparison) one(abi filter.Arch, nr uint32, call string, d *decision, args *[6]uint64) {
	c.Compared++
	data := filter.Data{Nr: int32(nr), Arch: abi.Audit(), Args: *args}
	ours, theirs := c.ours.Action(&data), filter.ActionOf(filter.Run(c.theirs, &data, nil))
	right := ours
	if d.err == nil {
		right = d.of(args)
	}
	if ours == right && ours == theirs {
		return
	}
	if gap := c.gap(abi, call, theirs); gap != "" && ours == right {
		c.note(gap, call)
		return
	}
	c.differ(abi, nr, call, args, ours, theirs, right)
}

// gap returns the reason why libseccomp decides a call differently, if the reason is known and intended.
func (c *comparison) gap(abi filter.Arch, call string, theirs filter.Action) string {
	if why := c.left[abi.String()+" "+call]; why != "" {
		if theirs != c.policy.Default {
			return "" // without a rule, libseccomp must return the default
		}
		return why + " on " + abi.String()
	}
	if filter.Multiplexes(call) != nil {
		return "closed where it would be a way round a rule; libseccomp opens it on " + abi.String() + " for what its first argument says"
	}
	return ""
}

// unknown compares the decisions on a number that our table of calls lacks. For such numbers libseccomp can only use
// the default.
func (c *comparison) unknown(abi filter.Arch, nr uint32) {
	c.Compared++
	data := filter.Data{Nr: int32(nr), Arch: abi.Audit()}
	ours, theirs := c.ours.Action(&data), filter.ActionOf(filter.Run(c.theirs, &data, nil))
	if ours != c.policy.Unknown || theirs != c.policy.Default {
		c.differ(abi, nr, "", &data.Args, ours, theirs, c.policy.Unknown)
	} else if ours != theirs {
		c.note("libseccomp has no action for numbers without a name: they get the default", "")
	}
}

// strange compares the decisions for other architectures, for numbers of x32 if x32 is not allowed, and for very high
// numbers.
func (c *comparison) strange() {
	allowed := c.abis()
	for _, abi := range []filter.Arch{filter.AMD64, filter.ARM64, filter.RISCV64, filter.I386, filter.ARM} {
		for _, nr := range []uint32{0, 1, 59, 511, 1024, 2000, 0x3fffffff, 0x40000000, 0x40000001, 0x40000200, 0x7fffffff, 0x80000000, 0xbfffffff, 0xc0000000, 0xfffffffe, 0xffffffff} {
			x32 := abi == filter.AMD64 && nr >= filter.X32Bit && nr != 0xffffffff
			switch {
			case slices.Contains(allowed, abi) && nr < numbers, x32 && nr < filter.X32Bit+numbers && slices.Contains(allowed, filter.X32):
				continue // table has already compared these
			case slices.Contains(allowed, abi) && (!x32 || slices.Contains(allowed, filter.X32)):
				c.unknown(abi, nr)
				continue
			}
			c.Compared++
			data := filter.Data{Nr: int32(nr), Arch: abi.Audit()}
			kill := filter.Action{Kind: filter.Kill}
			if ours, theirs := c.ours.Action(&data), filter.ActionOf(filter.Run(c.theirs, &data, nil)); ours != kill || theirs != kill {
				c.differ(abi, nr, "", &data.Args, ours, theirs, kill)
			}
		}
	}
}

func (c *comparison) differ(abi filter.Arch, nr uint32, call string, args *[6]uint64, ours, theirs, right filter.Action) {
	if len(c.Differences) >= maxDifferences {
		return
	}
	var from []string
	for _, r := range c.policy.Rules {
		if call != "" && about(&r, c.policy.ruled(call)) && r.From != "" {
			from = append(from, r.From)
		}
	}
	c.Differences = append(c.Differences, Difference{Arch: abi.String(), Call: call, Nr: nr, Args: *args,
		Ours: ours.String(), Theirs: theirs.String(), Right: right.String(), From: strings.Join(from, ", ")})
}

// note adds a call to the gap that what describes. If the report has no such gap yet, note adds it.
func (r *Report) note(what, call string) {
	i := slices.IndexFunc(r.Gaps, func(g Gap) bool { return g.What == what })
	if i < 0 {
		i = len(r.Gaps)
		r.Gaps = append(r.Gaps, Gap{What: what})
	}
	if g := &r.Gaps[i]; call != "" && !slices.Contains(g.Calls, call) {
		g.Calls = append(g.Calls, call)
	}
}

// finish fills in the report's texts.
func (r *Report) finish() {
	r.Summary = r.String()
	for i := range r.Differences {
		r.Differences[i].Text = r.Differences[i].String()
	}
	for i := range r.Gaps {
		r.Gaps[i].Text = r.Gaps[i].String()
	}
}
