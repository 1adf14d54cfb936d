package why

import (
	"errors"
	"io/fs"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"cordon/policy"
	"cordon/policy/endpoint"
	"cordon/sandbox/internal/compile"
	"cordon/sandbox/internal/fail"
	"cordon/sandbox/internal/paths"
)

// Exec answers for a program by its name or path: whether it is found, may be executed and has its interpreter, and
// whether its set-user-ID bit has an effect.
func (q *Query) Exec(name string) *Reason {
	c, r := q.comp, &Reason{}
	path, err := c.Find(name)
	if err != nil {
		return q.notFound(r, name, err)
	}
	if r = q.Open(path, Access{Execute: true}); !r.Allowed {
		return r
	}
	if at, err := c.Tree.Resolve(path); err == nil {
		if host := c.Tree.HostPath(at); host != "" {
			if info, err := c.Tree.Lstat(host); err == nil && !info.Mode().IsRegular() {
				r.Allowed = false
				r.deny(layerFile, unix.EACCES, path+" is no regular file: "+info.Mode().Type().String(), policy.Pos{})
				r.NoFlag = "only a regular file can be executed: execve(2)"
				return r
			}
		}
	}
	if err := c.Interpreter(path, 0); err != nil {
		r.Allowed = false
		r.deny(layerFile, unix.ENOENT, fail.Bare(err).Error(), policy.Pos{})
		r.NoFlag = "show the interpreter: --ro, or install it in the root"
		return r
	}
	if missing := q.missingLoader(path); missing != "" {
		r.Allowed = false
		r.Try, r.Grants = showing(c, missing, false), grants(missing, false, false)
		r.deny(string(policy.LayerMount), unix.ENOENT, "its interpreter "+missing+" is not shown", c.Tree.At(missing).Rule)
		return r
	}
	inside, _ := c.Tree.Resolve(path)
	q.setuid(r, inside)
	return r
}

// notFound answers for a program that the search did not find, or found but cannot run.
func (q *Query) notFound(r *Reason, name string, err error) *Reason {
	if strings.Contains(name, "/") { // for a path, the answer of the layers is more precise
		if r = q.Open(name, Access{Read: true, Execute: true}); !r.Allowed {
			return r
		}
	}
	r.Allowed = false
	r.deny(layerFile, unix.ENOENT, fail.Bare(err).Error(), policy.Pos{})
	var lookup *fail.LookupError
	if errors.As(err, &lookup) {
		r.NoFlag = lookup.Hint
		if lookup.Code == 126 {
			r.Errno = unix.ErrnoName(unix.EACCES)
		}
	}
	return r
}

// missingLoader returns the path of the dynamic loader or interpreter that a program needs but the sandbox does not
// show. It returns "" if there is none.
func (q *Query) missingLoader(path string) string {
	c := q.comp
	inside, err := c.Tree.Resolve(path)
	if err != nil {
		return ""
	}
	host := c.Tree.HostPath(inside)
	if host == "" {
		return ""
	}
	head, err := c.Host.Files.Read(host, 4096)
	if err != nil {
		return ""
	}
	loader := compile.ElfInterpreter(head)
	if loader == "" {
		return ""
	}
	at, err := c.Tree.Resolve(paths.Clean(loader))
	if err != nil {
		return loader
	}
	if _, ok := c.Tree.Stat(at); !ok {
		return loader
	}
	return ""
}

// setuid adds a note if no_new_privs disables a set-user-ID or set-group-ID bit of the program: execve(2).
func (q *Query) setuid(r *Reason, inside string) {
	if why := setIDOf(q.comp, inside); why != "" {
		r.Layer = string(policy.LayerNoNewPriv)
		r.Notes = append(r.Notes, why)
	}
}

// setIDOf says what a set-user-ID or set-group-ID bit of a program does. It returns "" for a program without these
// bits.
func setIDOf(c *compile.Compilation, inside string) string {
	host := c.Tree.HostPath(inside)
	if host == "" {
		return ""
	}
	info, err := c.Tree.Lstat(host)
	if err != nil || info.Mode()&(fs.ModeSetuid|fs.ModeSetgid) == 0 {
		return ""
	}
	return inside + " is set-user-ID or set-group-ID, which has no effect: no_new_privs is always set, and mounts are nosuid. It runs with the task's ids, so work that needs other ids fails with EPERM"
}

// SetID answers whether an executable file's set-user-ID bit takes effect.
func (q *Query) SetID(path string) *Reason {
	r := &Reason{Allowed: true}
	inside, ok := q.resolve(r, path)
	if !ok {
		return r
	}
	if why := setIDOf(q.comp, inside); why != "" {
		r.Allowed, r.NoFlag = false, "no flag changes that, because set-user-ID would be a way out of the sandbox"
		r.deny(string(policy.LayerNoNewPriv), unix.EPERM, why, policy.Pos{})
	}
	return r
}

// Capability answers for a capability by its name, with or without the prefix CAP_.
func (q *Query) Capability(name string) (*Reason, error) {
	c, r := q.comp, &Reason{}
	name = strings.TrimPrefix(strings.ToUpper(name), "CAP_")
	n, ok := policy.CapabilityNumber(name)
	if !ok {
		return nil, &fail.Error{Op: "capability " + name, Err: errors.New("no such capability"), Hint: "capabilities(7) lists them: NET_ADMIN"}
	}
	bit := uint64(1) << n
	over := "the sandbox's own user namespace and what belongs to it"
	if !c.IDs.NewUser {
		over = "the host: the task has no user namespace of its own"
	}
	if c.Keep&bit == 0 {
		r.Try, r.Grants = []Change{{"cap", name}}, name+" over "+over+", for every program in the sandbox"
		if c.IDs.InUID != 0 {
			r.Try = append(r.Try, Change{"ambient-cap", name})
		}
		r.deny(string(policy.LayerCaps), unix.EPERM, name+" is not kept; the bounding set lacks it", capsPos(c, "keep", c.Profile.Capabilities.Keep))
		return r, nil
	}
	if c.IDs.InUID != 0 && c.Ambient&bit == 0 {
		r.Try, r.Grants = []Change{{"ambient-cap", name}}, name+" over "+over
		r.deny(string(policy.LayerCaps), unix.EPERM, name+" is kept in the bounding set, but a task with uid "+strconv.Itoa(c.IDs.InUID)+" has only ambient capabilities in effect",
			capsPos(c, "ambient", c.Profile.Capabilities.Ambient))
		return r, nil
	}
	r.Allowed = true
	r.pass("caps: " + name + " is kept, over " + over)
	return r, nil
}

// capsPos returns the position of the list that lacks a capability.
func capsPos(c *compile.Compilation, list string, items []policy.Capability) policy.Pos {
	if len(items) > 0 {
		return items[0].Pos
	}
	return c.Profile.Source("capabilities." + list)
}

// Connect answers for an address: HOST:PORT, the path of a unix socket, or @NAME for an abstract one.
func (q *Query) Connect(to string) (*Reason, error) {
	r := &Reason{}
	switch {
	case strings.HasPrefix(to, "/") || strings.HasPrefix(to, "~"):
		if q.call(r, "socket(AF_UNIX, SOCK_STREAM, 0)") && q.call(r, "connect") {
			q.socketPath(r, to)
		}
		return r, nil
	case strings.HasPrefix(to, "@"):
		if q.call(r, "socket(AF_UNIX, SOCK_STREAM, 0)") && q.call(r, "connect") && q.abstract(r) {
			r.Allowed = true
		}
		return r, nil
	}
	host, port, err := hostPort(to)
	if err != nil {
		return nil, err
	}
	family := "AF_INET"
	a, err := netip.ParseAddr(host)
	if name := strings.ToLower(strings.TrimSuffix(host, ".")); err != nil && endpoint.CheckName(name) != nil {
		return nil, &fail.Error{Op: "connect:" + to, Err: errors.New(strconv.Quote(host) + " " + endpoint.CheckName(name).Error()), Hint: "connect:HOST:PORT, such as connect:example.org:443"}
	}
	if err == nil && a.Is6() && !a.Is4In6() {
		family = "AF_INET6"
	}
	if q.call(r, "socket("+family+", SOCK_STREAM, 0)") && q.call(r, "connect") && q.routed(r, host, port) {
		r.Allowed = true
	}
	return r, nil
}

// Socket answers for a unix socket by its path. It assumes that the filter allows the program's calls.
func (q *Query) Socket(path string) *Reason {
	clear(q.comp.Tree.Known)
	r := &Reason{}
	q.socketPath(r, path)
	return r
}

// Route answers for an IP address, or for an abstract unix socket by its name with @. It assumes that the filter
// allows the program's calls.
func (q *Query) Route(host, port string) *Reason {
	r := &Reason{}
	if strings.HasPrefix(host, "@") {
		r.Allowed = q.abstract(r)
	} else {
		r.Allowed = q.routed(r, host, port)
	}
	return r
}

// socketPath answers for a socket that has a path: it must exist, and its permissions must allow the connection. It
// does not matter whether the mount is read-only: unix(7).
func (q *Query) socketPath(r *Reason, path string) {
	inside, ok := q.resolve(r, path)
	if !ok || !q.present(r, inside, Access{Read: true}) {
		return
	}
	if _, exists := q.comp.Tree.Stat(inside); !exists {
		r.deny(layerFile, unix.ENOENT, inside+" does not exist, not even on the host", policy.Pos{})
		return
	}
	c := q.comp
	switch p := c.Tree.At(inside); {
	case p.Still && p.Target != inside:
		r.deny(layerFile, unix.ECONNREFUSED, "nobody listens in "+p.Target+", which is shown through an overlay of the sandbox's own", p.Rule)
		return
	case c.LandlockResolves() && p.Source != "" && p.Target != inside:
		r.deny(string(policy.LayerLandlock), unix.EACCES, "Landlock allows connecting only to sockets that the profile binds by name", p.Rule)
		return
	}
	r.Allowed = q.permitted(r, inside, Access{Write: true})
}

func hostPort(to string) (host, port string, err error) {
	bad := &fail.Error{Op: "connect:" + to, Err: errors.New("not an address"), Hint: "connect:HOST:PORT, connect:[V6]:PORT, connect:/path/of/socket, or connect:@abstract"}
	i := strings.LastIndexByte(to, ':')
	if i < 0 {
		return "", "", bad
	}
	host, port = strings.Trim(to[:i], "[]"), to[i+1:]
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 || host == "" {
		return "", "", bad
	}
	return host, port, nil
}

// abstract answers for abstract unix sockets, which belong to the network namespace.
func (q *Query) abstract(r *Reason) bool {
	c := q.comp
	if c.OwnNet {
		r.Try, r.Grants = sharingNet(c), "the whole network of the host"
		return r.deny(string(policy.LayerNet), unix.ECONNREFUSED, "abstract sockets belong to a network namespace, and the sandbox has its own", c.Profile.Source("network"))
	}
	if c.Land.On && c.Land.Scoped&compile.ScopeAbstract != 0 {
		r.NoFlag = "landlock: {scope: [signal]} in a profile lets them out"
		return r.deny(string(policy.LayerLandlock), unix.EPERM, "Landlock's scope keeps connections to abstract sockets inside", c.Profile.Source("landlock.scope"))
	}
	return r.pass("net: the host's network namespace, and no scope")
}

// Signal answers for a signal to a process of the host by its number.
func (q *Query) Signal(pid int) *Reason {
	c, r := q.comp, &Reason{}
	switch {
	case !q.call(r, "kill"):
	case c.OwnsPID() || c.Joined(unix.CLONE_NEWPID) != nil:
		r.NoFlag = "a profile with namespaces: {pid: host}, and no proc mount, shares all of the host's"
		r.deny(string(policy.LayerPID), unix.ESRCH, "the pid namespace is the sandbox's own: "+strconv.Itoa(pid)+" of the host has no number in it", c.Profile.Source("namespaces.pid"))
	case c.Land.On && c.Land.Scoped&compile.ScopeSignal != 0:
		r.NoFlag = "landlock: {scope: [abstract-unix-socket]} in a profile lets them out"
		r.deny(string(policy.LayerLandlock), unix.EPERM, "Landlock's scope keeps signals inside", c.Profile.Source("landlock.scope"))
	default:
		r.Allowed = true
		r.Notes = append(r.Notes, "then the process's user id decides: kill(2)")
	}
	return r
}

// Limit answers whether the profile's limits allow at least the amounts in asked.
func (q *Query) Limit(asked *policy.Limits) *Reason {
	r, have := &Reason{Allowed: true}, &q.comp.Profile.Limits
	scalars := [...]struct {
		name        string
		asked, have float64
	}{
		{"memory", float64(asked.Memory.V), boundOf(have.Memory)},
		{"swap", float64(asked.Swap.V), boundOf(have.Swap)},
		{"cpus", asked.CPUs.V, boundOf(have.CPUs)},
		{"pids", float64(asked.PIDs.V), boundOf(have.PIDs)},
		{"wall", float64(asked.Wall.V), boundOf(have.Wall)},
		{"cpu-time", float64(asked.CPUTime.V), boundOf(have.CPUTime)},
		{"output", float64(asked.Output.V), boundOf(have.Output)},
	}
	for _, s := range scalars {
		q.within(r, s.name, s.asked, s.have, q.comp.Profile.Source("limits."+s.name))
	}
	if asked.PIDs.Set && r.Allowed { // all processes of the task have one user id, so nproc limits them
		if i := slices.IndexFunc(have.Rlimits, func(h policy.Rlimit) bool { return h.Name == "nproc" }); i >= 0 {
			q.within(r, "rlimits.nproc", float64(asked.PIDs.V), float64(have.Rlimits[i].Value), have.Rlimits[i].Pos)
		}
	}
	for _, x := range asked.Rlimits {
		if !q.underHard(r, x) {
			continue
		}
		i := slices.IndexFunc(have.Rlimits, func(h policy.Rlimit) bool { return h.Name == x.Name })
		if i >= 0 {
			q.within(r, "rlimits."+x.Name, float64(x.Value), float64(have.Rlimits[i].Value), have.Rlimits[i].Pos)
		} else {
			r.pass("limits: rlimits." + x.Name + " is the caller's")
		}
	}
	return r
}

// underHard compares the asked limit with the launcher's own hard limit, because no program that the launcher starts
// can get more.
func (q *Query) underHard(r *Reason, asked policy.Rlimit) bool {
	var own unix.Rlimit
	n, known := compile.RlimitNumber(asked.Name)
	if !known || unix.Getrlimit(int(n), &own) != nil || asked.Value <= own.Max { //nolint:gosec // the numbers are small
		return true
	}
	r.Allowed = false
	r.NoFlag = "ulimit -H, limits.conf(5) or LimitNOFILE= and the like of systemd.exec(5) give the caller more"
	return r.deny(layerLimits, 0, "the caller's own hard limit is "+policy.Rlimit{Name: asked.Name, Value: own.Max}.Text(), policy.Pos{})
}

// boundOf returns the limit as a number, or infinity if there is none.
func boundOf[T int64 | float64 | time.Duration](o policy.Opt[T]) float64 {
	if !o.Set {
		return math.Inf(1)
	}
	return float64(o.V)
}

func (q *Query) within(r *Reason, name string, asked, have float64, at policy.Pos) {
	switch {
	case asked == 0:
	case math.IsInf(have, 1):
		r.pass("limits: limits." + name + " is not set")
	case asked <= have:
		r.pass("limits: limits." + name + " is not reached")
	default:
		r.Allowed = false
		r.Grants = "the same amount for every program in the sandbox"
		r.deny(layerLimits, 0, "limits."+name+" is lower", at)
	}
}
