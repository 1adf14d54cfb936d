package compile

import (
	"slices"
	"testing"

	"cordon/policy"
	"cordon/sandbox/internal/sandboxtest"
)

// Variables about the network are kept only if the network is the host's, and never if they contain a password.
func TestNetworkVars(t *testing.T) {
	env := []string{"HTTPS_PROXY=http://proxy:3128", "http_proxy=http://me:secret@proxy:3128", "SSL_CERT_FILE=/etc/ca@corp.pem", "TOKEN=x", "NO_PROXY=me@corp",
		"ALL_PROXY=socks5://me:pa/ss@proxy"}
	for mode, want := range map[policy.NetworkMode][]string{policy.NetworkNone: {}, policy.NetworkHost: {env[0], env[2], env[4]}} {
		c, err := Compile(sandboxtest.With(func(p *policy.Profile) {
			p.Root, p.Network = policy.Root{Kind: policy.RootHost}, policy.Network{Mode: mode}
		}), sandboxtest.FakeUser(), &Request{Args: []string{"/usr/bin/true"}, Env: env}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(c.Program.Env, want) {
			t.Errorf("%v: %q, not %q", mode, c.Program.Env, want)
		}
	}
}
