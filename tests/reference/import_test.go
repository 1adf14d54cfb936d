//go:build cgo && libseccomp

package reference

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"testing"

	"cordon/policy"
	"cordon/policy/convert"
	"cordon/policy/filter"

	"github.com/moby/profiles/seccomp"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	libseccomp "github.com/seccomp/libseccomp-golang"
)

// These tests import a JSON file, and give the same file to libseccomp in the way of runc.

var kernel = convert.Kernel{Major: 6, Minor: 18}

// included returns the part of Docker's template that applies to a target, in the form of the runtime specification. It
// is written from the template's documentation, independently of package convert.
func included(tpl *seccomp.Seccomp, arch string, foreign []specs.Arch, caps []string) specs.LinuxSeccomp {
	out := tpl.LinuxSeccomp
	out.Architectures, out.Syscalls = foreign, nil
	has := func(c string) bool { return slices.Contains(caps, c) }
	late := func(k *seccomp.KernelVersion) bool {
		return k != nil && (k.Kernel > 6 || k.Kernel == 6 && k.Major > 18)
	}
	for _, s := range tpl.Syscalls {
		keep := true
		if i := s.Includes; i != nil {
			keep = (len(i.Arches) == 0 || slices.Contains(i.Arches, arch)) && !slices.ContainsFunc(i.Caps, func(c string) bool { return !has(c) }) && !late(i.MinKernel)
		}
		if x := s.Excludes; x != nil {
			keep = keep && !slices.Contains(x.Arches, arch) && !slices.ContainsFunc(x.Caps, has) && (x.MinKernel == nil || late(x.MinKernel))
		}
		if keep {
			one := s.LinuxSyscall
			out.Syscalls = append(out.Syscalls, one)
		}
	}
	return out
}

func scmpAction(t testing.TB, a specs.LinuxSeccompAction, ret *uint) libseccomp.ScmpAction {
	code := int16(1)
	if ret != nil {
		code = int16(*ret)
	}
	switch a {
	case specs.ActAllow:
		return libseccomp.ActAllow
	case specs.ActErrno:
		return libseccomp.ActErrno.SetReturnCode(code)
	case specs.ActTrace, specs.ActNotify: // there is no tracer and no listener
		return libseccomp.ActErrno.SetReturnCode(38)
	case specs.ActKill, specs.ActKillThread:
		return libseccomp.ActKillThread
	case specs.ActKillProcess:
		return libseccomp.ActKillProcess
	case specs.ActTrap:
		return libseccomp.ActTrap
	case specs.ActLog:
		return libseccomp.ActLog
	}
	t.Fatalf("action %s", a)
	return 0
}

var compareOps = map[specs.LinuxSeccompOperator]libseccomp.ScmpCompareOp{
	specs.OpNotEqual: libseccomp.CompareNotEqual, specs.OpLessThan: libseccomp.CompareLess, specs.OpLessEqual: libseccomp.CompareLessOrEqual,
	specs.OpEqualTo: libseccomp.CompareEqual, specs.OpGreaterEqual: libseccomp.CompareGreaterEqual, specs.OpGreaterThan: libseccomp.CompareGreater,
	specs.OpMaskedEqual: libseccomp.CompareMaskedEqual,
}

// asRunc builds the filter. Like runc, it skips entries with the default's action and unknown names, and makes one rule
// for each of several equal arguments in an entry. missing contains the names that libseccomp does not know.
func asRunc(t testing.TB, s specs.LinuxSeccomp, native filter.Arch, foreign []filter.Arch) (f *libseccomp.ScmpFilter, missing []string) {
	deflt := scmpAction(t, s.DefaultAction, s.DefaultErrnoRet)
	f, err := libseccomp.NewFilter(deflt)
	must(t, err)
	must(t, f.AddArch(arches[native]))
	for _, a := range foreign {
		must(t, f.AddArch(arches[a]))
	}
	if host, _ := libseccomp.GetNativeArch(); host != arches[native] {
		must(t, f.RemoveArch(host))
	}
	for _, c := range s.Syscalls {
		act := scmpAction(t, c.Action, c.ErrnoRet)
		if act == deflt {
			continue
		}
		for _, name := range c.Names {
			nr, err := libseccomp.GetSyscallFromName(name)
			if err != nil {
				missing = append(missing, name)
				continue
			}
			// On x86, libseccomp refuses a second rule for a call that socketcall can also make; elsewhere the first
			// rule counts.
			if err := addRules(f, nr, act, c.Args); err != nil && !errors.Is(err, syscall.EEXIST) {
				t.Fatalf("libseccomp: %s %+v: %v", name, c.Args, err)
			}
		}
	}
	return f, missing
}

func addRules(f *libseccomp.ScmpFilter, nr libseccomp.ScmpSyscall, act libseccomp.ScmpAction, args []specs.LinuxSeccompArg) error {
	if len(args) == 0 {
		return f.AddRule(nr, act)
	}
	var conds []libseccomp.ScmpCondition
	seen, twice := map[uint]bool{}, false
	for _, a := range args {
		c, err := libseccomp.MakeCondition(a.Index, compareOps[a.Op], a.Value, a.ValueTwo)
		if err != nil {
			return err
		}
		conds = append(conds, c)
		twice = twice || seen[a.Index]
		seen[a.Index] = true
	}
	if !twice {
		return f.AddRuleConditional(nr, act, conds)
	}
	var all []error
	for _, c := range conds {
		all = append(all, f.AddRuleConditional(nr, act, []libseccomp.ScmpCondition{c}))
	}
	return errors.Join(all...)
}

// imported returns our program for a file.
func imported(t testing.TB, data []byte, native filter.Arch, caps []string) (*filter.Program, *convert.Result) {
	res, err := convert.Import("profile.json", data, convert.Target{Arch: native, Kernel: kernel, Caps: caps}, convert.ImportOptions{})
	if err != nil {
		t.Fatalf("%v\n%s", err, data)
	}
	p, err := policy.Parse("profile.yaml", res.Text)
	must(t, err)
	must(t, policy.Validate(p))
	spec, err := p.Syscalls.Filter() // the file's rules, without those about set-id bits
	must(t, err)
	prog, err := filter.Compile(spec, native)
	must(t, err)
	return prog, res
}

// same runs both programs on every number of every ABI. It returns the intended differences.
func same(t *testing.T, g *rand.Rand, s specs.LinuxSeccomp, p *filter.Program, theirs []filter.Insn, native filter.Arch, foreign []filter.Arch, missing []string) map[string]int {
	t.Helper()
	deflt := filter.ActionOf(scmpRet(t, s))
	ruled := map[string]bool{}
	for _, c := range s.Syscalls {
		for _, n := range c.Names {
			ruled[n] = ruled[n] || len(c.Args) > 0
		}
	}
	gaps := map[string]int{}
	for _, abi := range append([]filter.Arch{native}, foreign...) {
		bit := uint32(0)
		if abi == filter.X32 {
			bit = filter.X32Bit
		}
		for nr := range uint32(1024) {
			call, known := filter.Name(abi, nr)
			rounds := 1
			if ruled[call] {
				rounds = 80
			}
			for range rounds {
				d := filter.Data{Nr: int32(nr | bit), Arch: abi.Audit(), Args: argsFor(g, s, abi)}
				a, b := filter.ActionOf(p.Run(&d, nil)), filter.ActionOf(filter.Run(theirs, &d, nil))
				switch {
				case !known:
					want := filter.Action{Kind: filter.Errno, Errno: 38}
					if deflt.Kind == filter.Allow || deflt.Kind == filter.Log {
						want = deflt
					}
					if a != want || b != deflt {
						t.Fatalf("number %d of %s: %v, libseccomp %v; the default is %v", nr, abi, a, b, deflt)
					}
				case a == b:
				default:
					gap := gapOf(abi, call, missing)
					if gap == "" && call == "prctl" && (uint32(d.Args[0]) == unix.PR_SET_SECCOMP || a.Kind == filter.Allow && b.Kind == filter.Log) {
						gap = "what is denied to seccomp is denied to prctl(PR_SET_SECCOMP)"
					}
					if gap == "" && a == alone(t, s, call, &d, native, foreign) {
						gap = "libseccomp decides the call otherwise alone than among others"
					}
					if gap == "" {
						t.Fatalf("%s on %s, %#x: %v, libseccomp %v\n%s", call, abi, d.Args, a, b, entriesOf(s, call))
					}
					gaps[gap+": "+call]++
				}
			}
		}
	}
	return gaps
}

// alone returns libseccomp's decision if it gets only the entries of one call. libseccomp 2.5.4 shares instructions
// between calls, and sometimes the accumulator then holds another word than they expect.
func alone(t testing.TB, s specs.LinuxSeccomp, call string, d *filter.Data, native filter.Arch, foreign []filter.Arch) filter.Action {
	f, _ := asRunc(t, only(s, call), native, foreign)
	defer f.Release()
	return filter.ActionOf(filter.Run(export(t, f), d, nil))
}

func scmpRet(t testing.TB, s specs.LinuxSeccomp) uint32 {
	f, err := libseccomp.NewFilter(scmpAction(t, s.DefaultAction, s.DefaultErrnoRet))
	must(t, err)
	defer f.Release()
	return filter.Run(export(t, f), &filter.Data{Arch: filter.AMD64.Audit()}, nil)
}

func gapOf(abi filter.Arch, call string, missing []string) string {
	switch {
	case slices.Contains(missing, call):
		return "libseccomp does not know the call"
	case call == "socketcall" || call == "ipc":
		return "closed where it would be a way round a rule; libseccomp opens it"
	case abi == filter.I386 && (call == "mmap" || call == "select"):
		return "i386's old call has its arguments behind a pointer"
	}
	if nr, err := libseccomp.GetSyscallFromNameByArch(call, arches[abi]); err != nil || int32(nr) < 0 {
		return "libseccomp does not know the call on " + abi.String()
	}
	return ""
}

// argsFor returns boundary values and random values. If libseccomp compares 32 bits, the values have no more.
func argsFor(g *rand.Rand, s specs.LinuxSeccomp, abi filter.Arch) (a [6]uint64) {
	edges := []uint64{0, 1, 1 << 31, 1<<32 - 1, 1 << 32, 1<<63 - 1, 1<<64 - 1}
	for _, c := range s.Syscalls {
		for _, x := range c.Args {
			edges = append(edges, x.Value-1, x.Value, x.Value+1, x.Value|1<<32, x.ValueTwo, x.ValueTwo|^x.Value)
		}
	}
	for i := range a {
		if a[i] = edges[g.IntN(len(edges))]; g.IntN(6) == 0 {
			a[i] = g.Uint64() >> g.IntN(64)
		}
		if abi == filter.X32 || abi == filter.I386 || abi == filter.ARM {
			a[i] = uint64(uint32(a[i]))
		}
	}
	return a
}

func text(s specs.LinuxSeccomp) []byte {
	b, _ := json.MarshalIndent(s, "", " ")
	return b
}

// targets lists our architectures by the names in Docker's template.
var targets = []struct {
	native  filter.Arch
	name    string
	foreign []filter.Arch
	spec    []specs.Arch
}{
	{filter.AMD64, "amd64", []filter.Arch{filter.I386, filter.X32}, []specs.Arch{specs.ArchX86_64, specs.ArchX86, specs.ArchX32}},
	{filter.ARM64, "arm64", []filter.Arch{filter.ARM}, []specs.Arch{specs.ArchAARCH64, specs.ArchARM}},
	{filter.RISCV64, "riscv64", nil, []specs.Arch{specs.ArchRISCV64}},
}

// TestImportDocker compares the import of Docker's current default with libseccomp's filter of it, for several sets of
// capabilities.
func TestImportDocker(t *testing.T) {
	for _, x := range targets {
		for name, extra := range map[string][]string{"default": nil, "SYS_ADMIN": {"SYS_ADMIN"}, "several": {"SYS_PTRACE", "SYS_TIME", "BPF", "SYSLOG"}} {
			t.Run(x.name+"/"+name, func(t *testing.T) {
				tpl := seccomp.DefaultProfile()
				data, err := json.Marshal(tpl)
				must(t, err)
				caps := append(convert.DockerCaps(), extra...)
				prefixed := make([]string, len(caps))
				for i, c := range caps {
					prefixed[i] = "CAP_" + c
				}
				p, res := imported(t, data, x.native, caps)
				if n := res.Lossy(); n > 0 {
					t.Errorf("%d rules are dropped or widened", n)
				}
				s := included(tpl, x.name, x.spec, prefixed)
				f, missing := asRunc(t, s, x.native, x.foreign)
				defer f.Release()
				theirs := export(t, f)
				report(t, same(t, rand.New(rand.NewPCG(1, 2)), s, p, theirs, x.native, x.foreign, missing))
				foreigners(t, p, theirs, x.native, x.foreign)
				t.Logf("%d instructions, libseccomp %d", len(p.Insns), len(theirs))
			})
		}
	}
}

// foreigners compares other architectures. For them our filter kills the process, and libseccomp's the thread.
func foreigners(t *testing.T, p *filter.Program, theirs []filter.Insn, native filter.Arch, foreign []filter.Arch) {
	t.Helper()
	for _, abi := range []filter.Arch{filter.AMD64, filter.ARM64, filter.RISCV64, filter.I386, filter.ARM} {
		if abi == native || slices.Contains(foreign, abi) {
			continue
		}
		d := filter.Data{Nr: 1, Arch: abi.Audit()}
		if a, b := filter.ActionOf(p.Run(&d, nil)), filter.ActionOf(filter.Run(theirs, &d, nil)); a.Kind != filter.Kill || b.Kind != filter.KillThread {
			t.Errorf("%s: %v, libseccomp %v", abi, a, b)
		}
	}
}

// randomSeccomp returns a random file with only those forms that libseccomp decides as documented; see lists.
func randomSeccomp(g *rand.Rand, x int) specs.LinuxSeccomp {
	acts := []specs.LinuxSeccompAction{specs.ActAllow, specs.ActErrno, specs.ActKill, specs.ActKillProcess, specs.ActTrap, specs.ActLog, specs.ActTrace, specs.ActNotify}
	s := specs.LinuxSeccomp{Architectures: targets[x].spec, DefaultAction: acts[g.IntN(len(acts)-2)]}
	if s.DefaultAction == specs.ActErrno && g.IntN(2) == 0 {
		s.DefaultErrnoRet = errnoRet(g)
	}
	// If the native architecture lacks a name, libseccomp 2.5.4 sometimes drops its check together with the load of the
	// number, on which later checks rely.
	calls := slices.DeleteFunc(filter.Calls(), func(n string) bool { _, has := filter.Number(targets[x].native, n); return !has })
	used := map[string]bool{"socketcall": true, "ipc": true}
	for range 1 + g.IntN(12) {
		e := specs.LinuxSyscall{Action: acts[g.IntN(len(acts))]}
		if e.Action == specs.ActErrno {
			e.ErrnoRet = errnoRet(g)
		}
		n := 1 + g.IntN(60)
		if g.IntN(2) == 0 {
			n = 1
			for _, c := range list(g, true) {
				e.Args = append(e.Args, specsArg(c))
			}
		}
		for range n {
			name := calls[g.IntN(len(calls))]
			if (len(e.Args) > 0 || multiplexed(name)) && used[name] {
				continue // two conditions of one call could overlap
			}
			used[name] = true
			e.Names = append(e.Names, name)
		}
		if len(e.Names) > 0 {
			s.Syscalls = append(s.Syscalls, e)
		}
	}
	if name := calls[g.IntN(len(calls))]; !used[name] && !multiplexed(name) { // one call may have several actions
		arg := uint(g.IntN(6))
		for v := range uint64(2 + g.IntN(4)) {
			e := specs.LinuxSyscall{Names: []string{name}, Action: acts[g.IntN(len(acts))]}
			e.Args = []specs.LinuxSeccompArg{{Index: arg, Value: 3 * v, Op: specs.OpEqualTo}}
			s.Syscalls = append(s.Syscalls, e)
		}
	}
	return s
}

// multiplexed reports whether socketcall or ipc can also make the call. On x86 libseccomp refuses a second rule for it.
func multiplexed(name string) bool {
	return slices.Contains(strings.Fields(`socket bind connect listen accept getsockname getpeername socketpair send recv sendto recvfrom shutdown
		setsockopt getsockopt sendmsg recvmsg accept4 recvmmsg sendmmsg semop semget semctl semtimedop msgsnd msgrcv msgget msgctl shmat shmdt
		shmget shmctl`), name)
}

func errnoRet(g *rand.Rand) *uint {
	n := uint([]int{1, 2, 38, 100}[g.IntN(4)])
	return &n
}

func specsArg(c compare) specs.LinuxSeccompArg {
	a := specs.LinuxSeccompArg{Index: c.arg, Value: c.value}
	switch c.op {
	case "mask":
		a.Op, a.Value, a.ValueTwo = specs.OpMaskedEqual, c.mask, c.value
	case "==":
		a.Op = specs.OpEqualTo
	case "!=":
		a.Op = specs.OpNotEqual
	case "<":
		a.Op = specs.OpLessThan
	case "<=":
		a.Op = specs.OpLessEqual
	case ">":
		a.Op = specs.OpGreaterThan
	case ">=":
		a.Op = specs.OpGreaterEqual
	}
	return a
}

func TestImportRandom(t *testing.T) {
	n := uint64(150)
	if testing.Short() {
		n = 15
	}
	gaps := map[string]int{}
	for seed := range n {
		g := rand.New(rand.NewPCG(seed, 11))
		x := g.IntN(len(targets))
		holdImport(t, g, randomSeccomp(g, x), x, gaps)
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
	t.Logf("%d kinds of differences, as meant: %v", len(gaps), short(gaps))
}

func holdImport(t *testing.T, g *rand.Rand, s specs.LinuxSeccomp, x int, gaps map[string]int) {
	t.Helper()
	p, _ := imported(t, text(s), targets[x].native, nil)
	f, missing := asRunc(t, s, targets[x].native, targets[x].foreign)
	defer f.Release()
	for k, v := range same(t, g, s, p, export(t, f), targets[x].native, targets[x].foreign, missing) {
		gaps[k] += v
	}
}

// TestExported gives an exported profile to libseccomp, and compares its filter with the filter of the profile.
func TestExported(t *testing.T) {
	for seed := range uint64(60) {
		g := rand.New(rand.NewPCG(seed, 13))
		r := random(g)
		x := slices.IndexFunc(targets, func(x struct {
			native  filter.Arch
			name    string
			foreign []filter.Arch
			spec    []specs.Arch
		}) bool {
			return x.native == r.native
		})
		if r.native != filter.RISCV64 && len(r.foreign) == 0 {
			continue
		}
		res := exported(t, r)
		var s specs.LinuxSeccomp
		must(t, json.Unmarshal(res.Text, &s))
		f, missing := asRunc(t, s, r.native, targets[x].foreign)
		theirs := export(t, f)
		f.Release()
		p, err := filter.Compile(r.spec(), r.native)
		must(t, err)
		for _, abi := range append([]filter.Arch{r.native}, r.foreign...) {
			for nr := range uint32(600) {
				call, known := filter.Name(abi, nr)
				if !known || abi == filter.X32 {
					continue
				}
				for range 20 {
					d := filter.Data{Nr: int32(nr), Arch: abi.Audit(), Args: r.args(g, abi)}
					if abi != r.native {
						for i := range d.Args {
							d.Args[i] = uint64(uint32(d.Args[i]))
						}
					}
					a, b := filter.ActionOf(p.Run(&d, nil)), filter.ActionOf(filter.Run(theirs, &d, nil))
					if a != b && gapOf(abi, call, missing) == "" && r.differs(abi, nr, call, missing) == "" && (b.Kind < a.Kind || exact(res, call)) {
						t.Fatalf("seed %d: %s on %s, %#x: %v, libseccomp of what is exported %v\n%s\n%s", seed, call, abi, d.Args, a, b, of(r, call), entriesOf(s, call))
					}
					if !r.ruled(call) {
						break
					}
				}
			}
		}
	}
}

// exact reports whether the notes say nothing about a call.
func exact(res *convert.Result, call string) bool {
	return !slices.ContainsFunc(res.Notes, func(n convert.Note) bool {
		return n.Class != convert.Exact && (n.Rule == call || strings.HasPrefix(n.Rule, call+":"))
	})
}

func exported(t *testing.T, r rules) *convert.Result {
	p := &policy.Profile{Syscalls: policy.Syscalls{Default: r.deflt.String(), Unknown: r.deflt.String()}}
	p.Capabilities.Keep = []policy.Capability{{Name: policy.SetIDCapability}} // or rules about set-id bits come on top
	for _, a := range r.foreign {
		p.Syscalls.Arches = append(p.Syscalls.Arches, a.String())
	}
	for _, n := range r.allow {
		p.Syscalls.Allow = append(p.Syscalls.Allow, policy.SyscallItem{Name: n})
	}
	for _, x := range r.spec().Rules {
		p.Syscalls.Rules = append(p.Syscalls.Rules, policy.SyscallRule{Call: x.Call, Expr: x.Expr})
	}
	res, err := convert.Export(p, convert.ExportOptions{Format: convert.OCI, Arch: r.native})
	must(t, err)
	return res
}

func FuzzImportReference(f *testing.F) {
	for i := range uint64(4) {
		f.Add(i)
	}
	f.Fuzz(func(t *testing.T, seed uint64) {
		g := rand.New(rand.NewPCG(seed, 17))
		x := g.IntN(len(targets))
		holdImport(t, g, randomSeccomp(g, x), x, map[string]int{})
	})
}

// of returns the rules for a call, as text.
func of(r rules, call string) (s string) {
	for _, x := range r.rules {
		if x.call == call {
			s += fmt.Sprintf("%s %v\n", x.expr(), x.action)
		}
	}
	return s
}

func entriesOf(s specs.LinuxSeccomp, call string) []byte { return text(only(s, call)) }

// only returns the entries for one call.
func only(s specs.LinuxSeccomp, call string) specs.LinuxSeccomp {
	s.Syscalls = slices.DeleteFunc(slices.Clone(s.Syscalls), func(c specs.LinuxSyscall) bool { return !slices.Contains(c.Names, call) })
	for i := range s.Syscalls {
		s.Syscalls[i].Names = []string{call}
	}
	return s
}
