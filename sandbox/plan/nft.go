package plan

// This file makes the messages of nf_tables: nft(8), linux/netfilter/nf_tables.h. All messages go into one batch, which
// the kernel carries out as a whole or not at all.

import (
	"encoding/binary"
	"strings"
)

// NftTable is the table of a sandbox's network. Its family is inet, which means both IPv4 and IPv6.
const NftTable = "cordon"

const (
	nftSubsys           = 10 << 8
	nftNewTable         = nftSubsys
	nftNewChain         = nftSubsys | 3
	nftGetChain         = nftSubsys | 4
	nftNewRule          = nftSubsys | 6
	nftGetRule          = nftSubsys | 7
	nftNewSet           = nftSubsys | 9
	nftNewElem          = nftSubsys | 12
	nftGetElem          = nftSubsys | 13
	nftDelElem          = nftSubsys | 14
	batchBegin          = 0x10
	batchEnd            = 0x11
	familyInet          = 1
	listElem            = 1
	dataValue           = 1
	dataVerdict         = 2
	nftReg1             = 1 // 16 bytes: the same memory as the registers 8 to 11, of 4 bytes
	nftReg32            = 8
	baseNetwork         = 1
	baseTransport       = 2
	verdictAccept       = 1
	verdictJump         = -3
	setDynamic          = 0x20
	metaOifname         = 7
	metaNfproto         = 15
	metaL4proto         = 16
	rejectReset         = 1
	rejectICMPX         = 2
	icmpxNoRoute        = 0
	icmpxAdmin          = 3
	cmpEQ, cmpNE        = 0, 1
	cmpLTE, cmpGTE      = 3, 5
	tcpSyn, tcpSynAck   = 2, 18
	protoTCP, protoUDP  = 6, 17
	nfIPv4, nfIPv6      = 2, 10
	typeProto, typeIPv4 = 12, 7
	typeIPv6, typePort  = 8, 13
)

// exprField is the name of the expression that loads a field of the packet into a register.
const exprField = "pay" + "load"

func nft(typ, flags uint16, seq uint32) *message {
	return begin(typ, flagRequest|flags, seq).raw(familyInet, 0, 0, 0)
}

// NftBatch puts messages into a batch. The kernel answers only the last message, and every message that it refuses. If
// it answered all of them, the answers would not fit into the socket.
func NftBatch(seq uint32, messages []string) string {
	edge := func(typ uint16) string { return begin(typ, flagRequest, seq).raw(0, 0, 0, nftSubsys>>8).end() }
	last := []byte(messages[len(messages)-1])
	flags := binary.NativeEndian.Uint16(last[6:])
	binary.NativeEndian.PutUint16(last[6:], flags|flagAck)
	return edge(batchBegin) + strings.Join(messages[:len(messages)-1], "") + string(last) + edge(batchEnd)
}

// NftAddTable returns the message that makes the table.
func NftAddTable(seq uint32) string {
	return nft(nftNewTable, flagCreate, seq).str(1, NftTable).be32(2, 0).end()
}

// Hook says where the kernel enters a chain. The zero Hook belongs to a chain that only rules enter.
type Hook struct {
	Num      uint32 // NF_INET_*
	Priority int32
	Set      bool
	Drop     bool // the policy of the chain
}

// These are the hooks that a plan uses.
const (
	HookPrerouting = 0
	HookOutput     = 3
)

// NftAddChain returns the message that makes a chain.
func NftAddChain(seq uint32, name string, h Hook) string {
	m := nft(nftNewChain, flagCreate, seq).str(1, NftTable).str(3, name)
	if h.Set {
		m.nest(4, func() { m.be32(1, h.Num).be32(2, uint32(h.Priority)) })
		policy := uint32(1)
		if h.Drop {
			policy = 0
		}
		m.be32(5, policy).str(7, "filter")
	}
	return m.end()
}

// NftAddSet returns the message that makes a set of addresses, which the launcher fills. If flows is true, an element
// also has the protocol before the address and the port after it, and rules fill the set.
func NftAddSet(seq, id uint32, name string, four, flows bool, size uint32) string {
	typ, length, flags := uint32(typeIPv6), uint32(16), uint32(0)
	if four {
		typ, length = typeIPv4, 4
	}
	if flows {
		typ, length, flags = typeProto<<12|typ<<6|typePort, length+8, setDynamic
	}
	m := nft(nftNewSet, flagCreate, seq).str(1, NftTable).str(2, name).be32(3, flags).be32(4, typ).be32(5, length)
	return m.nest(9, func() { m.be32(1, size) }).be32(10, id).end()
}

// NftAddRule returns the message that appends a rule to a chain. If all expressions before the last one match, the rule
// does what its last expression says.
func NftAddRule(seq uint32, chain string, exprs ...string) string {
	m := nft(nftNewRule, flagCreate|flagApp, seq).str(1, NftTable).str(2, chain)
	return m.nest(4, func() {
		for _, e := range exprs {
			m.b = append(m.b, e...)
		}
	}).end()
}

// NftElem returns the message that adds an address of 4 or 16 bytes to a set, or deletes it.
func NftElem(seq uint32, set, addr string, add bool) string {
	typ, flags := uint16(nftNewElem), uint16(flagCreate)
	if !add {
		typ, flags = nftDelElem, 0
	}
	m := nft(typ, flags, seq).str(1, NftTable).str(2, set)
	return m.nest(3, func() { m.nest(listElem, func() { m.nest(1, func() { m.attr(dataValue, addr) }) }) }).end()
}

// NftDump returns the message that asks for all chains, for all rules, or for the elements of a set.
func NftDump(seq uint32, what string, set string) string {
	typ := map[string]uint16{"chains": nftGetChain, "rules": nftGetRule, "elements": nftGetElem}[what]
	m := nft(typ, flagDump, seq)
	if what != "chains" {
		m.str(1, NftTable)
	}
	if set != "" {
		m.str(2, set)
	}
	return m.end()
}

// expr returns one or more expressions of a rule.
func expr(name string, f func(m *message)) string {
	m := &message{}
	m.nest(listElem, func() { m.str(1, name).nest(2, func() { f(m) }) })
	return string(m.b)
}

func meta(key, reg uint32) string {
	return expr("meta", func(m *message) { m.be32(2, key).be32(1, reg) })
}

// field returns the expression that loads a field of the packet into a register.
func field(reg, base, offset, length uint32) string {
	return expr(exprField, func(m *message) { m.be32(1, reg).be32(2, base).be32(3, offset).be32(4, length) })
}

func cmp(op uint32, data string) string {
	return expr("cmp", func(m *message) { m.be32(1, nftReg1).be32(2, op).nest(3, func() { m.attr(dataValue, data) }) })
}

func masked(mask string) string {
	return expr("bitwise", func(m *message) {
		m.be32(1, nftReg1).be32(2, nftReg1).be32(3, uint32(len(mask)))
		m.nest(4, func() { m.attr(dataValue, mask) }).nest(5, func() { m.attr(dataValue, string(make([]byte, len(mask)))) })
	})
}

func verdict(code int32, chain string) string {
	return expr("immediate", func(m *message) {
		m.be32(1, 0).nest(2, func() {
			m.nest(dataVerdict, func() {
				if m.be32(1, uint32(code)); chain != "" {
					m.str(2, chain)
				}
			})
		})
	})
}

// NftAccept returns the expression that lets a packet pass.
func NftAccept() string { return verdict(verdictAccept, "") }

// NftJump returns the expression that continues with the rules of another chain.
func NftJump(chain string) string { return verdict(verdictJump, chain) }

// NftNotTo returns the expression that matches packets that leave by another device than the given one.
func NftNotTo(device string) string {
	name := make([]byte, 16)
	copy(name, device)
	return meta(metaOifname, nftReg1) + cmp(cmpNE, string(name))
}

// NftFamily returns the expression that matches packets of IPv4, or of IPv6.
func NftFamily(four bool) string {
	if four {
		return meta(metaNfproto, nftReg1) + cmp(cmpEQ, string(rune(nfIPv4)))
	}
	return meta(metaNfproto, nftReg1) + cmp(cmpEQ, string(rune(nfIPv6)))
}

// NftTCP returns the expression that matches packets of TCP.
func NftTCP() string { return meta(metaL4proto, nftReg1) + cmp(cmpEQ, string(rune(protoTCP))) }

// NftNotTCP returns the expression that matches packets that are not of TCP.
func NftNotTCP() string { return meta(metaL4proto, nftReg1) + cmp(cmpNE, string(rune(protoTCP))) }

// NftUDP returns the expression that matches packets of UDP.
func NftUDP() string { return meta(metaL4proto, nftReg1) + cmp(cmpEQ, string(rune(protoUDP))) }

// NftFirst returns the expression that matches the first packet of a TCP connection, by its flags.
func NftFirst() string { return tcpFlags(cmpEQ) }

// NftNotFirst returns the expression that matches all packets of a TCP connection after the first.
func NftNotFirst() string { return tcpFlags(cmpNE) }

func tcpFlags(op uint32) string {
	return field(nftReg1, baseTransport, 13, 1) + masked(string(rune(tcpSynAck))) + cmp(op, string(rune(tcpSyn)))
}

// NftPorts returns the expression that matches packets to ports from first to last. If these are all ports, it returns
// nothing.
func NftPorts(first, last uint16) string {
	port := func(p uint16) string { return string([]byte{byte(p >> 8), byte(p)}) }
	load := field(nftReg1, baseTransport, 2, 2)
	switch {
	case first <= 1 && last == 65535:
		return ""
	case first == last:
		return load + cmp(cmpEQ, port(first))
	}
	return load + cmp(cmpGTE, port(first)) + cmp(cmpLTE, port(last))
}

func destination(four bool) string {
	if four {
		return field(nftReg1, baseNetwork, 16, 4)
	}
	return field(nftReg1, baseNetwork, 24, 16)
}

// NftTo returns the expression that matches packets to addresses of which the first bits are those of addr. addr has 4
// or 16 bytes.
func NftTo(addr string, bits int) string {
	match := NftFamily(len(addr) == 4)
	if bits == 0 {
		return match
	}
	match += destination(len(addr) == 4)
	if bits < 8*len(addr) {
		mask := make([]byte, len(addr))
		for i := range bits {
			mask[i/8] |= 0x80 >> (i % 8)
		}
		match += masked(string(mask))
	}
	return match + cmp(cmpEQ, addr)
}

// NftToSet returns the expression that matches packets to the addresses of a set.
func NftToSet(set string, four bool) string {
	return NftFamily(four) + destination(four) + expr("lookup", func(m *message) { m.str(1, set).be32(2, nftReg1) })
}

// NftRemember returns the expression that adds the flow of a TCP or UDP packet to a set. If the set is full, the rule
// ends.
func NftRemember(set string, four bool) string {
	address, port := field(nftReg32+1, baseNetwork, 16, 4), uint32(nftReg32+2)
	if !four {
		address, port = field(nftReg32+1, baseNetwork, 24, 16), nftReg32+5
	}
	return NftFamily(four) + meta(metaL4proto, nftReg32) + address + field(port, baseTransport, 2, 2) +
		expr("dynset", func(m *message) { m.str(1, set).be32(3, 0).be32(4, nftReg32) })
}

// NftProhibit returns the expression that refuses a packet as an administrator's rule would. The program gets
// EHOSTUNREACH, with IPv6 EACCES, or EPERM.
func NftProhibit() string { return reject(rejectICMPX, icmpxAdmin) }

// NftNoRoute returns the expression that refuses a packet as if there were no route. The program gets ENETUNREACH.
func NftNoRoute() string { return reject(rejectICMPX, icmpxNoRoute) }

// NftReset returns the expression that refuses a TCP connection as a host without a listener would. The program gets
// ECONNREFUSED. The kernel sends any number of resets, but only a thousand ICMP errors a second.
func NftReset() string { return reject(rejectReset, 0) }

func reject(typ uint32, code byte) string {
	return expr("reject", func(m *message) { m.be32(1, typ).attr(2, string(rune(code))) })
}

// NftProxy returns the expression that hands the first packet of a connection to the socket that listens at a port of
// the sandbox: TPROXY. both is false on a machine without IPv6.
func NftProxy(port uint16, both bool) string {
	family := uint32(0)
	if !both {
		family = nfIPv4
	}
	return expr("immediate", func(m *message) {
		m.be32(1, nftReg1).nest(2, func() { m.attr(dataValue, string(binary.BigEndian.AppendUint16(nil, port))) })
	}) + expr("tproxy", func(m *message) { m.be32(1, family).be32(3, nftReg1) })
}
