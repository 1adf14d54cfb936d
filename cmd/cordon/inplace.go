package main

import (
	"errors"
	"os"
	"slices"
	"strings"

	"cordon/policy"
	"cordon/policy/phrase"
	"cordon/sandbox"
)

// namespaceLayers are the layers that need namespaces. If a filter around cordon refuses the namespaces, the layer in
// the error is seccomp.
var namespaceLayers = [...]policy.Layer{policy.LayerUser, policy.LayerMount, policy.LayerPID, policy.LayerIPC, policy.LayerUTS, policy.LayerNet,
	policy.LayerCgroupNS, policy.LayerSeccomp}

// offer extends the error of a launch that got no namespaces. If the program can run in place (without namespaces) on
// this host, offer adds the command line that does so.
func offer(c *sandbox.Cmd, err error) error {
	var x *sandbox.UnsupportedError
	if err == nil || !errors.As(err, &x) || x.Err == nil || !slices.Contains(namespaceLayers[:], x.Layer) || c.Profile.Namespaces.None {
		return err
	}
	line, ok := inPlaceLine(os.Args)
	placed := *c.Profile
	placed.Namespaces.None = true
	if _, fault := sandbox.Compile(&placed, c.Host, c); fault != nil || !ok {
		return err
	}
	offered := *x
	offered.Remedy += "; or, without namespaces: " + line
	return &offered
}

// inPlaceLine returns a command line of cordon run with --in-place.
func inPlaceLine(args []string) (string, bool) {
	at := slices.Index(args, "run")
	if at < 1 || at > 1 {
		return "", false
	}
	words := []string{"cordon", "run", "--in-place"}
	for _, a := range args[2:] {
		words = append(words, phrase.Shell(a))
	}
	return strings.Join(words, " "), true
}
