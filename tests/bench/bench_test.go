package main

import "testing"

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
