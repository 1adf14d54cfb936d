package recording

import (
	"reflect"
	"strings"
	"testing"
)

// both reads a line with canonical and with the decoder. If canonical accepts the line, the decoder must accept it too,
// with the same result.
func both(t *testing.T, line string) (taken bool) {
	t.Helper()
	r := &Reader{calls: map[string]string{}}
	fast, slow := Event{Args: make([]Arg, 0, 2)}, Event{}
	taken = r.canonical([]byte(line), &fast)
	d := decoder{in: []byte(line), r: r}
	kind := d.line(&slow)
	if taken && (d.err != "" || kind != string(fast.Kind) || !reflect.DeepEqual(fast, slow)) {
		t.Errorf("%q: canonical %+v; the decoder %q %+v: %s", line, fast, kind, slow, d.err)
	}
	return taken
}

var canonicalLines = []struct {
	line  string
	taken bool
}{
	{`{"kind":"path","exe":3,"path":"/a b","via":"/c","access":["read","map","stat"],"type":"file","n":12,"errno":"ENOENT"}` + "\n", true},
	{`{"kind":"path","path":"/","access":["mount"],"n":1}` + "\n", true},
	{`{"kind":"call","exe":0,"call":"socket","arch":"i386","args":{"family":2,"type":1},"n":7,"errno":"EPERM"}` + "\n", true},
	{`{"kind":"call","call":"read","n":1}` + "\n", true},
	{`{"kind":"path","path":"/","access":["mount"],"n":1}`, false},                    // without its newline
	{`{"kind":"path","path":"/","access":["mount"],"n":1} ` + "\n", false},            // a space
	{`{"kind":"path","path":"/\u0041","access":["read"],"n":1}` + "\n", false},        // an escape
	{"{\"kind\":\"path\",\"path\":\"/\xff\",\"access\":[\"read\"],\"n\":1}\n", false}, // not ASCII
	{"{\"kind\":\"path\",\"path\":\"/\x01\",\"access\":[\"read\"],\"n\":1}\n", false}, // a control character
	{`{"kind":"path","path":"/","access":["read","read"],"n":1}` + "\n", false},       // a word twice
	{`{"kind":"path","path":"/","access":["fly"],"n":1}` + "\n", false},               // an unknown word
	{`{"kind":"path","path":"/","access":[],"n":1}` + "\n", false},                    // no word
	{`{"kind":"path","path":"/","access":["read"],"n":01}` + "\n", false},             // a leading zero
	{`{"kind":"path","path":"/","access":["read"],"n":18446744073709551616}` + "\n", false},
	{`{"kind":"path","path":"/","access":["read"],"n":-1}` + "\n", false},
	{`{"kind":"call","call":"read","args":{},"n":1}` + "\n", false},
	{`{"kind":"call","call":"read","args":{"a":1,"b":1,"c":1,"d":1,"e":1,"f":1,"g":1},"n":1}` + "\n", false},
	{`{"kind":"cap","cap":"NET_RAW","n":1}` + "\n", false},
	{"", false},
}

func TestCanonicalLines(t *testing.T) {
	for _, tt := range canonicalLines {
		if got := both(t, tt.line); got != tt.taken {
			t.Errorf("%q: taken %v", tt.line, got)
		}
	}
	taken := 0
	for line := range strings.Lines(text(t, sample(t))) {
		if both(t, line) {
			taken++
		}
	}
	if taken != 3 { // the path, the call, and the call without a name are taken
		t.Errorf("%d lines of the sample are taken", taken)
	}
}

// FuzzCanonical compares canonical with the decoder on arbitrary lines.
func FuzzCanonical(f *testing.F) {
	for _, tt := range canonicalLines {
		f.Add(tt.line)
	}
	f.Fuzz(func(t *testing.T, line string) { both(t, line) })
}
