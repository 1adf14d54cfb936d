package endpoint

import (
	"net/netip"
	"strings"
)

// Publish is an item of network.publish: connections to Host arrive at Port of the sandbox.
type Publish struct {
	Text string
	Host netip.AddrPort // an address and a port of the host
	Port uint16         // the port in the sandbox, at 127.0.0.1
}

const publishExample = "such as 8080:80, 127.0.0.1:8080:80 or [::1]:8080:80"

// ParsePublish reads an item of network.publish: PORT, PORT:INSIDE or ADDRESS:PORT:INSIDE. Without an address the item
// means 127.0.0.1, so that only the host itself can connect. The error is a *ParseError.
func ParsePublish(s string) (p Publish, err error) {
	p.Text = s
	ports, address := s, netip.AddrFrom4([4]byte{127, 0, 0, 1})
	if host, rest, given := cutAddress(s); given {
		if address, err = netip.ParseAddr(host); err != nil || address.Zone() != "" {
			return p, bad(quote(host)+" is not an address of the host", publishExample)
		}
		ports = rest
	}
	if address.Is4In6() {
		return p, bad(quote(s)+" has an IPv4 address in the form of IPv6", "write "+address.Unmap().String())
	}
	outside, inside, given := strings.Cut(ports, ":")
	if !given {
		inside = outside
	}
	first, err := port(outside)
	if err != nil {
		return p, bad(quote(outside)+" is not a port of the host", publishExample)
	}
	p.Host = netip.AddrPortFrom(address, first)
	if p.Port, err = port(inside); err != nil {
		return p, bad(quote(inside)+" is not a port of the sandbox", publishExample)
	}
	return p, nil
}

// cutAddress splits an address from PORT:INSIDE.
func cutAddress(s string) (host, rest string, given bool) {
	if inner, ok := strings.CutPrefix(s, "["); ok {
		host, rest, ok = strings.Cut(inner, "]")
		rest, colon := strings.CutPrefix(rest, ":")
		if !ok || !colon || !strings.Contains(host, ":") {
			return s, "", true
		}
		return host, rest, true
	}
	switch strings.Count(s, ":") {
	case 0:
		return "", s, false
	case 1:
		host, rest, _ = strings.Cut(s, ":")
		return host, rest, strings.Contains(host, ".") // 127.0.0.1:80 is an address and a port
	case 2:
		host, rest, _ = strings.Cut(s, ":")
		return host, rest, true
	}
	return s, "", true // an address of IPv6 without brackets
}
