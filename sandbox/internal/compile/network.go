package compile

// This file plans the network: netdevice(7), rtnetlink(7), nft(8). With an allow-list the sandbox has a network of its
// own in which every address is local (ip-route(8), local). If no rule allows a connection, the kernel refuses it at
// once. The kernel hands every other connection to a socket on which the launcher accepts connections (TPROXY). The
// launcher decides about the connection once more before it connects from the host's network: package egress. No packet
// of the sandbox has a way out.

import (
	"errors"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"

	"cordon/policy"
	"cordon/policy/endpoint"
	"cordon/sandbox/internal/fail"
	"cordon/sandbox/plan"
)

// Each constant marks a message by which the child hands the launcher a descriptor of the sandbox's network.
const (
	MsgRoute  = 'r' // the socket of rtnetlink, with the kernel's answers
	MsgNft    = 'f' // the socket of netfilter, with the kernel's answers
	MsgRelay  = 'y' // the socket at which connections arrive
	MsgNaming = 'd' // the socket at which questions for names arrive
	MsgSeed   = 'm' // the socket from which the launcher makes others in the sandbox's network
)

// These are the ports of the sandbox at which the launcher's sockets receive connections and questions.
const (
	relayPort  = 1
	namingPort = 53
)

// MostNames is how many addresses a set of names holds, and mostFlows how many flows the set of refused flows holds.
const (
	MostNames = 4096
	mostFlows = 256
)

// These are the sandbox's own addresses.
var (
	ownIPv4 = [4]byte{10, 200, 0, 2}
	ownIPv6 = [16]byte{0xfd, 0x63, 0x6f, 0x72, 0x64, 0x6f, 0x6e, 15: 2}
)

// Egress is what the launcher must know of a network with an allow-list.
type Egress struct {
	Rules *endpoint.Policy
	Six   bool        // the network has IPv6
	Sent  []Sent      // the messages, by number
	Want  []string    // the chains and rules, as the kernel must show them
	Sets  []NameSet   // the sets of addresses of names
	Own   [2][16]byte // the sandbox's addresses, in the form of IPv6; the second is zero without IPv6
	seq   uint32
}

// Sent is a message of netlink.
type Sent struct {
	Seq   uint32
	Step  int
	Text  string
	OneOf bool // it is enough that one of these messages succeeds
}

// NameSet is a set of addresses. It holds the addresses of all names that the profile allows for the same ports.
type NameSet struct {
	Ports      endpoint.Ports
	IPv4, IPv6 string // names of sets; IPv6 is "" without IPv6
}

// Network makes the network namespace and brings its loopback up. clone3 could make the namespace too, but the kernel
// needs a quarter of the time of a launch for it, and the launcher would have to wait for clone3.
func (c *Compilation) Network() error {
	if c.made&unix.CLONE_NEWNET == 0 {
		if c.Profile.Network.Mode == policy.NetworkAllow { // never silently the host's network
			return &fail.Error{Op: "network", Err: errors.New("an allow-list needs a network namespace of the sandbox's own"), From: c.Where("network")}
		}
		return nil
	}
	c.OwnNet = true
	socket := plan.R(plan.Socket)
	c.do(c.scalar("network"),
		plan.UnshareStep(unix.CLONE_NEWNET),
		plan.SocketStep(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0).Into(plan.Socket),
		plan.SetLinkFlags(socket, "lo", unix.IFF_UP),
		plan.CloseStep(socket))
	if c.Profile.Network.Mode != policy.NetworkAllow {
		return nil
	}
	return c.egress()
}

// egress plans the network of an allow-list.
func (c *Compilation) egress() error {
	e := &Egress{Rules: c.Profile.Network.Rules()}
	// The file exists if the kernel has IPv6, even in a namespace that does not use IPv6.
	_, err := c.launcherFiles().Lstat("/proc/net/if_inet6")
	e.Six = err == nil
	e.Own[0] = [16]byte{10: 0xff, 11: 0xff, 12: ownIPv4[0], 13: ownIPv4[1], 14: ownIPv4[2], 15: ownIPv4[3]}
	if e.Six {
		e.Own[1] = ownIPv6
	}
	c.Egress = e
	c.addresses(e)
	c.nft(e)
	c.sockets(e)
	return nil
}

// CheckSupport refuses what no layer can enforce: rules for protocols that the launcher does not relay.
func (c *Compilation) CheckSupport() error {
	list := c.Profile.Network.Allow
	for i := range list {
		if r, _ := endpoint.ParseAllow(list[i].Endpoint); r.Proto&endpoint.UDP != 0 {
			return &fail.UnsupportedError{Layer: policy.LayerNet, From: list[i].Pos.Short(),
				Why:    "network.allow: " + strconv.Quote(list[i].Endpoint) + ": cordon relays connections of TCP, and no datagrams but questions for names",
				Remedy: "leave the rule out; a program that prefers UDP mostly does without, as HTTP/3 does"}
		}
	}
	return nil
}

// next returns a number for a message.
func (e *Egress) next() uint32 { e.seq++; return e.seq }

// addresses makes eth0 and its addresses, and makes every other address a local one too. The routes have a source
// address. Without it a connection would have the same address at both ends, and a refusal would not reach the program.
func (c *Compilation) addresses(e *Egress) {
	from := c.scalar("network")
	fd := plan.R(plan.Socket)
	c.do(from, plan.NetlinkSocket(plan.NetlinkRoute).Into(plan.Socket))
	send := func(oneOf bool, message string, seq uint32) {
		e.Sent = append(e.Sent, Sent{Seq: seq, Step: len(c.Plan.Steps), Text: plan.NetlinkText(message)[0], OneOf: oneOf})
		c.do(from, plan.SendNetlink(fd, message))
	}
	link := uint32(plan.Loopback)
	if c.Profile.Network.Interface == policy.InterfaceEth0 {
		link = plan.Eth0
		// A kernel may lack some kinds of interface. The first kind that the kernel knows becomes eth0. The later
		// messages fail because eth0 exists, and do no harm.
		for _, kind := range [...]string{"dummy", "ifb", "veth"} {
			seq := e.next()
			send(true, plan.AddLink(seq, kind), seq)
		}
	}
	for _, addr := range e.own() {
		seq := e.next()
		send(false, plan.AddAddr(seq, link, addr), seq)
		seq = e.next()
		send(false, plan.AddLocalRoute(seq, addr), seq)
	}
	c.do(from, plan.SendKept(plan.F(FileSync), MsgRoute, plan.Socket), plan.CloseStep(fd))
}

// own lists the sandbox's addresses. An IPv4 address has 4 bytes, and an IPv6 address has 16.
func (e *Egress) own() []string {
	list := []string{string(ownIPv4[:])}
	if e.Six {
		list = append(list, string(ownIPv6[:]))
	}
	return list
}

// batch is the part of the netfilter rules that is being planned, and that one message will carry.
type batch struct {
	c    *Compilation
	e    *Egress
	list []string
}

func (b *batch) add(message string) { b.list = append(b.list, message) }

// rule appends a rule to a chain.
func (b *batch) rule(chain string, exprs ...string) {
	b.add(plan.NftAddRule(b.e.next(), chain, exprs...))
}

// send appends the step that sends the batch.
func (b *batch) send(from plan.From) {
	if len(b.list) == 0 {
		return
	}
	for _, m := range b.list {
		text := plan.NetlinkText(m)[0]
		b.e.Want = append(b.e.Want, text)
		plan.EachMessage([]byte(m), func(_ uint16, seq uint32, _ []byte) {
			b.e.Sent = append(b.e.Sent, Sent{Seq: seq, Step: len(b.c.Plan.Steps), Text: text})
		})
	}
	b.c.do(from, plan.SendNetlink(plan.R(plan.Socket), plan.NftBatch(b.e.next(), b.list)))
	b.list = nil
}

// These are the names of the chains and sets.
const (
	chainIn     = "prerouting"
	chainOut    = "output"
	chainRefuse = "refuse"
	SetRefused4 = "refused4"
	SetRefused6 = "refused6"
)

// nft plans the rules of netfilter.
func (c *Compilation) nft(e *Egress) {
	b := &batch{c: c, e: e}
	from := c.scalar("network")
	c.do(from, plan.NetlinkSocket(plan.NetlinkNetfilter).Into(plan.Socket))
	b.base()
	b.send(from)
	n := &c.Profile.Network
	b.items("network.deny", n.Deny, func(i int) { b.deny(&e.Rules.Deny[i]) })
	named := func(i int) {
		if r := &e.Rules.Allow[i]; r.Named() {
			b.allow(r)
		}
	}
	b.items("network.allow", n.Allow, named)
	for _, four := range e.families() {
		// A rule that is wider than a block of special addresses would let the kernel pass these addresses too.
		for _, r := range endpoint.SpecialRanges(four) {
			if e.Rules.Reaches(r) {
				b.rule(chainOut, plan.NftTo(endpoint.Raw(r)), plan.NftJump(chainRefuse))
			}
		}
	}
	b.send(from)
	b.items("network.allow", n.Allow, func(i int) {
		if r := &e.Rules.Allow[i]; !r.Named() {
			b.allow(r)
		}
	})
	b.rule(chainOut, plan.NftJump(chainRefuse))
	b.send(from)
	c.do(from, plan.SendKept(plan.F(FileSync), MsgNft, plan.Socket), plan.CloseStep(plan.R(plan.Socket)))
}

// families lists the address families of the network. An entry is true for IPv4, and false for IPv6.
func (e *Egress) families() []bool {
	if e.Six {
		return []bool{true, false}
	}
	return []bool{true}
}

// to returns the expression that matches packets to the addresses of a rule.
func to(r *endpoint.Rule) string { return plan.NftTo(endpoint.Raw(r.Prefix)) }

// has reports whether the network has the address family of a rule's addresses.
func (e *Egress) has(r *endpoint.Rule) bool { return e.Six || r.Prefix.Addr().Is4() }

// base plans the table, its sets and chains, and the rules that hold for every profile.
func (b *batch) base() {
	e := b.e
	b.add(plan.NftAddTable(e.next()))
	for _, four := range e.families() {
		name := SetRefused6
		if four {
			name = SetRefused4
		}
		b.set(name, four, true, mostFlows)
	}
	b.nameSets()
	b.add(plan.NftAddChain(e.next(), chainIn, plan.Hook{Num: plan.HookPrerouting, Priority: -150, Set: true}))
	b.add(plan.NftAddChain(e.next(), chainOut, plan.Hook{Num: plan.HookOutput, Set: true, Drop: true}))
	b.add(plan.NftAddChain(e.next(), chainRefuse, plan.Hook{}))
	// Packets to the sandbox itself are packets of its own loopback, and answers to its connections.
	for _, chain := range [...]string{chainIn, chainOut} {
		if chain == chainOut {
			// A program can force packets through eth0 (SO_BINDTODEVICE). Nobody is at the other end of eth0.
			b.rule(chain, plan.NftNotTo("lo"), plan.NftNoRoute())
		}
		b.rule(chain, plan.NftTo("\x7f\x00\x00\x00", 8), plan.NftAccept())
		if e.Six {
			b.rule(chain, plan.NftTo(string(append(make([]byte, 15), 1)), 128), plan.NftAccept())
		}
		for _, addr := range e.own() {
			b.rule(chain, plan.NftTo(addr, 8*len(addr)), plan.NftAccept())
		}
	}
	b.rule(chainIn, plan.NftTCP(), plan.NftFirst(), plan.NftProxy(relayPort, e.Six), plan.NftAccept())
	// The first packet of a connection decides whether it is allowed. All later packets stay in this namespace, too.
	b.rule(chainOut, plan.NftTCP(), plan.NftNotFirst(), plan.NftAccept())
	b.rule(chainOut, plan.NftTCP(), plan.NftPorts(namingPort, namingPort), plan.NftAccept())
	b.rule(chainOut, plan.NftUDP(), plan.NftPorts(namingPort, namingPort), plan.NftAccept())
	b.rule(chainOut, plan.NftUDP(), plan.NftJump(chainRefuse))
	// Every address is a local one, so the kernel would answer a ping in the name of the internet.
	b.rule(chainOut, plan.NftNotTCP(), plan.NftProhibit())
	for _, four := range e.families() {
		name := SetRefused6
		if four {
			name = SetRefused4
		}
		b.rule(chainRefuse, plan.NftRemember(name, four))
	}
	b.rule(chainRefuse, plan.NftTCP(), plan.NftReset())
	b.rule(chainRefuse, plan.NftProhibit())
}

func (b *batch) set(name string, four, flows bool, size uint32) {
	id := b.e.next()
	b.add(plan.NftAddSet(id, id, name, four, flows, size))
}

// nameSets plans the sets of addresses for names: a set for each range of ports that the rules allow for some name. The
// name server fills the sets.
func (b *batch) nameSets() {
	e := b.e
	for i := range e.Rules.Allow {
		r := &e.Rules.Allow[i]
		if r.Kind != endpoint.Name && r.Kind != endpoint.Wild {
			continue
		}
		for _, ports := range r.Ports {
			if slices.ContainsFunc(e.Sets, func(s NameSet) bool { return s.Ports == ports }) {
				continue
			}
			n := strconv.Itoa(len(e.Sets))
			s := NameSet{Ports: ports, IPv4: "names4-" + n}
			b.set(s.IPv4, true, false, MostNames)
			if e.Six {
				s.IPv6 = "names6-" + n
				b.set(s.IPv6, false, false, MostNames)
			}
			e.Sets = append(e.Sets, s)
		}
	}
}

// mostBatches bounds the number of batches for a list, because the answers to all of them must fit into the socket.
const mostBatches = 50

// items plans the rules of a list. Each item of the list has a step of its own, unless there are very many items.
func (b *batch) items(section string, list []policy.NetworkItem, plan func(i int)) {
	several := len(list)/mostBatches + 1
	first := 0
	for i := range list {
		if len(b.list) == 0 {
			first = i
		}
		plan(i)
		if i-first+1 >= several || i == len(list)-1 {
			b.send(at(section, first, list[first].Pos))
		}
	}
}

// deny plans the rules of an item of network.deny. If the item is a name, the name server refuses the name, and deny
// plans nothing.
func (b *batch) deny(r *endpoint.Rule) {
	if r.Proto&endpoint.TCP == 0 || r.Kind != endpoint.Range && r.Kind != endpoint.Any {
		return
	}
	for _, p := range r.Ports {
		if r.Kind == endpoint.Any {
			b.rule(chainOut, plan.NftPorts(p.First, p.Last), plan.NftJump(chainRefuse))
		} else if b.e.has(r) {
			b.rule(chainOut, to(r), plan.NftPorts(p.First, p.Last), plan.NftJump(chainRefuse))
		}
	}
}

// allow plans the rules of an item of network.allow.
func (b *batch) allow(r *endpoint.Rule) {
	for _, p := range r.Ports {
		ports := plan.NftPorts(p.First, p.Last)
		switch {
		case r.Kind == endpoint.Any:
			b.rule(chainOut, ports, plan.NftAccept())
		case r.Kind != endpoint.Range:
			b.allowNames(p, ports)
		case b.e.has(r):
			b.rule(chainOut, to(r), ports, plan.NftAccept())
		}
	}
}

// allowNames plans the rule for a set of addresses of names, unless an earlier item has planned the same rule.
func (b *batch) allowNames(p endpoint.Ports, ports string) {
	i := slices.IndexFunc(b.e.Sets, func(s NameSet) bool { return s.Ports == p })
	s := &b.e.Sets[i]
	for _, four := range b.e.families() {
		name := s.IPv6
		if four {
			name = s.IPv4
		}
		rule := plan.NftAddRule(0, chainOut, plan.NftToSet(name, four), ports, plan.NftAccept())
		if text := plan.NetlinkText(rule)[0]; !slices.Contains(b.e.Want, text) {
			b.rule(chainOut, plan.NftToSet(name, four), ports, plan.NftAccept())
		}
	}
}

// sockets makes the launcher's sockets in the sandbox's network. The first socket gets connections to every address
// (IP_TRANSPARENT). The second gets questions for names to every server, because every address is local.
func (c *Compilation) sockets(e *Egress) {
	from := c.scalar("network")
	fd := plan.R(plan.Socket)
	domain := uint64(unix.AF_INET)
	if e.Six {
		domain = unix.AF_INET6
	}
	both := func() { // the sysctl net.ipv6.bindv6only may say otherwise
		if e.Six {
			c.do(from, plan.SetSocketOption(fd, unix.SOL_IPV6, unix.IPV6_V6ONLY, 0))
		}
	}
	c.do(from, plan.SocketStep(domain, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0).Into(plan.Socket))
	both()
	c.do(from, plan.SetSocketOption(fd, unix.SOL_IP, unix.IP_TRANSPARENT, 1))
	if e.Six {
		c.do(from, plan.SetSocketOption(fd, unix.SOL_IPV6, unix.IPV6_TRANSPARENT, 1))
	}
	c.do(from,
		plan.BindPort(fd, e.Six, relayPort),
		plan.ListenStep(fd, 1024),
		plan.SendKept(plan.F(FileSync), MsgRelay, plan.Socket),
		plan.CloseStep(fd),
		plan.SocketStep(domain, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0).Into(plan.Socket))
	both()
	if e.Six {
		c.do(from, plan.SetSocketOption(fd, unix.SOL_IPV6, unix.IPV6_RECVPKTINFO, 1))
	} else {
		c.do(from, plan.SetSocketOption(fd, unix.SOL_IP, unix.IP_PKTINFO, 1))
	}
	c.do(from,
		plan.BindPort(fd, e.Six, namingPort),
		plan.SendKept(plan.F(FileSync), MsgNaming, plan.Socket),
		plan.CloseStep(fd))
	if len(c.Profile.Network.Publish) > 0 {
		c.do(from,
			plan.SocketStep(domain, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0).Into(plan.Socket))
		both()
		c.do(from,
			plan.SendKept(plan.F(FileSync), MsgSeed, plan.Socket),
			plan.CloseStep(fd))
	}
}
