// Package endpoint reads the rules of a profile's network section, and decides by them: which names, addresses and
// ports a program may reach. The compiler, the relay, why, lint and diff decide with the same functions. The package
// makes no system call.
package endpoint

import (
	"errors"
	"net/netip"
	"strconv"
	"strings"
)

// Proto is a set of transport protocols.
type Proto uint8

// The protocols that a rule can name.
const (
	TCP Proto = 1 << iota
	UDP
)

// String returns the name of a single protocol, or "tcp and udp".
func (p Proto) String() string {
	switch p {
	case TCP:
		return "tcp"
	case UDP:
		return "udp"
	}
	return "tcp and udp"
}

// Ports is a range of ports, both ends included.
type Ports struct{ First, Last uint16 }

// Kind says what a rule is about.
type Kind uint8

// The kinds of rules.
const (
	Name  Kind = iota // a name
	Wild              // names below Host; if Host is empty, every name
	Range             // addresses
	Any               // every name, and every public address
)

// Rule is one item of network.allow or network.deny.
type Rule struct {
	Text   string
	Kind   Kind
	Host   string       // in lower case, without a dot at the end
	Prefix netip.Prefix // of a Range
	Ports  []Ports
	Proto  Proto
}

// ParseError reports a text that is no rule. Hint may be "".
type ParseError struct{ Msg, Hint string }

func (e *ParseError) Error() string { return e.Msg }

// Example is a rule for the texts of errors.
const Example = "proxy.example.org:443"

func bad(msg, hint string) error { return &ParseError{msg, hint} }

// ParseAllow reads an item of network.allow: HOST, HOST:PORT or HOST:FIRST-LAST, optionally followed by /udp or /tcp.
// HOST is a name, *.NAME, an address, a range, or nothing for every host. Without ports the item means ports 443 and
// 80, and without a protocol tcp. The error is a *ParseError.
func ParseAllow(s string) (Rule, error) {
	r, err := parse(s)
	if err == nil && r.Kind == Range {
		if b := blockOf(r.Prefix.Addr()); b != nil && r.Prefix.Bits() >= int(b.bits) && b.never != "" {
			return r, bad(quote(r.Prefix.String())+" is "+b.never, "")
		}
	}
	if err == nil && r.Ports == nil {
		r.Ports = []Ports{{443, 443}, {80, 80}}
	}
	if r.Proto == 0 {
		r.Proto = TCP
	}
	return r, err
}

// ParseDeny reads an item of network.deny. Without ports the item means every port, and without a protocol both
// protocols.
func ParseDeny(s string) (Rule, error) {
	r, err := parse(s)
	if err == nil && r.Ports == nil {
		r.Ports = []Ports{{1, 65535}}
	}
	if r.Proto == 0 {
		r.Proto = TCP | UDP
	}
	return r, err
}

func parse(s string) (r Rule, err error) {
	r.Text = s
	rest := s
	if rest == "" {
		return r, bad("an empty rule", "such as "+Example)
	}
	if scheme, after, ok := strings.Cut(rest, "://"); ok {
		switch scheme {
		case "tcp":
			r.Proto = TCP
		case "udp":
			r.Proto = UDP
		default:
			return r, bad(quote(s)+" is an address of the web", "write the host and the port: "+hostOfURL(scheme, after))
		}
		rest = after
	}
	if host, proto, ok := cutLast(rest, "/"); ok && (proto == "tcp" || proto == "udp") {
		p := TCP
		if proto == "udp" {
			p = UDP
		}
		if r.Proto != 0 && r.Proto != p {
			return r, bad(quote(s)+" names two protocols", "tcp:// or /tcp, not both")
		}
		r.Proto, rest = p, host
	}
	host, ports, given, err := splitPorts(rest)
	if err != nil {
		return r, err
	}
	if given {
		if r.Ports, err = parsePorts(ports); err != nil {
			return r, err
		}
	}
	if host == "" && !given {
		return r, bad(quote(s)+" names neither a host nor a port", "such as "+Example)
	}
	return r, r.setHost(host)
}

// splitPorts splits HOST:PORTS. An address of IPv6 has brackets if ports follow.
func splitPorts(s string) (host, ports string, given bool, err error) {
	if strings.HasPrefix(s, "[") {
		return splitBrackets(s)
	}
	if strings.Count(s, ":") > 1 { // an address of IPv6 without brackets: ports may only follow a prefix length
		if address, rest, ok := strings.Cut(s, "/"); ok {
			length, ports, given := strings.Cut(rest, ":")
			return address + "/" + length, ports, given, nil
		}
		return s, "", false, nil
	}
	host, ports, given = strings.Cut(s, ":")
	return host, ports, given, nil
}

// splitBrackets splits [ADDRESS]:PORTS and [ADDRESS]/LENGTH:PORTS.
func splitBrackets(s string) (host, ports string, given bool, err error) {
	inner, after, ok := strings.Cut(s[1:], "]")
	if !ok {
		return "", "", false, bad(quote(s)+" has no closing bracket", "such as [2001:db8::1]:443")
	}
	length := ""
	if strings.HasPrefix(after, "/") {
		length, ports, given = strings.Cut(after, ":")
	} else if after != "" {
		if ports, given = strings.CutPrefix(after, ":"); !given {
			return "", "", false, bad(quote(after)+" after the address is no port", "such as [2001:db8::1]:443")
		}
	}
	if !strings.Contains(inner, ":") {
		return "", "", false, bad(quote(inner)+" in brackets is no address of IPv6", "brackets are for addresses such as [2001:db8::1]")
	}
	return inner + length, ports, given, nil
}

func parsePorts(s string) ([]Ports, error) {
	if s == "*" {
		return []Ports{{1, 65535}}, nil
	}
	from, to, ranged := strings.Cut(s, "-")
	first, err := port(from)
	if err != nil {
		return nil, err
	}
	if !ranged {
		return []Ports{{first, first}}, nil
	}
	last, err := port(to)
	if err != nil {
		return nil, err
	}
	if last < first {
		return nil, bad(quote(s)+" is an empty range of ports", "the lower one comes first")
	}
	return []Ports{{first, last}}, nil
}

func port(s string) (uint16, error) {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil || n == 0 || s[0] == '+' || s[0] == '0' {
		return 0, bad(quote(s)+" is not a port", "1 to 65535, a range such as 8000-8080, or *")
	}
	return uint16(n), nil
}

// setHost reads the part before the ports.
func (r *Rule) setHost(s string) error {
	switch {
	case s == "":
		r.Kind = Any
		return nil
	case strings.Contains(s, "/"):
		return r.setRange(s)
	case strings.Contains(s, ":") || numeric(s):
		a, err := netip.ParseAddr(s)
		if err != nil || a.Zone() != "" {
			return bad(quote(s)+" is not an address", "such as 192.0.2.1:443 or [2001:db8::1]:443")
		}
		return r.setPrefix(netip.PrefixFrom(a, a.BitLen()))
	}
	return r.setName(s)
}

func (r *Rule) setRange(s string) error {
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return bad(quote(s)+" is not a range of addresses", "such as 10.0.0.0/8:5432 or [2001:db8::]/32:443")
	}
	if p != p.Masked() {
		return bad(quote(s)+" has bits behind its length", "the range is "+p.Masked().String())
	}
	return r.setPrefix(p)
}

func (r *Rule) setPrefix(p netip.Prefix) error {
	a := p.Addr()
	if a.Is4In6() {
		return bad(quote(p.String())+" is an IPv4 address in the form of IPv6", "write "+a.Unmap().String())
	}
	r.Kind, r.Prefix = Range, p
	return nil
}

func (r *Rule) setName(s string) error {
	r.Kind = Name
	name := strings.TrimSuffix(strings.ToLower(s), ".")
	if name == "*" {
		r.Kind, r.Host = Wild, ""
		return nil
	}
	if below, ok := strings.CutPrefix(name, "*."); ok {
		r.Kind, name = Wild, below
	}
	if name == "localhost" || strings.HasSuffix(name, ".localhost") {
		return bad(quote(s)+" is the sandbox's own loopback", "it needs no rule")
	}
	if err := CheckName(name); err != nil {
		return bad(quote(s)+" "+err.Error(), "such as "+Example+" or *.example.org:443")
	}
	r.Host = name
	return nil
}

// CheckName reports why a text in lower case, without a dot at its end, is not the name of a host: RFC 1123. It accepts
// underscores, because names with underscores exist.
func CheckName(s string) error {
	if len(s) > 253 {
		return errors.New("is longer than 253 bytes")
	}
	for label := range strings.SplitSeq(s, ".") {
		switch {
		case label == "":
			return errors.New("has an empty label")
		case len(label) > 63:
			return errors.New("has a label of more than 63 bytes")
		case label[0] == '-' || label[len(label)-1] == '-':
			return errors.New("has a label that begins or ends with -")
		}
		for i := range len(label) {
			switch c := label[i]; {
			case c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '-', c == '_':
			case c == '*':
				return errors.New("has a * that is not its whole first label")
			case c >= 0x80:
				return errors.New("has letters outside ASCII: write its xn-- form")
			default:
				return errors.New("has the character " + strconv.QuoteRune(rune(c)))
			}
		}
	}
	return nil
}

// numeric reports whether the last label is a number. If it is, the text is an address or invalid: RFC 1123, 2.1.
func numeric(s string) bool {
	last := s[strings.LastIndexByte(s, '.')+1:]
	return last != "" && strings.Trim(last, "0123456789") == ""
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}

// hostOfURL returns the rule for the host of a URL.
func hostOfURL(scheme, rest string) string {
	host, _, _ := strings.Cut(rest, "/")
	if _, after, ok := cutLast(host, "@"); ok {
		host = after
	}
	if strings.Contains(host, ":") || host == "" {
		return Example
	}
	switch scheme {
	case "http", "ws":
		return host + ":80"
	case "ssh", "git+ssh", "sftp":
		return host + ":22"
	}
	return host + ":443"
}

func quote(s string) string {
	const most = 80
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	return strconv.Quote(s)
}
