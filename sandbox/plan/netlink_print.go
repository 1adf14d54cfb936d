package plan

// This file prints netlink messages as ip(8) and nft(8) would write them. In this form the launcher compares the rules
// that the kernel has with the rules that the plan has sent.

import (
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"strconv"
	"strings"
)

// NetlinkText returns the commands to which messages correspond, in the order of the messages. It leaves out the
// messages' numbers.
func NetlinkText(messages string) (list []string) {
	EachMessage([]byte(messages), func(typ uint16, _ uint32, body []byte) {
		if text := messageText(typ, body); text != "" {
			list = append(list, text)
		}
	})
	return list
}

func messageText(typ uint16, body []byte) string {
	if typ>>8 == nftSubsys>>8 && len(body) >= 4 {
		return nftText(typ, attrs(body[4:]))
	}
	switch {
	case typ == newLink && len(body) >= 16:
		a := attrs(body[16:])
		return "ip link add " + cstr(a[3]) + " index " + strconv.Itoa(int(binary.NativeEndian.Uint32(body[4:]))) + " up type " + cstr(attrs(a[18])[1])
	case typ == newAddr && len(body) >= 8:
		a := attrs(body[8:])
		return "ip addr add " + address(a[2]) + "/" + strconv.Itoa(int(body[1])) + " dev " + strconv.Itoa(int(binary.NativeEndian.Uint32(body[4:]))) + " nodad"
	case typ == newRoute && len(body) >= 12:
		a := attrs(body[12:])
		return "ip route add local default dev " + strconv.Itoa(int(native(a[4]))) + " src " + address(a[7])
	}
	return ""
}

func nftText(typ uint16, a attributes) string {
	table := "inet " + cstr(a[1])
	switch typ {
	case nftNewTable:
		return "nft add table " + table
	case nftNewChain:
		text := "nft add chain " + table + " " + cstr(a[3])
		if h := attrs(a[4]); a[4] != nil {
			text += " { type " + cstr(a[7]) + " hook " + strconv.Itoa(int(number(h[1]))) + " priority " +
				strconv.Itoa(int(int32(number(h[2])))) + "; policy " + [...]string{"drop", "accept"}[number(a[5])&1] + "; }"
		}
		return text
	case nftNewSet:
		return "nft add set " + table + " " + cstr(a[2]) + " { size " + strconv.Itoa(int(number(attrs(a[9])[1]))) + "; }"
	case nftNewRule:
		return "nft add rule " + table + " " + cstr(a[2]) + " " + exprsText(a[4])
	case nftNewElem, nftDelElem:
		verb := "nft add element "
		if typ == nftDelElem {
			verb = "nft delete element "
		}
		return verb + table + " " + cstr(a[2])
	}
	return ""
}

// ruleText collects the text of a rule. field is the field that the last expression has loaded into a register.
type ruleText struct {
	out    []string
	fields []string
}

func exprsText(b []byte) string {
	var r ruleText
	eachAttr(b, func(_ uint16, data []byte) {
		a := attrs(data)
		r.add(cstr(a[1]), attrs(a[2]))
	})
	return strings.Join(r.out, " ")
}

func (r *ruleText) add(name string, a attributes) {
	field := ""
	if len(r.fields) > 0 {
		field = r.fields[len(r.fields)-1]
	}
	switch name {
	case "meta":
		r.fields = append(r.fields, word(number(a[2]), named{metaOifname, "oifname"}, named{metaNfproto, "meta nfproto"}, named{metaL4proto, "meta l4proto"}))
	case exprField:
		r.fields = append(r.fields, fieldText(number(a[2]), number(a[3]), number(a[4])))
	case "bitwise":
		r.fields = append(r.fields, field+" & "+valueText(field, attrs(a[4])[dataValue]))
	case "cmp":
		op := word(number(a[2]), named{cmpNE, "!= "}, named{cmpLTE, "<= "}, named{cmpGTE, ">= "})
		r.out = append(r.out, field+" "+op+valueText(field, attrs(a[3])[dataValue]))
		return // the value stays in the register
	case "lookup":
		r.out = append(r.out, field+" @"+cstr(a[1]))
	case "dynset":
		r.out = append(r.out, "add @"+cstr(a[1])+" { "+strings.Join(r.fields[max(0, len(r.fields)-3):], " . ")+" }")
	case "immediate":
		r.immediate(attrs(a[2]))
	case "reject":
		how := "tcp reset"
		if number(a[1]) == rejectICMPX {
			how = "icmpx no-route"
			if string(a[2]) == string(rune(icmpxAdmin)) {
				how = "icmpx admin-prohibited"
			}
		}
		r.out = append(r.out, "reject with "+how)
	case "tproxy":
		r.out = append(r.out, "tproxy"+word(number(a[1]), named{nfIPv4, " ip"})+" to :"+field)
	default:
		r.out = append(r.out, name)
	}
}

// immediate prints a verdict. If the expression sets a register, immediate remembers the value.
func (r *ruleText) immediate(data attributes) {
	if v := data[dataValue]; v != nil {
		r.fields = append(r.fields, valueText("th dport", v))
		return
	}
	v := attrs(data[dataVerdict])
	switch code := int32(number(v[1])); code {
	case verdictAccept:
		r.out = append(r.out, "accept")
	case verdictJump:
		r.out = append(r.out, "jump "+cstr(v[2]))
	default:
		r.out = append(r.out, "verdict "+strconv.Itoa(int(code)))
	}
}

func fieldText(base, offset, length uint32) string {
	switch [...]uint32{base, offset, length} {
	case [...]uint32{baseNetwork, 16, 4}:
		return "ip daddr"
	case [...]uint32{baseNetwork, 24, 16}:
		return "ip6 daddr"
	case [...]uint32{baseTransport, 2, 2}:
		return "th dport"
	case [...]uint32{baseTransport, 13, 1}:
		return "tcp flags"
	}
	return "@" + strconv.Itoa(int(base)) + "," + strconv.Itoa(int(8*offset)) + "," + strconv.Itoa(int(8*length))
}

// valueText prints a value that is compared with a field.
func valueText(field string, b []byte) string {
	field, _, _ = strings.Cut(field, " &")
	switch {
	case field == "oifname":
		return strconv.Quote(cstr(b))
	case strings.HasSuffix(field, "daddr"):
		return address(b)
	case field == "th dport" && len(b) >= 2:
		return strconv.Itoa(int(binary.BigEndian.Uint16(b)))
	case len(b) == 0:
		return "?"
	case field == "meta nfproto":
		return word(uint32(b[0]), named{nfIPv4, "ipv4"}, named{nfIPv6, "ipv6"})
	case field == "meta l4proto":
		return word(uint32(b[0]), named{protoTCP, "tcp"}, named{protoUDP, "udp"})
	}
	return "0x" + hex.EncodeToString(b)
}

// attributes holds the attributes of one message or attribute, by their types. It leaves out higher types, which
// nothing here needs.
type attributes [20][]byte

// attrs is called for every expression at every launch, so it uses no map and allocates nothing.
func attrs(b []byte) (a attributes) {
	eachAttr(b, func(typ uint16, data []byte) {
		if int(typ) < len(a) {
			a[typ] = data
		}
	})
	return a
}

// named is a number and the word for it.
type named struct {
	number uint32
	word   string
}

// word returns the word for a number, or "" if there is none.
func word(n uint32, list ...named) string {
	for _, x := range list {
		if x.number == n {
			return x.word
		}
	}
	return ""
}

func cstr(b []byte) string {
	s, _, _ := strings.Cut(string(b), "\x00")
	return s
}

// address prints an address, or the mask of an address.
func address(b []byte) string {
	a, _ := netip.AddrFromSlice(b)
	return a.String()
}

func number(b []byte) uint32 {
	if len(b) < 4 {
		return 0
	}
	return binary.BigEndian.Uint32(b)
}

func native(b []byte) uint32 {
	if len(b) < 4 {
		return 0
	}
	return binary.NativeEndian.Uint32(b)
}

// Flow is an element of a set of flows.
type Flow struct {
	UDP  bool
	To   netip.AddrPort
	Size int // in bytes: 12 or 24
}

// Flows returns the flows in a dump of a set of flows.
func Flows(b []byte) (list []Flow) {
	EachMessage(b, func(typ uint16, _ uint32, body []byte) {
		if typ != nftNewElem || len(body) < 4 {
			return
		}
		eachAttr(attrs(body[4:])[3], func(_ uint16, elem []byte) {
			key := attrs(attrs(elem)[1])[dataValue]
			if len(key) != 12 && len(key) != 24 {
				return
			}
			a, _ := netip.AddrFromSlice(key[4 : len(key)-4])
			list = append(list, Flow{key[0] == protoUDP, netip.AddrPortFrom(a, binary.BigEndian.Uint16(key[len(key)-4:])), len(key)})
		})
	})
	return list
}
