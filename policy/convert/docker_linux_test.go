package convert

import (
	"encoding/json"
	"testing"

	moby "github.com/moby/profiles/seccomp"
)

// dockerDefault is Docker's current default, as the file that is given to Docker.
func dockerDefault(t testing.TB) []byte {
	data, err := json.MarshalIndent(moby.DefaultProfile(), "", "\t")
	if err != nil {
		t.Fatal(err)
	}
	return data
}
