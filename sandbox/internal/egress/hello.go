package egress

// This file reads the first message of TLS (ClientHello), in which a program names the server that it wants: RFC 8446,
// 4.1.2, and RFC 6066, 3. Several names can share an address. So although a name that leads to an address is allowed, a
// program may ask for another name at that address.

import (
	"encoding/binary"
	"errors"
	"io"
	"net/netip"
	"slices"
	"strings"
	"time"

	"cordon/policy/endpoint"
	"cordon/sandbox/report"
)

// hello says what the first bytes of a connection are.
type hello struct {
	state     helloState
	name      string // in lower case, without a dot at its end; "" if there is none
	encrypted bool   // there may be another name, which only the server can read
}

type helloState uint8

const (
	helloMore   helloState = iota // more bytes must come before it can be said
	helloOther                    // it is not TLS
	helloWhole                    // a ClientHello
	helloBroken                   // it begins as TLS does, but is no ClientHello that servers should take
)

const (
	recordHandshake  = 22
	recordFirst      = 20 // the first type of a record of TLS
	recordLast       = 24
	messageHello     = 1
	extensionName    = 0
	extensionCrypted = 0xfe0d     // encrypted_client_hello
	maxHello         = 16<<10 + 4 // bytes of a ClientHello with its header
	maxRecords       = 64         // over which a ClientHello may be split
	helloTime        = 10 * time.Second
)

// readHello reads the first bytes of a connection.
func readHello(b []byte) hello {
	var message []byte
	for records := 0; ; records++ {
		if h, ends := checkRecord(b, records); ends {
			return h
		}
		n := int(binary.BigEndian.Uint16(b[3:]))
		part := b[5:min(len(b), 5+n)]
		message = append(message, part...)
		if len(message) > 0 && message[0] != messageHello || n == 0 || len(message) > maxHello {
			return hello{state: helloBroken}
		}
		if len(message) >= 4 {
			whole := 4 + int(message[1])<<16 + int(message[2])<<8 + int(message[3])
			if whole > maxHello {
				return hello{state: helloBroken}
			}
			if len(message) >= whole {
				return parseHello(message[4:whole])
			}
		}
		b = b[5+len(part):]
		if len(part) < n {
			return hello{}
		}
	}
}

// checkRecord looks at the header of the next record, after so many others. ends says that no record can be read: h is
// the answer then.
func checkRecord(b []byte, records int) (h hello, ends bool) {
	switch {
	case len(b) == 0:
		return hello{}, true
	case b[0] < recordFirst || b[0] > recordLast || len(b) > 1 && b[1] != 3:
		if records == 0 {
			return hello{state: helloOther}, true
		}
		return hello{state: helloBroken}, true
	case b[0] != recordHandshake || records == maxRecords:
		if len(b) == 1 {
			return hello{}, true // the next byte says whether it is TLS
		}
		return hello{state: helloBroken}, true
	}
	return hello{}, len(b) < 5
}

// reader takes fields off the front of a message.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) take(n int) []byte {
	if n > len(r.b) {
		r.b, r.bad = nil, true
		return nil
	}
	field := r.b[:n]
	r.b = r.b[n:]
	return field
}

// number reads a number of 1 or 2 bytes.
func (r *reader) number(bytes int) (n int) {
	for _, c := range r.take(bytes) {
		n = n<<8 | int(c)
	}
	return n
}

// vector reads a field that begins with its length, in 1 or 2 bytes.
func (r *reader) vector(bytes int) []byte { return r.take(r.number(bytes)) }

// parseHello reads a whole ClientHello. It refuses a ClientHello with two names, because servers could choose different
// ones.
func parseHello(b []byte) hello {
	broken := hello{state: helloBroken}
	r := reader{b: b}
	r.take(2 + 32) // the version and the random number
	r.vector(1)    // the session
	r.vector(2)    // the ciphers
	r.vector(1)    // the compressions
	if r.bad {
		return broken
	}
	h := hello{state: helloWhole}
	if len(r.b) == 0 {
		return h // it has no extensions
	}
	extensions := reader{b: r.vector(2)}
	if r.bad || len(r.b) > 0 {
		return broken
	}
	named := false
	for len(extensions.b) > 0 {
		typ := extensions.number(2)
		data := extensions.vector(2)
		switch {
		case extensions.bad, typ == extensionName && named:
			return broken
		case typ == extensionCrypted:
			h.encrypted = true
		case typ == extensionName:
			named = true
			list := reader{b: data}
			names := reader{b: list.vector(2)}
			kind := names.number(1)
			name := names.vector(2)
			if list.bad || names.bad || len(list.b) > 0 || len(names.b) > 0 || kind != 0 || len(name) == 0 {
				return broken
			}
			h.name = strings.ToLower(strings.TrimSuffix(string(name), "."))
		}
	}
	return h
}

// allowsHello decides about a connection by the name for which the program asks in TLS. It does so if the address is
// allowed because of a name: an address has many names, and the list allows only some of them. If allowsHello refuses,
// it says so in the entry for the log.
func (s *Server) allowsHello(h hello, to netip.AddrPort, x *report.Flow) bool {
	why, remedy := "", ""
	switch {
	case h.state == helloOther:
	case h.state == helloBroken:
		why = "it begins as TLS does, but with no ClientHello"
	case s.RequireName && h.encrypted:
		why = "network.tls asks for names, and the ClientHello has an encrypted one"
	case h.name == "" && s.RequireName:
		why = "network.tls asks for names, and the ClientHello has none"
	case h.name == "":
	case endpoint.CheckName(h.name) != nil:
		why = "TLS asks for what is no name of a host"
	case !s.Rules.ByName(h.name, endpoint.TCP, to.Port()).Allowed:
		why, remedy = "TLS asks for another name of this address", "--net-allow "+joinPort(h.name, to.Port())
	case !slices.Contains(s.pins.names(to.Addr()), h.name):
		why = "TLS asks for a name that does not lead to this address"
	}
	if why == "" {
		return true
	}
	if endpoint.CheckName(h.name) == nil {
		x.Name = h.name
	}
	x.Verdict, x.Why, x.Remedy, x.Rule = report.FlowDenied, why, remedy, ""
	return false
}

// errHello ends a connection whose ClientHello was refused.
var errHello = errors.New("the ClientHello was refused")

// gate holds back the first bytes that a program sends, until it is known what they are, and whether they may pass.
type gate struct {
	to     io.Writer
	flow   *flow
	allows func(hello) bool
	held   []byte
	open   bool
}

// Write passes bytes on to the server, or keeps them. Before the ClientHello is complete, the server would not answer
// anyway.
func (g *gate) Write(b []byte) (int, error) {
	if g.open {
		return g.to.Write(b)
	}
	first := len(g.held) == 0
	g.held = append(g.held, b...)
	h := readHello(g.held)
	if h.state == helloMore {
		if first { // an error means that it is closed
			_ = g.flow.client.SetReadDeadline(time.Now().Add(helloTime))
		}
		return len(b), nil
	}
	if !g.allows(h) {
		return 0, errHello
	}
	_ = g.flow.client.SetReadDeadline(time.Time{})
	held := g.held
	g.open, g.held = true, nil
	if _, err := g.to.Write(held); err != nil {
		return 0, err
	}
	return len(b), nil
}
