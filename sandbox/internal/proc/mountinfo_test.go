package proc

import (
	"slices"
	"testing"
)

func TestUnescape(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"/plain", "/plain"}, {`/a\040b`, "/a b"}, {`\011\012\134`, "\t\n\\"}, {`/x\04`, `/x\04`}, {`/x\`, `/x\`}, {`\400`, `\400`}, {`\0401`, " 1"},
	} {
		if got := Unescape(tt.in); got != tt.want {
			t.Errorf("%q: %q, want %q", tt.in, got, tt.want)
		}
	}
}

func TestLayers(t *testing.T) {
	table, err := ParseMounts([]byte(`21 1 8:1 / / rw - ext4 /dev/sda1 rw,lowerdir=/x
30 21 0:9 / /mnt rw - overlay o\040v rw,lowerdir=/a:/b\040c::/data,upperdir=/u,workdir=/w,lowerdir+=l/rel,xino=off
31 21 0:8 / /t rw - tmpfs none rw
`))
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range [][]string{nil, {"/a", "/b c", "/data", "/u", "l/rel"}, nil} {
		if got := table.List[i].Layers(); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", table.List[i].Point, got, want)
		}
	}
}

// TestCovered checks a table in which the old root covers the new root.
func TestCovered(t *testing.T) {
	const line = " ro - tmpfs none ro\n"
	for _, tt := range []struct {
		name, text string
		want       bool
	}{
		{"the root alone", "10 1 0:1 / /" + line, false},
		{"below it", "10 1 0:1 / /" + line + "11 10 0:2 / /tmp" + line + "12 11 0:2 / /tmp" + line, false},
		{"over it", "11 10 0:2 / /tmp" + line + "12 10 0:3 / /" + line + "10 1 0:1 / /" + line, true},
		{"no root", "11 10 0:2 / /tmp" + line, false},
		{"empty", "", false},
	} {
		table, err := ParseMounts([]byte(tt.text))
		if err != nil {
			t.Fatal(err)
		}
		if got := table.Covered(); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
}
