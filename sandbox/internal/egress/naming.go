package egress

// This file is the name server: RFC 1035. It answers only questions about allowed names, with what the host's own
// resolver says. A question that is not allowed never leaves the machine, because its labels could carry data.

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"
	"golang.org/x/sys/unix"

	"cordon/policy/endpoint"
	"cordon/sandbox/report"
)

// maxAnswers keeps an answer within the 512 bytes that every client takes.
const maxAnswers = 12

// namingLoop answers questions that arrive as datagrams.
func (s *Server) namingLoop() {
	defer s.serve.Done()
	buf, control := make([]byte, 4096), make([]byte, 128)
	for {
		n, oobn, _, from, err := s.naming.ReadMsgUDPAddrPort(buf, control)
		if s.ctx.Err() != nil {
			return
		}
		if err != nil {
			// This error is about the last answer: its receiver no longer exists.
			time.Sleep(time.Millisecond)
			continue
		}
		q, ok := parse(buf[:n])
		if !ok {
			continue // a packet that is no question gets no answer
		}
		source := answerFrom(control[:oobn])
		reply := func(q *question) { _, _, _ = s.naming.WriteMsgUDPAddrPort(q.pack(), source, from) }
		if !s.needsLookup(q) {
			reply(q)
			continue
		}
		select {
		case s.lookups <- struct{}{}:
			go func() {
				defer func() { <-s.lookups }()
				s.lookUp(q)
				reply(q)
			}()
		default: // too many questions at once: the client will ask again
		}
	}
}

// answerFrom returns the control message that makes an answer come from the address to which the question was sent:
// ip(7), IP_PKTINFO, and ipv6(7), IPV6_PKTINFO. The question came with the same message, except for the number of the
// device.
func answerFrom(control []byte) []byte {
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil || len(messages) == 0 {
		return nil
	}
	out := append([]byte(nil), control[:unix.CmsgSpace(len(messages[0].Data))]...)
	at := unix.CmsgLen(0) // ipi_ifindex comes first
	if messages[0].Header.Level == unix.SOL_IPV6 {
		at += 16
	}
	clear(out[at : at+4])
	return out
}

// namingStream answers questions over TCP. Each question comes with its length before it.
func (s *Server) namingStream(c *net.TCPConn) {
	const most, patience = 64, 10 * time.Second
	for range most {
		_ = c.SetDeadline(time.Now().Add(patience)) // an error means that it is closed
		var length [2]byte
		if _, err := io.ReadFull(c, length[:]); err != nil {
			return
		}
		b := make([]byte, binary.BigEndian.Uint16(length[:]))
		if _, err := io.ReadFull(c, b); err != nil {
			return
		}
		q, ok := parse(b)
		if !ok {
			return
		}
		if s.needsLookup(q) {
			select {
			case s.lookups <- struct{}{}:
				s.lookUp(q)
				<-s.lookups
			default:
				q.code = dnsmessage.RCodeServerFailure
			}
		}
		out := q.pack()
		if _, err := c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(out))), out...)); err != nil {
			return
		}
	}
}

// question is one question and its answer.
type question struct {
	id      uint16
	desired bool
	q       dnsmessage.Question
	name    string // in lower case, without the last dot
	code    dnsmessage.RCode
	addrs   []netip.Addr
	ptr     string
}

// parse reads a question.
func parse(b []byte) (*question, bool) {
	var p dnsmessage.Parser
	h, err := p.Start(b)
	if err != nil || h.Response {
		return nil, false
	}
	list, err := p.AllQuestions()
	if err != nil || len(list) != 1 {
		return nil, false
	}
	q := &question{id: h.ID, desired: h.RecursionDesired, q: list[0]}
	q.name = strings.ToLower(strings.TrimSuffix(list[0].Name.String(), "."))
	if h.OpCode != 0 || list[0].Class != dnsmessage.ClassINET {
		q.code = dnsmessage.RCodeNotImplemented
	}
	return q, true
}

// pack returns the answer in the form in which it is sent.
func (q *question) pack() []byte {
	b := dnsmessage.NewBuilder(make([]byte, 0, 512), dnsmessage.Header{ID: q.id, Response: true,
		RecursionDesired: q.desired, RecursionAvailable: true, RCode: q.code})
	b.EnableCompression()
	// A builder refuses only a message that is too long or out of order. Neither is possible, because the question was
	// parsed.
	_ = b.StartQuestions()
	_ = b.Question(q.q)
	_ = b.StartAnswers()
	h := dnsmessage.ResourceHeader{Name: q.q.Name, Class: dnsmessage.ClassINET, TTL: uint32(cacheTime / time.Second)}
	for _, a := range q.addrs {
		if a.Is4() {
			_ = b.AResource(h, dnsmessage.AResource{A: a.As4()})
		} else {
			_ = b.AAAAResource(h, dnsmessage.AAAAResource{AAAA: a.As16()})
		}
	}
	if name, err := dnsmessage.NewName(q.ptr + "."); q.ptr != "" && err == nil {
		_ = b.PTRResource(h, dnsmessage.PTRResource{PTR: name})
	}
	out, _ := b.Finish()
	return out
}

// needsLookup answers a question if that is possible at once. It returns true if the host's resolver must be asked.
func (s *Server) needsLookup(q *question) bool {
	switch {
	case q.code != dnsmessage.RCodeSuccess:
		return false
	case q.q.Type == dnsmessage.TypePTR:
		q.code = dnsmessage.RCodeNameError
		if names := s.pins.names(reversed(q.name)); len(names) > 0 {
			q.code, q.ptr = dnsmessage.RCodeSuccess, names[0]
		}
		return false
	}
	if v := s.Rules.Resolves(q.name); endpoint.CheckName(q.name) != nil || !v.Allowed {
		q.code = dnsmessage.RCodeNameError
		s.deniedName(q.name, v)
		return false
	}
	switch q.q.Type {
	case dnsmessage.TypeA, dnsmessage.TypeAAAA:
	default:
		q.code = dnsmessage.RCodeNotImplemented
		return false
	}
	if addrs, ok := s.cache.get(q.name); ok {
		q.keep(addrs)
		return false
	}
	return true
}

// deniedName adds to the log a name for which the program may not ask.
func (s *Server) deniedName(name string, v endpoint.Verdict) {
	x := report.Flow{Proto: "name", Name: name, Verdict: report.FlowDenied}
	switch {
	case v.Rule >= 0:
		x.Rule = s.Rule(false, v.Rule)
	case endpoint.CheckName(name) == nil:
		x.Why, x.Remedy = "no rule allows it", "--net-allow "+name
	default:
		x.Why = "it is no name of a host"
	}
	s.log.add(x)
}

// keep puts those addresses into the answer that are of the family for which the program has asked.
func (q *question) keep(addrs []netip.Addr) {
	for _, a := range addrs {
		if a.Is4() == (q.q.Type == dnsmessage.TypeA) && len(q.addrs) < maxAnswers {
			q.addrs = append(q.addrs, a)
		}
	}
}

// lookUp asks the host's resolver about both families, because a name without an address of one family still exists.
func (s *Server) lookUp(q *question) {
	ctx, cancel := context.WithTimeout(s.ctx, lookupTime)
	defer cancel()
	found, err := s.resolver.LookupNetIP(ctx, "ip", q.name+".")
	var wrong *net.DNSError
	switch {
	case errors.As(err, &wrong) && wrong.IsNotFound:
		q.code = dnsmessage.RCodeNameError
		return
	case err != nil:
		q.code = dnsmessage.RCodeServerFailure
		s.log.add(report.Flow{Proto: "name", Name: q.name, Verdict: report.FlowFailed, Why: err.Error()})
		return
	}
	var addrs []netip.Addr
	for _, a := range found {
		if a = a.Unmap(); s.usable(q.name, a) {
			addrs = append(addrs, a)
		}
	}
	for _, a := range addrs {
		if endpoint.Special(a) != "" {
			continue // a range allows it, and the name adds nothing
		}
		if err := s.pin(q.name, a); err != nil {
			q.code = dnsmessage.RCodeServerFailure
			s.log.add(report.Flow{Proto: "name", Name: q.name, Address: a.String(), Verdict: report.FlowFailed,
				Why: "the sandbox's kernel did not take the address: " + err.Error()})
			return
		}
	}
	s.cache.put(q.name, addrs)
	q.keep(addrs)
}

// usable decides whether a name may lead to an address. An allowed name that leads to a private address, to the host
// itself or to a cloud's metadata service is an attack (DNS rebinding), unless a rule allows the address itself.
func (s *Server) usable(name string, a netip.Addr) bool {
	what := endpoint.Special(a)
	if what == "" && s.host.has(a) {
		what = "an address of the host itself, or of its gateway"
	}
	if what == "" {
		return a.Is4() || routed(a)
	}
	for i := range s.Rules.Allow {
		if r := &s.Rules.Allow[i]; r.Kind == endpoint.Range && r.Covers(a) {
			return true
		}
	}
	s.log.add(report.Flow{Proto: "name", Name: name, Address: a.String(), Verdict: report.FlowDenied,
		Why: "the name leads to " + what + ", which only a rule for its own range allows", Remedy: "--net-allow " + a.String()})
	return false
}

// routed reports whether the host has a route to an IPv6 address. It connects a datagram socket, which sends nothing.
func routed(a netip.Addr) bool {
	c, err := net.DialUDP("udp6", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(a, 53)))
	if err != nil {
		return false
	}
	c.Close()
	return true
}

// reversed returns the address that a name below in-addr.arpa or ip6.arpa means, or an invalid address if it means
// none.
func reversed(name string) (a netip.Addr) {
	if four, ok := strings.CutSuffix(name, ".in-addr.arpa"); ok {
		l := strings.Split(four, ".")
		if len(l) == 4 {
			a, _ = netip.ParseAddr(l[3] + "." + l[2] + "." + l[1] + "." + l[0])
		}
		return a
	}
	six, ok := strings.CutSuffix(name, ".ip6.arpa")
	l := strings.Split(six, ".")
	if !ok || len(l) != 32 {
		return a
	}
	var text strings.Builder
	for i := 31; i >= 0; i-- {
		text.WriteString(l[i])
		if i%4 == 0 && i > 0 {
			text.WriteByte(':')
		}
	}
	a, _ = netip.ParseAddr(text.String())
	return a
}
