package convert

import (
	"encoding/json"
	"testing"

	moby "github.com/moby/profiles/seccomp"
)

// dockerDefault returns Docker's current default profile, in the form that Docker reads.
func dockerDefault(t testing.TB) []byte {
	data, err := json.MarshalIndent(moby.DefaultProfile(), "", "\t")
	if err != nil {
		t.Fatal(err)
	}
	return data
}
