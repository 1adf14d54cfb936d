package record

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"cordon/policy/filter"
	"cordon/policy/recording"
)

// dns builds a message: id, flags, counts, then its parts.
func dns(flags string, questions, answers byte, parts ...string) []byte {
	return []byte("\x12\x34" + flags + "\x00" + string(questions) + "\x00" + string(answers) + "\x00\x00\x00\x00" + strings.Join(parts, ""))
}

const (
	okFlags  = "\x81\x80"
	asksA    = "\x07Example\x03org\x00\x00\x01\x00\x01"
	answersA = "\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\xc0\x00\x02\x07"
	answers6 = "\xc0\x0c\x00\x1c\x00\x01\x00\x00\x00\x3c\x00\x10\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01"
	alias    = "\xc0\x0c\x00\x05\x00\x01\x00\x00\x00\x3c\x00\x06\x03www\xc0\x14"
	ofAlias  = "\x03www\x03org\x00\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\xc0\x00\x02\x08"
)

func TestParseAnswer(t *testing.T) {
	for _, tt := range []struct {
		what string
		in   []byte
		name string
		want []string
	}{
		{"both kinds", dns(okFlags, 1, 2, asksA, answersA, answers6), "example.org", []string{"192.0.2.7", "2001:db8::1"}},
		{"an alias", dns(okFlags, 1, 2, asksA, alias, ofAlias), "example.org", []string{"192.0.2.8"}},
		{"fewer than it says", dns(okFlags, 1, 9, asksA, answersA), "example.org", []string{"192.0.2.7"}},
		{"cut off", dns(okFlags, 1, 1, asksA, answersA[:14]), "example.org", nil},
		{"nothing found", dns("\x81\x83", 1, 1, asksA, answersA), "", nil},
		{"a question", dns("\x01\x00", 1, 1, asksA, answersA), "", nil},
		{"an update", dns("\xa8\x00", 1, 1, asksA, answersA), "", nil},
		{"two questions", dns(okFlags, 2, 1, asksA, asksA, answersA), "", nil},
		{"no question", dns(okFlags, 0, 1, answersA), "", nil},
		{"the root", dns(okFlags, 1, 1, "\x00\x00\x01\x00\x01", answersA), "", nil},
		{"a name with an end of line", dns(okFlags, 1, 1, "\x04a\nb:\x00\x00\x01\x00\x01", answersA), "", nil},
		{"a name that points elsewhere", dns(okFlags, 1, 1, "\xc0\x0c\x00\x01\x00\x01", answersA), "", nil},
		{"an answer whose name has no end", dns(okFlags, 1, 1, asksA, strings.Repeat("\x01a", 40)), "example.org", nil},
		{"an address of another length", dns(okFlags, 1, 1, asksA, answersA[:11]+"\x03\xc0\x00\x02"), "example.org", nil},
		{"a name too long", dns(okFlags, 1, 1, strings.Repeat("\x3f"+strings.Repeat("a", 63), 5)+"\x00\x00\x01\x00\x01", answersA), "", nil},
		{"nothing", nil, "", nil},
	} {
		name, addrs := parseAnswer(tt.in)
		var got []string
		for _, a := range addrs {
			got = append(got, a.String())
		}
		if name != tt.name || !slices.Equal(got, tt.want) {
			t.Errorf("%s: %q %q, want %q %q", tt.what, name, got, tt.name, tt.want)
		}
	}
}

// An address gets the name for which the program itself has received it. It gets the name from another program only if
// all programs have received it for the same name.
func TestNamesOfAddresses(t *testing.T) {
	g := newGather(filter.AMD64)
	for _, path := range []string{"/a", "/b", "/c"} {
		g.exes.Executable(recording.Executable{Path: path})
	}
	g.answered(0, dns(okFlags, 1, 1, asksA, answersA))
	g.answered(1, dns(okFlags, 1, 1, "\x05other\x00\x00\x01\x00\x01", answersA))
	g.answered(1, dns(okFlags, 1, 1, asksA, answers6))
	for i, addr := range []string{"192.0.2.7", "192.0.2.7", "192.0.2.7", "2001:db8::1", "::ffff:192.0.2.7", "203.0.113.1"} {
		exe := []int{0, 1, 2, 2, 0, 0}[i]
		g.add(fact{exe: exe, kind: recording.KindNet, text: addr + string(rune('0'+exe))}, recording.Event{Net: recording.Net{Op: "connect", Family: "inet", Addr: addr, Port: 443}})
	}
	rec, _ := g.recording()
	got := map[string]string{}
	for _, e := range rec.Events {
		got[rec.Executables[e.Exe].Path+" "+e.Net.Addr] = e.Net.Name
	}
	for what, want := range map[string]string{
		"/a 192.0.2.7": "example.org", "/b 192.0.2.7": "other", "/c 192.0.2.7": "", "/c 2001:db8::1": "example.org",
		"/a ::ffff:192.0.2.7": "example.org", "/a 203.0.113.1": "",
	} {
		if got[what] != want {
			t.Errorf("%s: %q, want %q", what, got[what], want)
		}
	}
}

func TestLookupsAreBounded(t *testing.T) {
	g := newGather(filter.AMD64)
	m := dns(okFlags, 1, 1, asksA, answersA)
	for i := range maxLookups + 10 {
		m[len(m)-1], m[len(m)-2] = byte(i), byte(i>>8)
		g.answered(0, m)
	}
	if len(g.lookups) != maxLookups {
		t.Errorf("%d lookups are remembered", len(g.lookups))
	}
}

func FuzzParseAnswer(f *testing.F) {
	f.Add(dns(okFlags, 1, 2, asksA, answersA, answers6))
	f.Add(dns(okFlags, 1, 2, asksA, alias, ofAlias))
	f.Fuzz(func(t *testing.T, m []byte) {
		name, addrs := parseAnswer(m)
		if len(name) > 253 || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-_.") != "" || len(addrs) > 0 && name == "" || len(addrs) > maxRecords {
			t.Errorf("%q %v", name, addrs)
		}
		for _, a := range addrs {
			if a == (netip.Addr{}) {
				t.Error("no address")
			}
		}
	})
}
