package learn

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"cordon/policy"
	"cordon/policy/endpoint"
	"cordon/policy/filter"
	"cordon/policy/phrase"
	"cordon/policy/recording"
)

// A Denial is something that a recording contains and a profile would not allow.
type Denial struct {
	Layer policy.Layer
	What  string     // such as "openat(…, O_WRONLY)", "read /etc/shadow", "connect example.org:443"
	Why   string     // what denies it
	Maybe bool       // the decision depends on arguments that were not recorded
	At    policy.Pos // the position of the record
	By    policy.Pos // the line of the profile; zero if no line denies it
}

// Replay checks the facts against an effective profile. It ignores operations that already failed in the recording. The
// error is about the profile.
func Replay(p *policy.Profile, f *Facts) ([]Denial, error) {
	r := &replay{p: p, f: f, w: newWorld(f)}
	if err := r.calls(); err != nil {
		return nil, err
	}
	r.paths()
	r.nets()
	r.caps()
	r.peaks()
	return r.denials, nil
}

type replay struct {
	p       *policy.Profile
	f       *Facts
	w       *world
	spec    filter.Spec
	program *filter.Program
	denials []Denial
}

func (r *replay) deny(d Denial) { r.denials = append(r.denials, d) }

func (r *replay) calls() (err error) {
	if r.spec, err = r.p.SectionFilter(); err != nil {
		return err
	}
	if r.program, err = filter.Compile(r.spec, r.f.arch()); err != nil {
		return err
	}
	for i := range r.f.Calls {
		if c := &r.f.Calls[i]; !refused(c.Errno) {
			if err := r.call(c); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *replay) call(c *Call) error {
	if r.p.Syscalls.Exec == policy.ExecOnce && (c.Name == "execve" || c.Name == "execveat") {
		r.deny(Denial{Layer: policy.LayerSeccomp, What: c.Name, Why: "the program may execute no other", At: c.At, By: r.p.Source("syscalls.exec")})
		return nil
	}
	q := r.f.query(c)
	if q == nil {
		r.deny(Denial{Layer: policy.LayerSeccomp, What: c.Name, Why: "no table has this number", At: c.At, By: r.p.Source("syscalls.unknown")})
		return nil
	}
	var ones [6]uint64
	for i := range ones {
		ones[i] = 1<<64 - 1
	}
	low, high := q.Data([6]uint64{}), q.Data(ones)
	if r.program.Action(&low).Passes() && r.program.Action(&high).Passes() {
		return nil
	}
	found, err := filter.Ask(r.spec, r.f.arch(), q)
	if err != nil {
		return err
	}
	r.judge(c, &low, found)
	return nil
}

// judge handles a call that the filter does not allow in every case.
func (r *replay) judge(c *Call, d *filter.Data, found []filter.Outcome) {
	maybe := false
	var bad *filter.Outcome
	for i := range found {
		if found[i].Action.Passes() {
			maybe = true
		} else if bad == nil {
			bad = &found[i]
		}
	}
	if bad == nil || r.another(c, bad.Action) || isMPTCP(c) && r.tcp(c) {
		return
	}
	why := bad.Why + ": " + bad.Action.String()
	if maybe {
		why += ", for some arguments that were not recorded"
	}
	text := filter.Decode(d, nil)
	r.deny(Denial{Layer: policy.LayerSeccomp, What: r.title(c, &text), Why: why, Maybe: maybe, At: c.At, By: parsePos(bad.From)})
}

// title returns the call with the arguments that were recorded.
func (r *replay) title(c *Call, d *filter.Decoded) string {
	if len(c.Args) == 0 {
		return c.Name
	}
	known := map[string]string{}
	for i, name := range filter.Args(c.Name) {
		if i < len(d.Args) {
			known[name] = d.Args[i]
		}
	}
	var words []string
	for _, a := range c.Args {
		word, ok := known[a.Name]
		if !ok {
			word = "0x" + strconv.FormatUint(a.Value, 16)
		}
		words = append(words, a.Name+"="+word)
	}
	return c.Name + "(" + strings.Join(words, ", ") + ")"
}

// another reports whether programs use another call if this call fails with ENOSYS, and whether the profile allows that
// other call.
func (r *replay) another(c *Call, a filter.Action) bool {
	i := slices.IndexFunc(instead[:], func(x struct{ call, other string }) bool { return x.call == c.Name })
	if i < 0 || a != (filter.Action{Kind: filter.Errno, Errno: 38}) { // ENOSYS
		return false
	}
	other := instead[i].other
	if other == "" {
		return true
	}
	q, err := filter.ParseQuery(other, r.f.abi(c))
	if err != nil {
		return false
	}
	found, err := filter.Ask(r.spec, r.f.arch(), q)
	return err == nil && slices.ContainsFunc(found, func(o filter.Outcome) bool { return o.Action.Passes() })
}

// tcp reports whether the same call may make a TCP socket instead.
func (r *replay) tcp(c *Call) bool {
	q := r.f.query(c)
	for i := range q.Args {
		if q.Args[i].Name == "protocol" {
			q.Args[i].Value = 0
		}
	}
	found, err := filter.Ask(r.spec, r.f.arch(), q)
	return err == nil && len(found) > 0 && !slices.ContainsFunc(found, func(o filter.Outcome) bool { return !o.Action.Passes() })
}

// parsePos returns the first position that a verdict names. Package filter gives positions as text.
func parsePos(from []string) policy.Pos {
	if len(from) == 0 {
		return policy.Pos{}
	}
	if strings.HasPrefix(from[0], "--") {
		return policy.Pos{File: "command line", Flag: from[0]}
	}
	i := strings.LastIndexByte(from[0], ':')
	if i < 0 {
		return policy.Pos{File: from[0]}
	}
	line, err := strconv.Atoi(from[0][i+1:])
	if err != nil {
		return policy.Pos{File: from[0]}
	}
	return policy.Pos{File: from[0][:i], Line: line}
}

func (r *replay) paths() {
	v := newView(r.p, r.w)
	for i := range r.f.Paths {
		p := &r.f.Paths[i]
		if p.Access == 0 {
			continue
		}
		if no := v.check(p.Path, p.Access, p.Type); no.why != "" {
			d := Denial{Layer: no.layer, What: p.Access.String() + " " + p.Path, Why: no.why, At: p.At, By: no.at}
			if _, followed := r.f.links[p.Path]; p.Type == recording.TypeLink && !followed && p.Access&recording.Writes == 0 {
				d.Maybe, d.Why = true, d.Why+"; a link that nobody followed"
			}
			if within(cgroups, p.Path) {
				d.Maybe, d.Why = true, d.Why+"; the files of a cgroup are others in each run"
			}
			r.deny(d)
		}
	}
	for i := range r.f.Links {
		if l := &r.f.Links[i]; !v.reaches(l) {
			r.deny(Denial{Layer: policy.LayerMount, What: "the name " + l.Via, Why: "it does not lead to " + l.Path, At: l.At})
		}
	}
}

func (r *replay) nets() {
	if r.p.Network.Mode == policy.NetworkHost || r.p.Namespaces.Net.Mode != policy.NSNew {
		return
	}
	for i := range r.f.Nets {
		n := &r.f.Nets[i]
		if !r.f.outside(n) || r.listed(n) {
			continue
		}
		r.deny(Denial{Layer: policy.LayerNet, What: n.Op + " " + n.endpoint(), Why: "the sandbox has a network of its own", At: n.At, By: r.p.Source("network")})
	}
}

func (r *replay) caps() {
	for i := range r.f.Caps {
		c := &r.f.Caps[i]
		kept := slices.ContainsFunc(r.p.Capabilities.Keep, func(k policy.Capability) bool { return k.Name == c.Cap })
		if _, known := policy.CapabilityNumber(c.Cap); !known || c.Errno != "" || kept || noiseOf(c) != "" || r.f.unneeded(c) != "" {
			continue
		}
		r.deny(Denial{Layer: policy.LayerCaps, What: c.Cap + phrase.Prefixed(" for ", c.By), Why: "the capability is not kept", At: c.At})
	}
}

func (r *replay) peaks() {
	l := &r.p.Limits
	for i := range r.f.Peaks {
		p := &r.f.Peaks[i]
		limit, name, layer := uint64(0), "", policy.LayerCgroup
		switch {
		case p.Peak == recording.PeakMemory && p.All && l.Memory.Set:
			limit, name = uint64(l.Memory.V), "memory"
		case p.Peak == recording.PeakPIDs && p.All && l.PIDs.Set:
			limit, name = uint64(l.PIDs.V), "pids"
		case p.Peak == recording.PeakFiles:
			limit, name, layer = rlimit(l, "nofile"), "rlimits.nofile", policy.LayerRlimits
		case p.Peak == recording.PeakFile:
			limit, name, layer = rlimit(l, "fsize"), "rlimits.fsize", policy.LayerRlimits
		}
		if name != "" && p.Value > limit {
			r.deny(Denial{Layer: layer, What: string(p.Peak) + " of " + strconv.FormatUint(p.Value, 10), Why: "limits." + name + " is " + strconv.FormatUint(limit, 10),
				At: p.At, By: r.p.Source("limits." + name)})
		}
	}
}

// rlimit returns a limit of a process, or policy.Unlimited if there is none.
func rlimit(l *policy.Limits, name string) uint64 {
	for _, x := range l.Rlimits {
		if x.Name == name {
			return x.Value
		}
	}
	return policy.Unlimited
}

// listed reports whether an allow-list has a rule for what was reached: by the name that was looked up, or by the
// address.
func (r *replay) listed(n *Net) bool {
	if r.p.Network.Mode != policy.NetworkAllow {
		return false
	}
	rules := r.p.Network.Rules()
	if n.Name != "" && rules.ByName(n.Name, endpoint.TCP, n.Port).Allowed {
		return true
	}
	a, err := netip.ParseAddr(n.Addr)
	return err == nil && rules.ByAddr(a, endpoint.TCP, n.Port).Allowed
}
