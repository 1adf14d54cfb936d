package endpoint

import (
	"net/netip"
	"slices"
	"strings"
)

// Policy is what a network section allows and denies. A denial wins over every permission.
type Policy struct{ Allow, Deny []Rule }

// Verdict is the answer to a question about a flow (a connection or a packet). Rule is the index of the rule that
// decides, in Allow or Deny; it is -1 if no rule matches.
type Verdict struct {
	Allowed bool
	Rule    int
	Block   string // why only a rule for this very block covers the address: "a private address"; otherwise ""
}

// denied is the verdict if no rule matches.
var denied = Verdict{Rule: -1}

// Matches reports whether a rule is about a protocol and a port.
func (r *Rule) Matches(proto Proto, port uint16) bool {
	return r.Proto&proto != 0 && slices.ContainsFunc(r.Ports, func(p Ports) bool { return p.First <= port && port <= p.Last })
}

// Names reports whether a rule is about a name. The name is in lower case, without a dot at its end.
func (r *Rule) Names(name string) bool {
	switch r.Kind {
	case Any:
		return true
	case Name:
		return r.Host == name
	case Wild:
		return r.Host == "" || len(name) > len(r.Host)+1 && strings.HasSuffix(name, r.Host) && name[len(name)-len(r.Host)-1] == '.'
	}
	return false
}

// Covers reports whether a rule is about an address. Blocks of private or special addresses are exceptions: a rule of
// the kind Any, or a range wider than such a block, does not cover the block's addresses. See Special.
func (r *Rule) Covers(a netip.Addr) bool {
	a = a.Unmap()
	b := blockOf(a)
	switch r.Kind {
	case Any:
		return b == nil
	case Range:
		return r.Prefix.Contains(a) && (b == nil || r.Prefix.Bits() >= int(b.bits))
	}
	return false
}

// reaches does the same as Covers for a rule of Deny. Such a rule also covers the special blocks within its range.
func (r *Rule) reaches(a netip.Addr) bool {
	return r.Kind == Any || r.Kind == Range && r.Prefix.Contains(a.Unmap())
}

// ByName decides about a port of a name.
func (p *Policy) ByName(name string, proto Proto, port uint16) Verdict {
	for i := range p.Deny {
		if r := &p.Deny[i]; r.Names(name) && r.Matches(proto, port) {
			return Verdict{Rule: i}
		}
	}
	for i := range p.Allow {
		if r := &p.Allow[i]; r.Names(name) && r.Matches(proto, port) {
			return Verdict{Allowed: true, Rule: i}
		}
	}
	return denied
}

// Resolves decides whether the name server may look up a name. It may if a rule allows a port of the name that no rule
// denies. If the answer is no because of a rule of Deny, Rule is the index of that rule; otherwise it is -1.
func (p *Policy) Resolves(name string) Verdict {
	for i := range p.Allow {
		r := &p.Allow[i]
		if r.Names(name) && !p.deniesAll(name, r) {
			return Verdict{Allowed: true, Rule: i}
		}
	}
	for i := range p.Deny {
		if p.Deny[i].Names(name) {
			return Verdict{Rule: i}
		}
	}
	return denied
}

// deniesAll reports whether rules of Deny forbid all ports that a rule of Allow allows.
func (p *Policy) deniesAll(name string, allow *Rule) bool {
	for _, proto := range [...]Proto{TCP, UDP} {
		if allow.Proto&proto == 0 {
			continue
		}
		for _, ports := range allow.Ports {
			for port := int(ports.First); port <= int(ports.Last); {
				next := p.deniedUpTo(name, proto, port)
				if next < port {
					return false
				}
				port = next + 1
			}
		}
	}
	return true
}

// deniedUpTo returns the last port of the range of denied ports that begins at port. If port itself is not denied, it
// returns port-1.
func (p *Policy) deniedUpTo(name string, proto Proto, port int) int {
	last := port - 1
	for i := range p.Deny {
		r := &p.Deny[i]
		if !r.Names(name) || r.Proto&proto == 0 {
			continue
		}
		for _, x := range r.Ports {
			if int(x.First) <= port && port <= int(x.Last) {
				last = max(last, int(x.Last))
			}
		}
	}
	return last
}

// ByAddr decides about a port of an address, by the ranges alone.
func (p *Policy) ByAddr(a netip.Addr, proto Proto, port uint16) Verdict {
	a = a.Unmap()
	for i := range p.Deny {
		if r := &p.Deny[i]; r.reaches(a) && r.Matches(proto, port) {
			return Verdict{Rule: i}
		}
	}
	for i := range p.Allow {
		if r := &p.Allow[i]; r.Covers(a) && r.Matches(proto, port) {
			return Verdict{Allowed: true, Rule: i}
		}
	}
	v := denied
	v.Block = Special(a)
	return v
}

// Flow decides about a connection to an address for which the name server has returned these names. The second result
// is the name that decides, or "".
func (p *Policy) Flow(a netip.Addr, names []string, proto Proto, port uint16) (Verdict, string) {
	v := p.ByAddr(a, proto, port)
	if v.Allowed || v.Rule >= 0 || v.Block != "" {
		return v, ""
	}
	for _, name := range names {
		if v := p.ByName(name, proto, port); v.Allowed {
			return v, name
		}
	}
	if len(names) == 0 {
		return v, ""
	}
	return p.ByName(names[0], proto, port), names[0]
}

// block is a range of special addresses. Only a rule whose range lies within the block covers them.
type block struct {
	addr  [16]byte
	bits  uint8 // of the 128, or of the 32 if four is true
	four  bool
	what  string
	never string // why no rule may name the block; "" if rules may
}

const (
	ownLoopback = "the sandbox's own loopback, which needs no rule"
	noHost      = "no host"
	noGroup     = "a multicast group, which cordon does not relay"
)

// blocks lists the special-purpose addresses of RFC 6890, and the addresses at which machines in a cloud ask about
// themselves.
var blocks = [...]block{
	{addr: [16]byte{0}, bits: 8, four: true, what: "an address of this host", never: noHost},
	{addr: [16]byte{10}, bits: 8, four: true, what: "a private address"},
	{addr: [16]byte{100, 64}, bits: 10, four: true, what: "an address shared behind a carrier"},
	{addr: [16]byte{127}, bits: 8, four: true, what: "a loopback address", never: ownLoopback},
	{addr: [16]byte{168, 63, 129, 16}, bits: 32, four: true, what: "the address of a cloud's metadata service"},
	{addr: [16]byte{169, 254, 169, 254}, bits: 32, four: true, what: "the address of a cloud's metadata service"},
	{addr: [16]byte{169, 254}, bits: 16, four: true, what: "a link-local address"},
	{addr: [16]byte{172, 16}, bits: 12, four: true, what: "a private address"},
	{addr: [16]byte{192, 0, 0}, bits: 24, four: true, what: "an address for protocols"},
	{addr: [16]byte{192, 168}, bits: 16, four: true, what: "a private address"},
	{addr: [16]byte{198, 18}, bits: 15, four: true, what: "an address for tests of networks"},
	{addr: [16]byte{224}, bits: 4, four: true, what: "a multicast address", never: noGroup},
	{addr: [16]byte{240}, bits: 4, four: true, what: "a reserved address", never: noHost},
	{bits: 128, what: "the unspecified address", never: noHost},
	{addr: [16]byte{15: 1}, bits: 128, what: "the loopback address", never: ownLoopback},
	{bits: 96, what: "an IPv4 address in the form of IPv6", never: noHost},
	{addr: [16]byte{0, 0x64, 0xff, 0x9b}, bits: 96, what: "an IPv4 address behind a translator"},
	{addr: [16]byte{0, 0x64, 0xff, 0x9b, 0, 1}, bits: 48, what: "an IPv4 address behind a translator"},
	{addr: [16]byte{0x20, 1}, bits: 32, what: "an IPv4 address in a tunnel"},
	{addr: [16]byte{0x20, 2}, bits: 16, what: "an IPv4 address in a tunnel"},
	{addr: [16]byte{0xfc}, bits: 7, what: "a private address"},
	{addr: [16]byte{0xfe, 0x80}, bits: 10, what: "a link-local address"},
	{addr: [16]byte{0xfe, 0xc0}, bits: 10, what: "a private address"},
	{addr: [16]byte{0xff}, bits: 8, what: "a multicast address", never: noGroup},
}

// prefix returns the block as a range.
func (b *block) prefix() netip.Prefix {
	if b.four {
		return netip.PrefixFrom(netip.AddrFrom4([4]byte(b.addr[:4])), int(b.bits))
	}
	return netip.PrefixFrom(netip.AddrFrom16(b.addr), int(b.bits))
}

func blockOf(a netip.Addr) *block {
	for i := range blocks {
		if blocks[i].prefix().Contains(a) {
			return &blocks[i]
		}
	}
	return nil
}

// Special describes an address that only a rule for its own block covers: "a private address". It returns "" for a
// public address.
func Special(a netip.Addr) string {
	if b := blockOf(a.Unmap()); b != nil {
		return b.what
	}
	return ""
}

// SpecialRanges lists the blocks, of IPv4 or of IPv6.
func SpecialRanges(four bool) (list []netip.Prefix) {
	for i := range blocks {
		if blocks[i].four == four {
			list = append(list, blocks[i].prefix())
		}
	}
	return list
}

// Named reports whether the range of a rule lies within a block of private or special addresses, so that the rule
// covers these.
func (r *Rule) Named() bool {
	if r.Kind != Range {
		return false
	}
	b := blockOf(r.Prefix.Addr())
	return b != nil && r.Prefix.Bits() >= int(b.bits)
}

// Reaches reports whether a block of special addresses lies within a rule of Allow that does not cover it.
func (p *Policy) Reaches(block netip.Prefix) bool {
	return slices.ContainsFunc(p.Allow, func(r Rule) bool {
		return r.Kind == Any || r.Kind == Range && !r.Named() && r.Prefix.Overlaps(block)
	})
}

// Exactly reports whether a rule allows a port of exactly this address, and not only of a range that contains it.
func (p *Policy) Exactly(a netip.Addr, proto Proto, port uint16) bool {
	return slices.ContainsFunc(p.Allow, func(r Rule) bool {
		return r.Kind == Range && r.Prefix.IsSingleIP() && r.Prefix.Contains(a.Unmap()) && r.Matches(proto, port)
	})
}

// Raw returns a range as its first address, in 4 or 16 bytes, and the number of bits that all its addresses share.
func Raw(p netip.Prefix) (addr string, bits int) { return string(p.Addr().AsSlice()), p.Bits() }
