package profiles

import "testing"

func BenchmarkLoadDefault(b *testing.B) {
	s := DefaultSearch(func(k string) string { return map[string]string{"HOME": b.TempDir()}[k] })
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Load([]string{"default"}, nil); err != nil {
			b.Fatal(err)
		}
	}
}
