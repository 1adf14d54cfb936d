//go:build cgo && libseccomp

package main

import (
	"errors"
	"fmt"
	"runtime"
	"strings"

	"cordon/cmd/cordon-reference/reference"
	"cordon/policy/filter"
	"cordon/profiles"

	"github.com/moby/profiles/seccomp"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	libseccomp "github.com/seccomp/libseccomp-golang"
	"golang.org/x/sys/unix"
)

// rules holds one set of rules in the form of each compiler.
type rules struct {
	name    string
	spec    filter.Spec // ours
	foreign []filter.Arch
	deflt   filter.Action
	theirs  []theirRule // libseccomp's
	unknown []string    // calls that libseccomp does not know
}

// theirRule is one call of libseccomp's seccomp_rule_add.
type theirRule struct {
	call   string
	action filter.Action
	conds  []condition
}

type condition struct {
	arg    uint
	op     libseccomp.ScmpCompareOp
	values []uint64
}

// native is this machine's architecture, because the programs are loaded here.
var native, _ = filter.ParseArch(runtime.GOARCH)

var (
	allow  = filter.Action{Kind: filter.Allow}
	eperm  = filter.Action{Kind: filter.Errno, Errno: 1}
	enosys = filter.Action{Kind: filter.Errno, Errno: 38}
)

// libseccomp compiles the rules in the way of a program that links libseccomp.
func (r *rules) libseccomp(optimize int) ([]filter.Insn, error) {
	f, err := reference.NewFilter(r.deflt, native, optimize)
	if err != nil {
		return nil, err
	}
	defer f.Release()
	for _, a := range r.foreign {
		if err := f.AddArch(reference.Arches[a]); err != nil {
			return nil, err
		}
	}
	r.unknown = r.unknown[:0]
	for i := range r.theirs {
		x := &r.theirs[i]
		nr, err := libseccomp.GetSyscallFromName(x.call)
		if err != nil { // runc and crun also skip such a call
			r.unknown = append(r.unknown, x.call)
			continue
		}
		if err := x.add(f, nr); err != nil {
			return nil, fmt.Errorf("%s: %w", x.call, err)
		}
	}
	return reference.Export(f)
}

func (x *theirRule) add(f *libseccomp.ScmpFilter, nr libseccomp.ScmpSyscall) error {
	action, err := reference.Action(x.action)
	if err != nil || len(x.conds) == 0 {
		return errors.Join(err, f.AddRule(nr, action))
	}
	var conds []libseccomp.ScmpCondition
	for _, c := range x.conds {
		cond, err := libseccomp.MakeCondition(c.arg, c.op, c.values...)
		if err != nil {
			return err
		}
		conds = append(conds, cond)
	}
	return f.AddRuleConditional(nr, action, conds)
}

// docker returns Docker's current default profile for a container without added capabilities.
func docker() (*rules, error) {
	p, err := seccomp.GetDefaultProfile(&specs.Spec{Process: &specs.Process{Capabilities: &specs.LinuxCapabilities{}}})
	if err != nil {
		return nil, err
	}
	r := &rules{name: "Docker's default", deflt: eperm,
		foreign: reference.Foreign(native, []filter.Arch{filter.I386, filter.X32, filter.ARM})}
	r.spec = filter.Spec{Default: eperm, Unknown: eperm, Foreign: r.foreign}
	either := map[string][]string{}
	var order []string
	for _, s := range p.Syscalls {
		for _, name := range s.Names {
			x := theirRule{call: name, action: allow}
			if s.Action == specs.ActErrno {
				x.action = filter.Action{Kind: filter.Errno, Errno: uint16(*s.ErrnoRet)}
			}
			var and []string
			for _, a := range s.Args {
				c, text, err := operator(a)
				if err != nil {
					return nil, err
				}
				x.conds, and = append(x.conds, c), append(and, text)
			}
			r.theirs = append(r.theirs, x)
			switch {
			case !filter.Known(name):
			case x.action != allow:
				r.spec.Rules = append(r.spec.Rules, filter.Rule{Call: name, Expr: x.action.String()})
			case len(and) == 0:
				r.spec.Allow = append(r.spec.Allow, filter.Item{Name: name})
			default:
				if either[name] == nil {
					order = append(order, name)
				}
				either[name] = append(either[name], "("+strings.Join(and, " && ")+")")
			}
		}
	}
	for _, name := range order {
		r.spec.Rules = append(r.spec.Rules, filter.Rule{Call: name, Expr: strings.Join(either[name], " || ")})
	}
	return r, nil
}

// operator returns an OCI comparison for both compilers.
func operator(a specs.LinuxSeccompArg) (condition, string, error) {
	ops := map[specs.LinuxSeccompOperator]struct {
		op   libseccomp.ScmpCompareOp
		text string
	}{
		specs.OpEqualTo: {libseccomp.CompareEqual, "=="}, specs.OpNotEqual: {libseccomp.CompareNotEqual, "!="},
		specs.OpLessThan: {libseccomp.CompareLess, "<"}, specs.OpLessEqual: {libseccomp.CompareLessOrEqual, "<="},
		specs.OpGreaterThan: {libseccomp.CompareGreater, ">"}, specs.OpGreaterEqual: {libseccomp.CompareGreaterEqual, ">="},
	}
	if a.Op == specs.OpMaskedEqual {
		return condition{a.Index, libseccomp.CompareMaskedEqual, []uint64{a.Value, a.ValueTwo}},
			fmt.Sprintf("reg%d & %#x == %#x", a.Index, a.Value, a.ValueTwo), nil
	}
	o, ok := ops[a.Op]
	if !ok {
		return condition{}, "", fmt.Errorf("operator %s", a.Op)
	}
	return condition{a.Index, o.op, []uint64{a.Value}}, fmt.Sprintf("reg%d %s %#x", a.Index, o.text, a.Value), nil
}

// shipped returns our profile default. Its conditions are written for libseccomp by hand, in as few rules as possible.
// In libseccomp's filter, numbers without a name get the default. Every refusal is EPERM. For the errors that the
// profile has, libseccomp would need a rule for each refused value: 150 rules for socket alone.
func shipped() (*rules, error) {
	p, err := profiles.Search{}.Load([]string{profiles.DefaultName}, nil)
	if err != nil {
		return nil, err
	}
	r := &rules{name: "our profile default", deflt: eperm}
	if r.spec, err = p.Syscalls.Filter(); err != nil {
		return nil, err
	}
	for i := range r.spec.Rules {
		r.spec.Rules[i].Else = filter.Action{}
	}
	r.conditions()
	ruled := map[string]bool{}
	for _, x := range r.theirs {
		ruled[x.call] = true
	}
	for _, x := range r.spec.Rules {
		if !ruled[x.Call] && x.Expr != "errno(EPERM)" { // EPERM is their default
			return nil, fmt.Errorf("the profile has a rule for %s, and the comparison none", x.Call)
		}
	}
	for _, call := range filter.Calls() {
		nr, ok := filter.Number(native, call)
		if !ok || ruled[call] {
			continue
		}
		v, err := filter.Explain(r.spec, native, filter.Data{Nr: int32(nr), Arch: native.Audit()})
		if err != nil {
			return nil, err
		}
		if v.Action == allow {
			r.theirs = append(r.theirs, theirRule{call, allow, nil})
		}
	}
	return r, nil
}

// conditions adds the conditions of profiles/base.yaml and profiles/default.yaml. They refuse only a few values of
// socket, ioctl and fcntl. A rule of libseccomp has one comparison for each argument.
func (r *rules) conditions() {
	one := func(call string, conds ...condition) {
		r.theirs = append(r.theirs, theirRule{call, allow, conds})
	}
	protocols := [...]uint64{unix.IPPROTO_IP, unix.IPPROTO_ICMP, unix.IPPROTO_TCP, unix.IPPROTO_UDP, unix.IPPROTO_ICMPV6}
	one("socket", equal(0, unix.AF_UNIX))
	one("socket", equal(0, unix.AF_NETLINK), equal(2, unix.NETLINK_ROUTE))
	for _, family := range [...]uint64{unix.AF_INET, unix.AF_INET6} {
		for _, kind := range [...]uint64{unix.SOCK_STREAM, unix.SOCK_DGRAM, unix.SOCK_RAW} {
			for _, protocol := range protocols {
				one("socket", equal(0, family), masked(1, 0xf, kind), equal(2, protocol))
			}
		}
	}
	one("socketpair", equal(0, unix.AF_UNIX))
	r.allBut("ioctl", 1, unix.TIOCSTI, unix.TIOCLINUX, unix.TIOCSETD)
	r.allBut("fcntl", 1, unix.F_SETLEASE, unix.F_NOTIFY, 0x410) // F_SETDELEG
	one("setsockopt", condition{1, libseccomp.CompareNotEqual, []uint64{unix.IPPROTO_TCP}})
	one("setsockopt", condition{2, libseccomp.CompareNotEqual, []uint64{unix.TCP_ULP}})
	one("prlimit64", condition{0, libseccomp.CompareNotEqual, []uint64{1}})
	one("clone", masked(0, 0x7e020080, 0))
	for _, persona := range [...]uint64{0, 8, 0x20000, 0x20008, 0xffffffff} {
		one("personality", equal(0, persona))
	}
	r.theirs = append(r.theirs, theirRule{call: "clone3", action: enosys})
}

func equal(arg uint, v uint64) condition {
	return condition{arg, libseccomp.CompareEqual, []uint64{v}}
}

func masked(arg uint, mask, v uint64) condition {
	return condition{arg, libseccomp.CompareMaskedEqual, []uint64{mask, v}}
}

// allBut allows a call unless an argument has one of the values. The values must be in ascending order.
func (r *rules) allBut(call string, arg uint, values ...uint64) {
	add := func(op libseccomp.ScmpCompareOp, v uint64) {
		r.theirs = append(r.theirs, theirRule{call, allow, []condition{{arg, op, []uint64{v}}}})
	}
	add(libseccomp.CompareLess, values[0])
	for i, v := range values[1:] {
		for between := values[i] + 1; between < v; between++ {
			add(libseccomp.CompareEqual, between)
		}
	}
	add(libseccomp.CompareGreater, values[len(values)-1])
}
