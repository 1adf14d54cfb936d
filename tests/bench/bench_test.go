package main

import (
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// The same that `make bench` puts into its table, for go test -bench and its profiles (-cpuprofile, -memprofile).

func BenchmarkLoadAndCompile(b *testing.B) {
	for _, name := range shipped {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := loadAndCompile(name); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkLaunch(b *testing.B) {
	for b.Loop() {
		if _, err := launch(); err != nil {
			b.Fatal(err)
		}
	}
}

// TestCallTime takes no call for a denied one that is not.
func TestCallTime(t *testing.T) {
	if ns, err := callTime(100, 0, unix.SYS_GETPPID); err != nil || ns <= 0 {
		t.Errorf("getppid: %v ns, %v", ns, err)
	}
	if _, err := callTime(100, unix.EPERM, unix.SYS_GETPPID); err == nil {
		t.Error("getppid is denied")
	}
}

// TestFormatDenials judges the allowed call, and only shows the others.
func TestFormatDenials(t *testing.T) {
	f := &figures{
		Rows:     []row{{Name: nameCordon, Times: []float64{0.0066}}, {Name: nameSilent, Times: []float64{0.006}}},
		Reported: callCost{[]float64{300, 282, 290}, []float64{9000}},
		Silent:   callCost{[]float64{264}, []float64{200}},
	}
	if c := f.denialCheck(); c.got <= c.most || c.show(c.got) != "1.10 ×" {
		t.Errorf("%s passes for %s", c.show(c.got), c.show(c.most))
	}
	var b strings.Builder
	f.formatDenials(&b)
	for _, want := range []string{
		"| reported | 6.6ms | 6.6ms | 290 ns (282 ns) | 9.00 µs (9.00 µs) |",
		"| not reported | 6ms | 6ms | 264 ns (264 ns) | 0.20 µs (0.20 µs) |",
		"| ratio | 1.10 | 1.10 | 1.10 | 45.0 |",
	} {
		if !strings.Contains(b.String(), want+"\n") {
			t.Errorf("no %s in\n%s", want, b.String())
		}
	}
}
