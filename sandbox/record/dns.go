package record

// This file finds names for addresses. It takes them from the answers that a recorded program has received from a name
// server: RFC 1035, RFC 3596. An answer may come from anyone. The recorder trusts an answer as much as the program
// does: it gives an address a name in the recording, and decides nothing by it.

import (
	"encoding/binary"
	"net/netip"
	"strings"
)

// These constants limit what is read of one answer.
const (
	dnsPort    = 53
	dnsHead    = 12
	maxAnswer  = 4096 // bytes that are parsed
	maxRecords = 256  // records that are parsed
	maxLookups = 1 << 14
)

// lookedUp is an address in an answer to a program.
type lookedUp struct {
	exe  int
	addr netip.Addr
}

// answered adds the addresses in an answer that a program has received to the recording.
func (g *gather) answered(exe int, message []byte) {
	name, addrs := parseAnswer(message)
	for _, a := range addrs {
		k := lookedUp{exe, a}
		if _, known := g.lookups[k]; !known && len(g.lookups) < maxLookups {
			g.lookups[k] = name
		}
	}
}

// namer returns a function that finds the name for an address: the name for which the same program has received the
// address. If that program has not received the address, but other programs have, the name is theirs, provided that all
// of them have received the address for the same name.
func (g *gather) namer() func(exe int, addr string) string {
	others := map[netip.Addr]string{}
	for k, name := range g.lookups {
		if other, known := others[k.addr]; known && other != name {
			name = ""
		}
		others[k.addr] = name
	}
	return func(exe int, addr string) string {
		a, err := netip.ParseAddr(addr)
		if err != nil {
			return ""
		}
		a = a.Unmap()
		if name, ok := g.lookups[lookedUp{exe, a}]; ok {
			return name
		}
		return others[a]
	}
}

// parseAnswer returns the addresses in the answer to a question about one name. It takes every A and AAAA record, even
// if it belongs to an alias of that name. For any other message it returns nothing.
func parseAnswer(m []byte) (name string, addrs []netip.Addr) {
	const response, opcode, rcode = 0x8000, 0x7800, 0x000f
	if len(m) < dnsHead {
		return "", nil
	}
	u16 := binary.BigEndian.Uint16
	if flags := u16(m[2:]); flags&response == 0 || flags&(opcode|rcode) != 0 || u16(m[4:]) != 1 {
		return "", nil
	}
	name, at := question(m)
	if name == "" {
		return "", nil
	}
	for range min(int(u16(m[6:])), maxRecords) {
		at = skipName(m, at)
		const fixed = 10 // type, class, time to live, length
		if at < 0 || at+fixed > len(m) {
			break // the message is cut off; the records so far count
		}
		kind, class, size := u16(m[at:]), u16(m[at+2:]), int(u16(m[at+8:]))
		at += fixed
		if at+size > len(m) {
			break
		}
		const typeA, typeAAAA, classIN = 1, 28, 1
		if a, ok := netip.AddrFromSlice(m[at : at+size]); ok && class == classIN && (kind == typeA && a.Is4() || kind == typeAAAA && a.Is6()) {
			addrs = append(addrs, a.Unmap())
		}
		at += size
	}
	return name, addrs
}

// question returns the name for which the program has asked, in lower case and without a final dot, and the offset of
// the answers. If the name is no valid host name, question returns "", because the name may be written into profiles.
func question(m []byte) (string, int) {
	var b strings.Builder
	at := dnsHead
	for at < len(m) && m[at] != 0 {
		n := int(m[at])
		if n > 63 || at+1+n > len(m) || b.Len()+n > 253 {
			return "", 0
		}
		for _, c := range m[at+1 : at+1+n] {
			switch {
			case 'A' <= c && c <= 'Z':
				c += 'a' - 'A'
			case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '-', c == '_':
			default:
				return "", 0
			}
			b.WriteByte(c)
		}
		b.WriteByte('.')
		at += 1 + n
	}
	return strings.TrimSuffix(b.String(), "."), at + 1 + 4 // type and class
}

// skipName returns the offset after a name. If the message ends within the name, it returns -1.
func skipName(m []byte, at int) int {
	for at >= 0 && at < len(m) {
		switch n := int(m[at]); {
		case n == 0:
			return at + 1
		case n >= 0xc0: // a pointer: the rest of the name is elsewhere in the message
			return at + 2
		case n > 63:
			return -1
		default:
			at += 1 + n
		}
	}
	return -1
}
