package why

// This file answers for connections to addresses and names.

import (
	"net/netip"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"cordon/policy"
	"cordon/policy/endpoint"
	"cordon/sandbox/internal/compile"
)

// routed asks the network namespace about an address or a name.
func (q *Query) routed(r *Reason, host, port string) bool {
	c := q.comp
	a, err := netip.ParseAddr(host)
	loop := err == nil && a.IsLoopback() || host == "localhost"
	switch {
	case c.Joined(unix.CLONE_NEWNET) != nil:
		r.Notes = append(r.Notes, "the profile joins an existing network namespace; the profile does not say whether that has a route")
		return r.pass("net: a joined network namespace")
	case !c.OwnNet:
		return r.pass("net: the host's network")
	case loop:
		r.Try, r.Grants = sharingNet(c), everything
		return r.deny(string(policy.LayerNet), unix.ECONNREFUSED, "the network namespace has a loopback of its own: port "+port+
			" of the host is not on it; only a program of the same sandbox could listen there", c.Profile.Source("network"))
	case c.Egress != nil:
		return q.endpoint(r, a, strings.ToLower(strings.TrimSuffix(host, ".")), port)
	}
	r.Try, r.Grants = allowing(a, host, port), "a network of the sandbox's own, from which nothing else can be reached"
	if _, err := endpoint.ParseAllow(r.Try[0].Value); err != nil {
		r.Try, r.Grants = sharingNet(c), everything
	}
	return r.deny(string(policy.LayerNet), unix.ENETUNREACH, "the network namespace has a loopback and no route to "+host, c.Profile.Source("network"))
}

// everything describes what the host's network gives to a program.
const everything = "every address that the host reaches, its services on localhost, and its abstract unix sockets unless Landlock keeps the program from them"

// allowing returns the change that allows one port of a host.
func allowing(a netip.Addr, host, port string) []Change {
	if a.Is6() {
		host = "[" + host + "]"
	}
	return []Change{{"net-allow", host + ":" + port}}
}

// placeText returns the position of a rule in parentheses, or "".
func placeText(at policy.Pos) string {
	if text := at.Short(); text != "" {
		return " (" + text + ")"
	}
	return ""
}

// endpoint asks the rules of an allow-list, in the same way as the kernel, the name server and the relay do during a
// run. a is valid if host is an address.
func (q *Query) endpoint(r *Reason, a netip.Addr, host, port string) bool {
	c, net := q.comp, &q.comp.Profile.Network
	n, _ := strconv.ParseUint(port, 10, 16) // hostPort has checked it
	var v endpoint.Verdict
	if a.IsValid() {
		v = c.Egress.Rules.ByAddr(a, endpoint.TCP, uint16(n))
	} else {
		v = c.Egress.Rules.ByName(host, endpoint.TCP, uint16(n))
		r.Notes = append(r.Notes, "an address of the name that is private, or the host's own, needs a rule of its own besides")
	}
	switch {
	case v.Allowed:
		item := &net.Allow[v.Rule]
		return r.pass("net: network.allow " + strconv.Quote(item.Endpoint) + placeText(item.Pos))
	case v.Rule >= 0:
		item := &net.Deny[v.Rule]
		r.NoFlag = "no flag and no later profile takes away what network.deny names"
		return r.deny(string(policy.LayerNet), unix.ECONNREFUSED, "network.deny "+strconv.Quote(item.Endpoint)+" names it", item.Pos)
	case v.Block != "":
		r.Try, r.Grants = allowing(a, host, port), "this port of this address"
		return r.deny(string(policy.LayerNet), unix.ECONNREFUSED, host+" is "+v.Block+", which only a rule for its own range allows", c.Profile.Source("network"))
	}
	r.Try, r.Grants = allowing(a, host, port), "this port of this address"
	if a.IsValid() {
		r.Notes = append(r.Notes, "a run also allows an address that an allowed name has led to")
		return r.deny(string(policy.LayerNet), unix.ECONNREFUSED, "no rule of network.allow covers "+host+" port "+port, c.Profile.Source("network"))
	}
	r.Grants = "this port of whatever the name leads to"
	return r.deny(string(policy.LayerNet), unix.ECONNREFUSED, "no rule of network.allow covers port "+port+" of "+host, c.Profile.Source("network"))
}

// sharingNet returns the changes that would give the sandbox the host's network. One of them removes sysfs mounts,
// because these need a network namespace of the sandbox's own.
func sharingNet(c *compile.Compilation) (try []Change) {
	for i := range c.Profile.Mounts {
		if m := &c.Profile.Mounts[i]; m.Kind == policy.MountSysfs {
			try = append(try, Change{"remove", "mounts=" + m.Target})
		}
	}
	return append(try, Change{"net", "host"})
}
