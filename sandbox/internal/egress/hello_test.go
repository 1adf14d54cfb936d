package egress

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"testing"

	"cordon/sandbox/report"
)

// clientHello returns the first record that Go's client sends.
func clientHello(t *testing.T, name string) []byte {
	t.Helper()
	client, server := net.Pipe()
	defer server.Close()
	go func() {
		defer client.Close()
		_ = tls.Client(client, &tls.Config{ServerName: name, InsecureSkipVerify: true}).Handshake() // nobody answers
	}()
	head := make([]byte, 5)
	if _, err := io.ReadFull(server, head); err != nil {
		t.Fatal(err)
	}
	body := make([]byte, binary.BigEndian.Uint16(head[3:]))
	if _, err := io.ReadFull(server, body); err != nil {
		t.Fatal(err)
	}
	return append(head, body...)
}

// split distributes a record over records of n bytes.
func split(record []byte, n int) (out []byte) {
	for body := record[5:]; len(body) > 0; {
		part := body[:min(n, len(body))]
		out = append(binary.BigEndian.AppendUint16(append(out, record[:3]...), uint16(len(part))), part...)
		body = body[len(part):]
	}
	return out
}

// withExtensions returns a small ClientHello that has these extensions.
func withExtensions(extensions ...[]byte) []byte {
	list := bytes.Join(extensions, nil)
	body := append([]byte{3, 3}, make([]byte, 32)...)
	body = append(body, 0, 0, 2, 0x13, 1, 1, 0)
	body = append(binary.BigEndian.AppendUint16(body, uint16(len(list))), list...)
	message := append([]byte{1, 0, byte(len(body) >> 8), byte(len(body))}, body...)
	return append([]byte{22, 3, 1, byte(len(message) >> 8), byte(len(message))}, message...)
}

// serverName returns the extension that holds a name.
func serverName(name string) []byte {
	n := byte(len(name))
	return append([]byte{0, 0, 0, n + 5, 0, n + 3, 0, 0, n}, name...)
}

func TestReadHello(t *testing.T) {
	whole := clientHello(t, "Good.Example.org")
	encrypted := []byte{0xfe, 0x0d, 0, 1, 0}
	for what, tt := range map[string]struct {
		in   []byte
		want hello
	}{
		"a name":                      {whole, hello{state: helloWhole, name: "good.example.org"}},
		"a name, and what follows":    {append(bytes.Clone(whole), 20, 3, 3, 0, 1, 1), hello{state: helloWhole, name: "good.example.org"}},
		"split into records":          {split(whole, 50), hello{state: helloWhole, name: "good.example.org"}},
		"split into too many records": {split(whole, 1), hello{state: helloBroken}},
		"no name":                     {clientHello(t, ""), hello{state: helloWhole}},
		"no name, small":              {withExtensions(), hello{state: helloWhole}},
		"a name with a dot":           {withExtensions(serverName("a.example.")), hello{state: helloWhole, name: "a.example"}},
		"an encrypted name":           {withExtensions(serverName("a.example"), encrypted), hello{state: helloWhole, name: "a.example", encrypted: true}},
		"two names":                   {withExtensions(serverName("a.example"), serverName("b.example")), hello{state: helloBroken}},
		"two names in one extension":  {withExtensions(append([]byte{0, 0, 0, 10, 0, 8, 0, 0, 1, 'a', 0, 0, 1}, 'b')), hello{state: helloBroken}},
		"an empty name":               {withExtensions(serverName("")), hello{state: helloBroken}},
		"a length beyond the message": {withExtensions([]byte{0, 0, 0, 90}), hello{state: helloBroken}},
		"HTTP":                        {[]byte("GET / HTTP/1.0\r\n"), hello{state: helloOther}},
		"SSH":                         {[]byte("SSH-2.0-x\r\n"), hello{state: helloOther}},
		"not TLS after a byte":        {[]byte{22, 1, 1}, hello{state: helloOther}},
		"an alert first":              {append([]byte{21, 3, 1, 0, 2, 1, 0}, whole...), hello{state: helloBroken}},
		"another message":             {[]byte{22, 3, 1, 0, 4, 2, 0, 0, 0}, hello{state: helloBroken}},
		"an empty record":             {append([]byte{22, 3, 1, 0, 0}, whole...), hello{state: helloBroken}},
		"too long":                    {[]byte{22, 3, 1, 0, 4, 1, 1, 0, 0}, hello{state: helloBroken}},
		"a record, then no TLS":       {append(split(whole, 50)[:55], "GET /"...), hello{state: helloBroken}},
	} {
		if got := readHello(tt.in); got != tt.want {
			t.Errorf("%s: %+v", what, got)
		}
	}
	for i := range len(whole) {
		if got := readHello(whole[:i]); got != (hello{}) {
			t.Fatalf("%d of %d bytes: %+v", i, len(whole), got)
		}
	}
}

func FuzzReadHello(f *testing.F) {
	f.Add(withExtensions(serverName("a.example")))
	f.Add([]byte("GET / HTTP/1.0"))
	f.Fuzz(func(t *testing.T, b []byte) {
		last := readHello(b)
		for i := range b { // what is decided stays decided, however the bytes arrive
			if got := readHello(b[:i]); got.state != helloMore && got != last {
				t.Fatalf("%d of %d bytes: %+v, all: %+v", i, len(b), got, last)
			}
		}
	})
}

func TestAllowsHello(t *testing.T) {
	s := server(t, "*.example.org:443", "bad.example.org:22")
	to := netip.MustParseAddrPort("203.0.113.1:443")
	s.pins.add("a.example.org", to.Addr())
	s.pins.add("b.example.org", netip.MustParseAddr("203.0.113.2"))
	for _, tt := range []struct {
		h             hello
		plain, strict bool
	}{
		{hello{state: helloWhole, name: "a.example.org"}, true, true},
		{hello{state: helloWhole, name: "b.example.org"}, false, false},
		{hello{state: helloWhole, name: "c.example.org"}, false, false},
		{hello{state: helloWhole, name: "other.example.com"}, false, false},
		{hello{state: helloWhole, name: "203.0.113.1"}, false, false},
		{hello{state: helloWhole, name: "a b"}, false, false},
		{hello{state: helloWhole, name: "a.example.org", encrypted: true}, true, false},
		{hello{state: helloWhole}, true, false},
		{hello{state: helloOther}, true, true},
		{hello{state: helloBroken}, false, false},
	} {
		for _, strict := range []bool{false, true} {
			s.RequireName = strict
			x := report.Flow{Verdict: report.FlowAllowed, Rule: "rule"}
			want := tt.plain
			if strict {
				want = tt.strict
			}
			if got := s.allowsHello(tt.h, to, &x); got != want || got != (x.Verdict == report.FlowAllowed) || !got && x.Why == "" {
				t.Errorf("%+v, require-name %v: %v, %+v", tt.h, strict, got, x)
			}
		}
	}
}
