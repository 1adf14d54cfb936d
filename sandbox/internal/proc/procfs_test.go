package proc

import "testing"

func TestStatusField(t *testing.T) {
	text := []byte("Name:\tCapBnd:\t7\nCapBnd:\t000001ffffffffff\nNoNewPrivs:\t1\nSeccomp:\t2\nSeccomp_filters:\t3\nEmpty:\n")
	for key, want := range map[string]string{"CapBnd": "000001ffffffffff", "NoNewPrivs": "1", "Seccomp": "2", "Seccomp_filters": "3", "Empty": "", "Cap": "absent", "CapAmb": "absent"} {
		if got := StatusField(text, key); got != want {
			t.Errorf("%s: %q, want %q", key, got, want)
		}
	}
	if got := Hex16(1<<40 | 0x21); got != "0000010000000021" {
		t.Error(got)
	}
}
