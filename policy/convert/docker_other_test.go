//go:build !linux

package convert

import "testing"

func dockerDefault(t testing.TB) []byte {
	t.Skip("moby's package has the profile on Linux only")
	return nil
}
