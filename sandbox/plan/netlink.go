package plan

// This file makes the messages that set up a network: netlink(7), rtnetlink(7). A message is made when the plan is
// made. The kernel answers each message that has NLM_F_ACK. The launcher reads the answers, and finds the step of an
// answer by the message's number.

import "encoding/binary"

// These are types and flags of messages that the launcher reads and makes, from linux/netlink.h and linux/netfilter.
const (
	MsgError = 2 // NLMSG_ERROR, also for success
	MsgDone  = 3

	newLink, setLink = 16, 19
	newAddr          = 20
	newRoute         = 24

	flagRequest, flagAck          = 1, 4
	flagExcl, flagCreate, flagApp = 0x200, 0x400, 0x800
	flagDump                      = 0x300

	nested = 1 << 15 // NLA_F_NESTED
)

// These are protocols of netlink.
const (
	NetlinkRoute     = 0
	NetlinkNetfilter = 12
)

// message is a netlink message that is being made.
type message struct{ b []byte }

// begin starts a message with its header. end later fills in the length in the header.
func begin(typ, flags uint16, seq uint32) *message {
	m := &message{make([]byte, 16, 128)}
	binary.NativeEndian.PutUint16(m.b[4:], typ)
	binary.NativeEndian.PutUint16(m.b[6:], flags)
	binary.NativeEndian.PutUint32(m.b[8:], seq)
	return m
}

func (m *message) end() string {
	binary.NativeEndian.PutUint32(m.b, uint32(len(m.b)))
	return string(m.b)
}

func (m *message) raw(b ...byte) *message { m.b = append(m.b, b...); return m }

// attr appends an attribute, and pads it to four bytes.
func (m *message) attr(typ uint16, data string) *message {
	m.b = binary.NativeEndian.AppendUint16(m.b, uint16(4+len(data)))
	m.b = binary.NativeEndian.AppendUint16(m.b, typ)
	m.b = append(m.b, data...)
	for len(m.b)%4 != 0 {
		m.b = append(m.b, 0)
	}
	return m
}

// nest appends an attribute that contains everything that f appends.
func (m *message) nest(typ uint16, f func()) *message {
	at := len(m.b)
	m.attr(typ|nested, "")
	f()
	binary.NativeEndian.PutUint16(m.b[at:], uint16(len(m.b)-at))
	return m
}

func (m *message) str(typ uint16, s string) *message { return m.attr(typ, s+"\x00") }

// be32 appends an attribute with a number in network byte order, which netfilter expects.
func (m *message) be32(typ uint16, v uint32) *message {
	return m.attr(typ, string(binary.BigEndian.AppendUint32(nil, v)))
}

// ne32 appends an attribute with a number in the machine's byte order, which rtnetlink expects.
func (m *message) ne32(typ uint16, v uint32) *message {
	return m.attr(typ, string(binary.NativeEndian.AppendUint32(nil, v)))
}

// These are the numbers of the devices in a sandbox's network. In a new namespace the loopback device has the number 1.
// The other number is far above the numbers of devices that some kernels put into every namespace, such as tunl0.
const (
	Loopback = 1
	Eth0     = 100
)

func ifinfo(index int32, flags, change uint32) []byte {
	b := make([]byte, 4, 16) // ifi_family, ifi_type
	b = binary.NativeEndian.AppendUint32(b, uint32(index))
	b = binary.NativeEndian.AppendUint32(b, flags)
	return binary.NativeEndian.AppendUint32(b, change)
}

// AddLink returns the message that makes eth0 as a device of a kind: RTM_NEWLINK. The other end of a veth is in the
// same namespace. If eth0 exists already, the answer is EEXIST.
func AddLink(seq uint32, kind string) string {
	const ifname, linkinfo, infoKind, infoData, vethPeer, up = 3, 18, 1, 2, 1, 1
	m := begin(newLink, flagRequest|flagAck|flagCreate|flagExcl, seq).raw(ifinfo(Eth0, up, up)...).str(ifname, "eth0")
	m.nest(linkinfo, func() {
		m.str(infoKind, kind)
		if kind == "veth" {
			m.nest(infoData, func() {
				m.nest(vethPeer, func() { m.raw(ifinfo(0, up, up)...).str(ifname, "eth0-peer") })
			})
		}
	})
	return m.end()
}

// AddAddr returns the message that gives eth0 or the loopback an address of 4 or 16 bytes: RTM_NEWADDR. The address is
// the only one of its network. An IPv6 address can be used at once, because nobody else can have it.
func AddAddr(seq uint32, link uint32, addr string) string {
	const address, local, flags, noDAD = 1, 2, 8, 2
	family, bits := family(addr)
	m := begin(newAddr, flagRequest|flagAck|flagCreate|flagExcl, seq).raw(family, bits, noDAD, 0)
	m.b = binary.NativeEndian.AppendUint32(m.b, link)
	return m.attr(local, addr).attr(address, addr).ne32(flags, noDAD).end()
}

func family(addr string) (family, bits byte) {
	if len(addr) == 4 {
		return 2, 32
	}
	return 10, 128
}

// AddLocalRoute returns the message that makes every address of a family a local one, with a source address:
// RTM_NEWROUTE. It does what this command does: ip route add local 0/0 dev lo src ADDR.
func AddLocalRoute(seq uint32, source string) string {
	const oif, prefsrc, tableLocal, protoBoot, scopeHost, local = 4, 7, 255, 3, 254, 2
	family, _ := family(source)
	m := begin(newRoute, flagRequest|flagAck|flagCreate|flagExcl, seq).raw(family, 0, 0, 0, tableLocal, protoBoot, scopeHost, local, 0, 0, 0, 0)
	return m.ne32(oif, Loopback).attr(prefsrc, source).end()
}

// SendNetlink returns a step that sends messages to the kernel: sendto(2). The kernel has carried them out when the
// step ends.
func SendNetlink(fd Arg, messages string) Step {
	return step(Sendto, fd, mem(Netlink, messages), num(Int, uint64(len(messages))), num(MsgFlags, 0), Arg{Kind: Null}, num(Int, 0))
}

// Answer is the kernel's answer to a message.
type Answer struct {
	Seq   uint32
	Errno Errno
}

// Answers returns the answers in what was received on a netlink socket. It skips other messages.
func Answers(b []byte) (list []Answer) {
	EachMessage(b, func(typ uint16, seq uint32, body []byte) {
		if typ == MsgError && len(body) >= 4 {
			list = append(list, Answer{seq, Errno(-int32(binary.NativeEndian.Uint32(body)))})
		}
	})
	return list
}

// EachMessage calls f for each message, with the message's type, its number, and everything after its header.
func EachMessage(b []byte, f func(typ uint16, seq uint32, body []byte)) {
	for len(b) >= 16 {
		n := int(binary.NativeEndian.Uint32(b))
		if n < 16 || n > len(b) {
			return
		}
		f(binary.NativeEndian.Uint16(b[4:]), binary.NativeEndian.Uint32(b[8:]), b[16:n])
		b = b[min(len(b), (n+3)&^3):]
	}
}

// eachAttr calls f for each attribute.
func eachAttr(b []byte, f func(typ uint16, data []byte)) {
	for len(b) >= 4 {
		n := int(binary.NativeEndian.Uint16(b))
		if n < 4 || n > len(b) {
			return
		}
		f(binary.NativeEndian.Uint16(b[2:])&0x3fff, b[4:n])
		b = b[min(len(b), (n+3)&^3):]
	}
}
