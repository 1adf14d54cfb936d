package compile

// What the caller hands to a sandbox: arguments, variables and descriptors. A NUL ends a string for the kernel: behind
// one, a variable that the profile keeps would be followed by another that it does not. A descriptor is a way past every
// mount, so that only what cannot lead further is handed over.

import (
	"errors"
	"slices"
	"strconv"
	"strings"

	"cordon/policy"
	"cordon/sandbox/host"
	"cordon/sandbox/internal/fail"
)

// check refuses what does not mean what it seems to.
func (r *Request) check(p *policy.Profile) error {
	for i, arg := range r.Args {
		if strings.IndexByte(arg, 0) >= 0 {
			return &fail.Error{Op: "argument " + strconv.Itoa(i), Err: errNUL}
		}
	}
	if strings.IndexByte(r.Dir, 0) >= 0 {
		return &fail.Error{Op: "working directory", Err: errNUL}
	}
	if err := checkEnv(r.Env); err != nil {
		return err
	}
	if at := nulIn(p); at != "" {
		return &fail.Error{Op: at, Err: errNUL}
	}
	return r.CheckFiles(p.TTY != policy.TTYInherit)
}

// nulIn returns the key of a text with a NUL in a profile that no file can have said; "" if there is none.
func nulIn(p *policy.Profile) (key string) {
	has := func(texts ...string) bool {
		return slices.ContainsFunc(texts, func(s string) bool { return strings.IndexByte(s, 0) >= 0 })
	}
	look := func(name string, texts ...string) {
		if has(texts...) {
			key = name
		}
	}
	look("root", p.Root.Dir, p.Root.Overlay)
	for i := range p.Mounts {
		m := &p.Mounts[i]
		if has(m.Source, m.Target, m.Upper) || has(m.Mask.V...) || has(m.ReadOnly.V...) {
			key = "mounts[" + strconv.Itoa(i) + "]"
		}
	}
	for i := range p.Hide {
		if has(p.Hide[i].Pattern) {
			key = "hide[" + strconv.Itoa(i) + "]"
		}
	}
	for i := range p.Env.Set {
		look("env.set", p.Env.Set[i].Name, p.Env.Set[i].Value)
	}
	for _, list := range [...][]policy.PathItem{p.Landlock.Read.V, p.Landlock.Write.V, p.Landlock.Execute.V} {
		for i := range list {
			look("landlock", list[i].Path)
		}
	}
	n := &p.Namespaces
	look("namespaces", n.User.Path, n.Mount.Path, n.PID.Path, n.IPC.Path, n.UTS.Path, n.Cgroup.Path, n.Net.Path, n.Time.Path)
	look("process.workdir", p.Process.Workdir)
	look("hostname", p.Hostname)
	return key
}

var errNUL = errors.New("a NUL in a text")

func quoted(name string) string {
	name, _, _ = strings.Cut(name, "\x00")
	return name
}

// checkEnv refuses a NUL. An entry that is no variable is only left out: a caller inherits what somebody else made.
func checkEnv(env []string) error {
	for _, v := range env {
		if strings.IndexByte(v, 0) >= 0 {
			name, _, _ := strings.Cut(v, "=")
			return &fail.Error{Op: "environment " + quoted(name), Err: errNUL}
		}
	}
	return nil
}

// CheckFiles refuses descriptors that lead to more than what is behind them.
func (r *Request) CheckFiles(hidesTerminal bool) error {
	for i := range r.Stdio {
		if kind := r.Stdio[i].Refused; kind != "" {
			return fileError(StdioNames[i], kind)
		}
	}
	for i := range r.Extra {
		kind := r.Extra[i].Refused
		if r.Extra[i].Terminal && hidesTerminal {
			kind = "a terminal of the host, which tty: inherit alone gives to the task"
		}
		if kind != "" {
			return fileError("extra file "+strconv.Itoa(i), kind)
		}
	}
	return nil
}

func fileError(name, kind string) error {
	e := &fail.Error{Op: name, Err: errors.New("is " + kind)}
	if kind == host.KindDirectory {
		e.Hint = "bind the directory with --ro DIR instead"
	} else {
		e.Hint = "regular files, pipes, sockets, terminals and /dev/null and its like can be handed over"
	}
	return e
}
