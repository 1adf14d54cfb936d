package endpoint

import (
	"net/netip"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for _, tt := range []struct {
		in   string
		kind Kind
		what string // the host, or the range
		port []Ports
		pro  Proto
	}{
		{"git.example.com:22", Name, "git.example.com", []Ports{{22, 22}}, TCP},
		{"Git.Example.COM.", Name, "git.example.com", []Ports{{443, 443}, {80, 80}}, TCP},
		{"*.example.org:8000-8080", Wild, "example.org", []Ports{{8000, 8080}}, TCP},
		{"*:*", Wild, "", []Ports{{1, 65535}}, TCP},
		{":123/udp", Any, "", []Ports{{123, 123}}, UDP},
		{"udp://ntp.example.org:123", Name, "ntp.example.org", []Ports{{123, 123}}, UDP},
		{"tcp://a:1", Name, "a", []Ports{{1, 1}}, TCP},
		{"10.0.0.0/8:5432", Range, "10.0.0.0/8", []Ports{{5432, 5432}}, TCP},
		{"10.0.0.0/8:53/udp", Range, "10.0.0.0/8", []Ports{{53, 53}}, UDP},
		{"192.0.2.7", Range, "192.0.2.7/32", []Ports{{443, 443}, {80, 80}}, TCP},
		{"[2606:4700::]/32:443", Range, "2606:4700::/32", []Ports{{443, 443}}, TCP},
		{"[2606:4700::1]:443", Range, "2606:4700::1/128", []Ports{{443, 443}}, TCP},
		{"2606:4700::1", Range, "2606:4700::1/128", []Ports{{443, 443}, {80, 80}}, TCP},
		{"fd00::/8:80", Range, "fd00::/8", []Ports{{80, 80}}, TCP},
		{"0.0.0.0/0:443", Range, "0.0.0.0/0", []Ports{{443, 443}}, TCP},
	} {
		r, err := ParseAllow(tt.in)
		what := r.Host
		if r.Kind == Range {
			what = r.Prefix.String()
		}
		if err != nil || r.Kind != tt.kind || what != tt.what || len(r.Ports) != len(tt.port) || r.Ports[0] != tt.port[0] || r.Proto != tt.pro {
			t.Errorf("%s: %+v, %v", tt.in, r, err)
		}
	}
	r, err := ParseDeny("169.254.0.0/16")
	if err != nil || !r.Matches(TCP, 1) || !r.Matches(UDP, 65535) {
		t.Errorf("a denial without ports: %+v, %v", r, err)
	}
	if _, err := ParseDeny("127.0.0.0/8"); err != nil {
		t.Errorf("a denial of loopback: %v", err)
	}
}

func TestParseErrors(t *testing.T) {
	for in, want := range map[string]string{
		"":                         "an empty rule",
		":":                        "is not a port",
		"a:0":                      "is not a port",
		"a:65536":                  "is not a port",
		"a:+1":                     "is not a port",
		"a:01":                     "is not a port",
		"a:9-1":                    "is an empty range of ports",
		"a:1-":                     "is not a port",
		"https://example.org/x":    "is an address of the web",
		"tcp://a:1/udp":            "names two protocols",
		"10.0.0.1/8":               "has bits behind its length",
		"10.0.0.0/33":              "is not a range of addresses",
		"10.0.0.300":               "is not an address",
		"1.2.3":                    "is not an address",
		"127.0.0.1:80":             "is the sandbox's own loopback",
		"[::1]:80":                 "is the sandbox's own loopback",
		"localhost:80":             "is the sandbox's own loopback",
		"0.0.0.0:80":               "is no host",
		"224.0.0.1:80":             "is a multicast group",
		"[::ffff:1.2.3.4]:80":      "is an IPv4 address in the form of IPv6",
		"fe80::1%eth0":             "is not an address",
		"[2001:db8::1":             "has no closing bracket",
		"[2001:db8::1]x":           "is no port",
		"[a]:1":                    "is no address of IPv6",
		"a b:1":                    "has the character ' '",
		"ex*mple.org":              "has a * that is not its whole first label",
		"*.*.org":                  "has a * that is not its whole first label",
		"bücher.example":           "has letters outside ASCII",
		"a..b":                     "has an empty label",
		"-a.b":                     "begins or ends with -",
		strings.Repeat("a", 64):    "more than 63 bytes",
		strings.Repeat("a.", 127):  "longer than 253 bytes",
		"a\x00b":                   "has the character",
		"example.org:443\nx":       "is not a port",
		"@packages":                "has the character '@'",
		"a:1,2":                    "is not a port",
		"http://user@host.example": "is an address of the web",
	} {
		_, err := ParseAllow(in)
		if err == nil && strings.HasPrefix(want, "longer") {
			continue // 126 labels are short enough
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", in, err, want)
		}
	}
}

func rules(t *testing.T, allow, deny []string) *Policy {
	t.Helper()
	p := &Policy{}
	for _, s := range allow {
		r, err := ParseAllow(s)
		if err != nil {
			t.Fatal(err)
		}
		p.Allow = append(p.Allow, r)
	}
	for _, s := range deny {
		r, err := ParseDeny(s)
		if err != nil {
			t.Fatal(err)
		}
		p.Deny = append(p.Deny, r)
	}
	return p
}

func TestByName(t *testing.T) {
	p := rules(t, []string{"*.example.org:443", "a.example.com", "10.0.0.0/8:443"}, []string{"bad.example.org", "ssh.example.org:22"})
	for name, want := range map[string]bool{"x.example.org": true, "x.y.example.org": true, "example.org": false, "xexample.org": false,
		"bad.example.org": false, "ssh.example.org": true, "a.example.com": true, "b.a.example.com": false, "10.0.0.1": false} {
		if v := p.ByName(name, TCP, 443); v.Allowed != want {
			t.Errorf("%s: %+v", name, v)
		}
		if v := p.Resolves(name); v.Allowed != want {
			t.Errorf("resolves %s: %+v", name, v)
		}
	}
	if p.ByName("x.example.org", UDP, 443).Allowed || p.ByName("x.example.org", TCP, 80).Allowed {
		t.Error("another protocol or port")
	}
	if v := p.ByName("bad.example.org", TCP, 443); v.Rule != 0 {
		t.Errorf("the denial that decides: %+v", v)
	}
}

// TestResolvesWithDeniedPorts checks that a name resolves as long as some port of the name is not denied.
func TestResolvesWithDeniedPorts(t *testing.T) {
	p := rules(t, []string{"a.example:1-100"}, []string{"a.example:1-50", "a.example:51-99"})
	if !p.Resolves("a.example").Allowed {
		t.Error("port 100 is left")
	}
	p = rules(t, []string{"a.example:1-100"}, []string{"a.example:1-50", "*:51-100"})
	if p.Resolves("a.example").Allowed {
		t.Error("no port is left")
	}
}

// TestSpecial checks that only a rule within the block of a private or special address covers that address.
func TestSpecial(t *testing.T) {
	wide := rules(t, []string{"0.0.0.0/0:80", "[::]/0:80", ":80"}, nil)
	for _, s := range []string{"10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "127.0.0.1", "0.0.0.0", "100.64.0.1", "168.63.129.16",
		"224.0.0.1", "255.255.255.255", "::1", "::", "fe80::1", "fd00::1", "ff02::1", "::ffff:10.1.2.3", "64:ff9b::a01:203", "2002:a01:203::1", "198.18.0.1"} {
		if v := wide.ByAddr(netip.MustParseAddr(s), TCP, 80); v.Allowed || v.Block == "" {
			t.Errorf("%s: %+v", s, v)
		}
	}
	for _, s := range []string{"203.0.113.1", "2606:4700::1", "::ffff:203.0.113.1"} {
		if v := wide.ByAddr(netip.MustParseAddr(s), TCP, 80); !v.Allowed {
			t.Errorf("%s: %+v", s, v)
		}
	}
	named := rules(t, []string{"10.0.0.0/8:80", "169.254.0.0/16:80"}, []string{"10.9.0.0/16"})
	for s, want := range map[string]bool{"10.1.2.3": true, "10.9.1.1": false, "169.254.1.1": true, "169.254.169.254": false, "192.168.0.1": false} {
		if v := named.ByAddr(netip.MustParseAddr(s), TCP, 80); v.Allowed != want {
			t.Errorf("%s: %+v", s, v)
		}
	}
}

func TestFlow(t *testing.T) {
	p := rules(t, []string{"good.example:443"}, []string{"198.51.100.0/24"})
	a := netip.MustParseAddr("203.0.113.1")
	if v, _ := p.Flow(a, nil, TCP, 443); v.Allowed {
		t.Error("an address that no name has led to")
	}
	if v, name := p.Flow(a, []string{"other.example", "good.example"}, TCP, 443); !v.Allowed || name != "good.example" {
		t.Errorf("a pinned address: %+v %s", v, name)
	}
	if v, _ := p.Flow(a, []string{"good.example"}, TCP, 80); v.Allowed {
		t.Error("another port of a pinned address")
	}
	if v, _ := p.Flow(netip.MustParseAddr("10.0.0.1"), []string{"good.example"}, TCP, 443); v.Allowed || v.Block == "" {
		t.Error("a name that leads to a private address")
	}
	if v, _ := p.Flow(netip.MustParseAddr("198.51.100.1"), []string{"good.example"}, TCP, 443); v.Allowed {
		t.Error("a name that leads to a denied address")
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"a:1", "*.b:1-2/udp", "[::1]:2", "10.0.0.0/8:1", ":1", "fd00::/8:80"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := ParseAllow(s)
		if err != nil {
			return
		}
		if len(r.Ports) == 0 || r.Proto == 0 || r.Kind == Range && !r.Prefix.IsValid() || r.Kind == Name && CheckName(r.Host) != nil {
			t.Errorf("%q: %+v", s, r)
		}
	})
}
