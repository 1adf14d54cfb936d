package proc

import "testing"

func TestUnescape(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"/plain", "/plain"}, {`/a\040b`, "/a b"}, {`\011\012\134`, "\t\n\\"}, {`/x\04`, `/x\04`}, {`/x\`, `/x\`}, {`\400`, `\400`}, {`\0401`, " 1"},
	} {
		if got := Unescape(tt.in); got != tt.want {
			t.Errorf("%q: %q, want %q", tt.in, got, tt.want)
		}
	}
}
