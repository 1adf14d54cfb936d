package egress

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"cordon/policy/endpoint"
	"cordon/sandbox/report"
)

// server returns a server without sockets, with the given rules.
func server(t *testing.T, allow ...string) *Server {
	t.Helper()
	s := &Server{Config: Config{Rules: &endpoint.Policy{}, Rule: func(bool, int) string { return "rule" }}}
	for _, text := range allow {
		r, err := endpoint.ParseAllow(text)
		if err != nil {
			t.Fatal(err)
		}
		s.Rules.Allow = append(s.Rules.Allow, r)
	}
	return s
}

// ask returns the packet of a question.
func ask(t *testing.T, name string, typ dnsmessage.Type) []byte {
	t.Helper()
	m := dnsmessage.Message{Header: dnsmessage.Header{ID: 7, RecursionDesired: true},
		Questions: []dnsmessage.Question{{Name: dnsmessage.MustNewName(name + "."), Type: typ, Class: dnsmessage.ClassINET}}}
	b, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// This checks which questions are answered at once, and with what. Only for the addresses of an allowed name the host's
// resolver must be asked.
func TestNaming(t *testing.T) {
	s := server(t, "*.example.org:443")
	s.pins.add("a.example.org", netip.MustParseAddr("203.0.113.7"))
	s.pins.add("b.example.org", netip.MustParseAddr("2001:db8::7"))
	s.cache.put("kept.example.org", []netip.Addr{netip.MustParseAddr("203.0.113.8"), netip.MustParseAddr("2001:db8::8")})
	for _, tt := range []struct {
		name   string
		typ    dnsmessage.Type
		lookup bool
		code   dnsmessage.RCode
		answer string
	}{
		{"A.Example.ORG", dnsmessage.TypeA, true, 0, ""},
		{"data.evil.example.com", dnsmessage.TypeA, false, dnsmessage.RCodeNameError, ""},
		{"data.evil.example.com", dnsmessage.TypeTXT, false, dnsmessage.RCodeNameError, ""},
		{"example.org", dnsmessage.TypeA, false, dnsmessage.RCodeNameError, ""},
		{"a.example.org", dnsmessage.TypeTXT, false, dnsmessage.RCodeNotImplemented, ""},
		{"a.example.org", dnsmessage.TypeHTTPS, false, dnsmessage.RCodeNotImplemented, ""},
		{"7.113.0.203.in-addr.arpa", dnsmessage.TypePTR, false, 0, "a.example.org."},
		{"8.113.0.203.in-addr.arpa", dnsmessage.TypePTR, false, dnsmessage.RCodeNameError, ""},
		{"7.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa", dnsmessage.TypePTR, false, 0, "b.example.org."},
		{"kept.example.org", dnsmessage.TypeA, false, 0, "203.0.113.8"},
		{"kept.example.org", dnsmessage.TypeAAAA, false, 0, "2001:db8::8"},
	} {
		q, ok := parse(ask(t, tt.name, tt.typ))
		if !ok || s.needsLookup(q) != tt.lookup || q.code != tt.code {
			t.Errorf("%s %s: %+v", tt.name, tt.typ, q)
			continue
		}
		var m dnsmessage.Message
		if err := m.Unpack(q.pack()); err != nil || m.ID != 7 || !m.Response || m.RCode != tt.code {
			t.Errorf("%s %s: %v %+v", tt.name, tt.typ, err, m.Header)
		}
		got := ""
		for _, a := range m.Answers {
			switch b := a.Body.(type) {
			case *dnsmessage.AResource:
				got = netip.AddrFrom4(b.A).String()
			case *dnsmessage.AAAAResource:
				got = netip.AddrFrom16(b.AAAA).String()
			case *dnsmessage.PTRResource:
				got = b.PTR.String()
			}
		}
		if got != tt.answer {
			t.Errorf("%s %s: %q", tt.name, tt.typ, got)
		}
	}
	for _, b := range []string{"", "x", strings.Repeat("\xff", 40), string(ask(t, "a", 1)[:14])} {
		if _, ok := parse([]byte(b)); ok {
			t.Errorf("%q is a question", b)
		}
	}
}

// A name may not lead to a private address, or to an address of the host, unless a rule allows that address.
func TestUsable(t *testing.T) {
	s := server(t, "*:80", "10.0.0.0/8:5432")
	s.host.list, s.host.read = []netip.Addr{netip.MustParseAddr("198.51.100.2")}, time.Now().Add(time.Hour)
	for a, want := range map[string]bool{"203.0.113.1": true, "10.1.2.3": true, "192.168.0.1": false, "169.254.169.254": false, "127.0.0.1": false, "198.51.100.2": false} {
		if s.usable("x.example", netip.MustParseAddr(a)) != want {
			t.Errorf("%s: not %v", a, want)
		}
	}
	if s.log.sum.Denied != 4 {
		t.Errorf("%d entries of the log", s.log.sum.Denied)
	}
}

// The relay decides about a connection itself, whatever the sandbox's kernel has let through.
func TestDecide(t *testing.T) {
	s := server(t, "good.example:443", "0.0.0.0/0:80", "198.51.100.3:80")
	s.host.list, s.host.read = []netip.Addr{netip.MustParseAddr("198.51.100.2"), netip.MustParseAddr("198.51.100.3")}, time.Now().Add(time.Hour)
	s.pins.add("good.example", netip.MustParseAddr("203.0.113.1"))
	for to, want := range map[string]bool{"203.0.113.1:443": true, "203.0.113.2:443": false, "203.0.113.2:80": true, "10.0.0.1:80": false,
		"169.254.169.254:80": false, "198.51.100.2:80": false, "198.51.100.3:80": true, "203.0.113.1:22": false} {
		x, allowed, _ := s.decide(netip.MustParseAddrPort(to))
		if allowed != want || allowed != (x.Verdict == report.FlowAllowed) || !allowed && x.Remedy == "" {
			t.Errorf("%s: %+v", to, x)
		}
	}
}

// There is a bound on everything that a server remembers.
func TestBounds(t *testing.T) {
	var p pins
	a := netip.MustParseAddr("203.0.113.0")
	for i := range maxPins + 10 {
		_, full := p.add("x.example", a)
		if full != (i >= maxPins) {
			t.Fatalf("address %d: full is %v", i, full)
		}
		a = a.Next()
	}
	if len(p.list) != maxPins {
		t.Errorf("%d addresses", len(p.list))
	}
	for range 2 * maxNames {
		p.add(strings.Repeat("x", len(p.names(a))+1), a)
	}
	if n := len(p.names(a)); n != maxNames {
		t.Errorf("%d names of an address", n)
	}
	var l flowLog
	for i := range 2 * maxKinds {
		l.add(report.Flow{Address: "203.0.113.1", Port: i})
		l.add(report.Flow{Address: "203.0.113.1", Port: i})
	}
	if r := l.report(); len(r.Flows) != maxKinds || r.Denied != 4*maxKinds || r.Dropped != 2*maxKinds {
		t.Errorf("%d kinds, %d denied, %d dropped", len(r.Flows), r.Denied, r.Dropped)
	}
}
