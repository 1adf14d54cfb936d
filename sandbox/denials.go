package sandbox

// What is remembered of denied calls, and what is said about them at the end.

import (
	"bytes"
	"cmp"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"cordon/policy"
	"cordon/policy/filter"
)

// Denials are the calls that the filter denied with an errno, by kind.
type Denials struct {
	Total   uint64   `json:"total"`
	Dropped uint64   `json:"dropped"` // of these, calls of kinds that came after the first 256
	List    []Denial `json:"list"`
}

// Denial is one kind of denied call: those with the same number, constants among the arguments, and errno. What else
// it says is about the first.
type Denial struct {
	Call   string `json:"call"`
	Text   string `json:"text"`           // with its arguments: "keyctl(KEYCTL_GET_KEYRING_ID, …)"
	Arch   string `json:"arch,omitempty"` // of the call, where it is not the launcher's
	Errno  string `json:"errno"`          // what it failed with: "EPERM"; "" if it was done in part
	Count  uint64 `json:"count"`
	Comm   string `json:"comm,omitempty"` // of the process; it may have chosen any
	PID    int    `json:"pid,omitempty"`  // inside the sandbox
	Rule   string `json:"rule"`           // what of the profile decides: `syscalls.deny "@keyring" (base.yaml:18)`
	Remedy string `json:"remedy"`         // how to allow it: "--allow-syscall keyctl"

	Instead string `json:"instead,omitempty"` // what was done in its place

	data filter.Data
}

// maxDenials bounds the kinds that are remembered, and so the memory that a task can make the launcher use.
const maxDenials = 256

// denials collects while the task runs. It asks nothing of the kernel.
type denials struct {
	comp  *compilation
	plain *filter.Program // the filter without reports: it has the errno of each call
	free  *filter.Program // plain without the rules about set-id bits; nil if the profile has none
	modes map[callKey]string
	masks map[callKey][6]uint64
	kinds map[kindKey]*Denial
	order []*Denial
	total uint64
	lost  uint64

	throttle throttle
}

type callKey struct {
	arch uint32
	nr   int32
}

type kindKey struct {
	callKey
	errno     uint16
	constants [6]uint64
}

// count counts a call, and says what it fails with. A Denial that is returned is new and has to be described.
func (d *denials) count(call *filter.Data) (errno syscall.Errno, fresh *Denial) {
	errno = d.errno(call)
	return errno, d.add(call, errno)
}

// add counts a call that got errno: 0 if the launcher has made it, without set-id bits. A Denial that is returned is new.
func (d *denials) add(call *filter.Data, errno syscall.Errno) (fresh *Denial) {
	d.total++
	key := kindKey{callKey: callKey{call.Arch, call.Nr}, errno: uint16(errno)}
	for i, m := range d.mask(key.callKey) {
		key.constants[i] = call.Args[i] & m
	}
	if known := d.kinds[key]; known != nil {
		known.Count++
		return nil
	}
	if len(d.order) == maxDenials {
		d.lost++
		return nil
	}
	fresh = &Denial{Count: 1, data: *call}
	if errno == 0 {
		fresh.Instead = "done without the bits"
	}
	d.kinds[key] = fresh
	d.order = append(d.order, fresh)
	return fresh
}

// errno is what the profile says. That it says anything else cannot be; the call is denied then, too.
func (d *denials) errno(call *filter.Data) syscall.Errno {
	if d.plain == nil {
		d.prepare()
	}
	if a := d.plain.Action(call); a.Kind == filter.Errno && a.Errno != 0 {
		return syscall.Errno(a.Errno)
	}
	return syscall.EPERM
}

// prepare makes what the first denial needs.
func (d *denials) prepare() {
	d.masks, d.kinds, d.modes = map[callKey][6]uint64{}, map[kindKey]*Denial{}, map[callKey]string{}
	d.plain = &filter.Program{}
	spec, err := d.comp.spec()
	if err != nil {
		return // it was compiled before; a program without instructions denies
	}
	if prog, err := filter.Compile(spec, d.comp.arch); err == nil {
		d.plain = prog
	}
	if d.comp.profile.MaySetID() {
		return
	}
	if spec, err = d.comp.profile.Syscalls.Filter(); err == nil {
		d.free, _ = filter.Compile(spec, d.comp.arch) // nil: no call is made in the task's place
	}
}

// mask is filter.Constants, remembered: it takes longer than all the rest. A task cannot make this grow beyond the calls
// that there are, because a number without a name is never asked about.
func (d *denials) mask(k callKey) [6]uint64 {
	m, ok := d.masks[k]
	if !ok {
		m = filter.Constants(k.arch, k.nr)
		d.masks[k] = m
	}
	return m
}

// reportDenials completes the report.
func (p *process) reportDenials() {
	if !p.comp.reports || p.comp.observed() {
		return
	}
	d := &p.denials
	out := &Denials{Total: d.total, Dropped: d.lost, List: make([]Denial, 0, len(d.order))}
	for _, x := range d.order {
		if x.Instead == "" {
			x.Errno = strings.TrimSuffix(strings.TrimPrefix(d.plain.Action(&x.data).String(), "errno("), ")")
		}
		x.Rule, x.Remedy = p.comp.blame(x)
		out.List = append(out.List, *x)
	}
	p.report.Denials = out
}

// blame is the part of the profile that denies a call, and what would allow it.
func (c *compilation) blame(d *Denial) (rule, remedy string) {
	b := c.decider(d)
	if b.rule == "" {
		return "", ""
	}
	return said(b.rule, b.where()), cmp.Or(shellWords(b.flags), b.noFlag)
}

// blamed is what of a profile decides a call.
type blamed struct {
	rule   string // `syscalls.deny "@keyring"`
	at     policy.Pos
	from   string   // the place, where it is none of one rule
	flags  []string // that allow it
	noFlag string   // why there are none
}

func (b *blamed) where() string { return cmp.Or(b.at.Short(), b.from) }

func (c *compilation) decider(d *Denial) (b blamed) {
	s := &c.profile.Syscalls
	if s.Exec == policy.ExecOnce && (d.Call == "execve" || d.Call == "execveat") {
		return blamed{rule: "syscalls.exec once", at: c.profile.Source("syscalls.exec"), flags: []string{"--exec", "any"}}
	}
	spec, err := c.spec()
	if err != nil {
		return b
	}
	v, err := filter.Explain(spec, c.arch, d.data)
	if err != nil {
		return b
	}
	if slices.Contains(v.From, policy.SetIDPlace) {
		return blamed{rule: policy.SetIDPlace, noFlag: policy.SetIDRemedy}
	}
	if item := c.denier(d.Call); item != nil {
		return blamed{rule: "syscalls.deny " + strconv.Quote(item.Name), at: item.Pos, noFlag: denyRemedy(item)}
	}
	if d.Call == "prctl" && d.data.Args[0] == unix.PR_SET_SECCOMP && c.ruleAt("prctl", v.From) == nil {
		return c.selfDecider(d)
	}
	var allowed bool
	if b.flags, allowed = c.remedy(d); !allowed {
		b.noFlag = "another profile: no flag allows it"
	}
	if r := c.ruleAt(d.Call, v.From); r != nil {
		b.rule, b.at = "syscalls.rules "+r.Call, r.Pos
		return b
	}
	if len(v.From) > 0 { // on a 32-bit ABI, for the sake of another call
		b.rule, b.from = v.Why, strings.Join(v.From, ", ")
		return b
	}
	b.rule, b.at = "syscalls.default "+cmp.Or(s.Default, "errno(EPERM)"), c.profile.Source("syscalls.default")
	return b
}

// selfDecider is what decides prctl(PR_SET_SECCOMP) where no rule names prctl: it counts as seccomp(2).
func (c *compilation) selfDecider(d *Denial) (b blamed) {
	b.rule, b.at = "syscalls.default: it counts as seccomp", c.profile.Source("syscalls.default")
	if item := c.denier("seccomp"); item != nil {
		return blamed{rule: "syscalls.deny " + strconv.Quote(item.Name) + ": it counts as seccomp", at: item.Pos, noFlag: denyRemedy(item)}
	}
	if r := c.ruleAt("seccomp", nil); r != nil {
		b.rule, b.at = "syscalls.rules seccomp: it counts as that", r.Pos
	}
	if allow := []string{"--allow-syscall", "seccomp"}; c.allows(d, allow) {
		b.flags = allow
	} else {
		b.noFlag = "another profile: no flag allows it"
	}
	return b
}

func said(what, where string) string {
	if where == "" {
		return what
	}
	return what + " (" + where + ")"
}

// denier is the item of syscalls.deny that names a call, itself or by a group; it beats everything else.
func (c *compilation) denier(call string) *policy.SyscallItem {
	for i := range c.profile.Syscalls.Deny {
		if x := &c.profile.Syscalls.Deny[i]; filter.Names(x.Name, call) {
			return x
		}
	}
	return nil
}

// ruleAt is the rule about a call at one of the places that decide; the first about it where rules have no place.
func (c *compilation) ruleAt(call string, from []string) *policy.SyscallRule {
	for i := range c.profile.Syscalls.Rules {
		r := &c.profile.Syscalls.Rules[i]
		if filter.Names(r.Call, call) && (len(from) == 0 || slices.Contains(from, r.Pos.Short())) {
			return r
		}
	}
	return nil
}

// denyRemedy is about a list that only grows.
func denyRemedy(x *policy.SyscallItem) string {
	if x.Pos.Flag != "" {
		return "leave out " + x.Pos.Flag
	}
	return "a profile that does not extend " + strings.TrimPrefix(x.Pos.File, "embedded:") + ", because deny only grows"
}

// remedy finds the flags with which the profile would allow a call, by trying them: to name the call, to take the rules
// for it away, or both.
func (c *compilation) remedy(d *Denial) (flags []string, ok bool) {
	allow := []string{"--allow-syscall", d.Call}
	var remove []string
	tries := [][]string{allow}
	for i := range c.profile.Syscalls.Rules {
		if r := &c.profile.Syscalls.Rules[i]; r.Call == d.Call {
			one := []string{"--remove", "syscalls=" + r.Call + ": " + r.Expr}
			tries, remove = append(tries, one), append(remove, one...)
		}
	}
	for _, try := range append(tries, remove, slices.Concat(remove, allow)) {
		if len(try) > 0 && c.allows(d, try) {
			return try, true
		}
	}
	return nil, false
}

func (c *compilation) allows(d *Denial, flags []string) bool {
	over := &policy.Profile{}
	for i := 0; i < len(flags); i += 2 {
		if policy.FromFlag(over, strings.TrimPrefix(flags[i], "--"), flags[i+1]) != nil {
			return false
		}
	}
	spec, err := policy.Merge(c.profile, over).FilterOnce(c.nonce)
	if err != nil {
		return false
	}
	v, err := filter.Explain(spec, c.arch, d.data)
	return err == nil && v.Action.Kind == filter.Allow
}

// shellWords quotes for sh(1) what needs it.
func shellWords(words []string) string {
	out := make([]string, len(words))
	for i, w := range words {
		if strings.ContainsAny(w, " \t\n'\"\\$`&|<>()*?[]#~;!{}") {
			w = "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
		}
		out[i] = w
	}
	return strings.Join(out, " ")
}

// whoIs is the name of a thread's process and its number in the innermost pid namespace: proc_pid_status(5).
func whoIs(tid int) (comm string, pid int) {
	text, err := readAll("/proc/" + itoa(tid) + "/status")
	if err != nil {
		return "", 0
	}
	if f := strings.Fields(statusField(text, "NStgid")); len(f) > 0 {
		pid, _ = strconv.Atoi(f[len(f)-1]) // of the kernel's making
	}
	name, err := readSome("/proc/"+statusField(text, "Tgid")+"/comm", 64)
	if err != nil {
		return "", pid
	}
	return string(bytes.TrimSuffix(name, []byte{'\n'})), pid
}
