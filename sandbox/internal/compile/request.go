// Package compile turns a profile, a host and a request into a plan. It decides, and touches nothing: it imports
// neither os nor syscall, it takes only numbers from package unix, and it sees the host through host.Files alone.
//
// # The order
//
// The table order in compile.go holds it, with the reason for each place. In short:
//
//   - Steps that open the child's own files in the host's /proc come before the ids, because a change of credentials
//     gives these files to root.
//   - Ids come before the mounts, so that the task's ids own what is made on the sandbox's own file systems.
//   - The parent-death signal comes after the ids, because a change of credentials clears it. If the launcher died
//     before the child set the signal, the launcher's end of the socket is closed. So the child, which waits for a
//     byte, gets none, and that is an error (plan.RecvByte).
//   - The child drops the bounding set while it has CAP_SETPCAP, and before the fork. no_new_privs comes before
//     Landlock and seccomp, because an unprivileged process may not use these two without it.
//   - The network namespace takes a quarter of a launch. The child makes it before the fork, while the launcher
//     compiles the mounts.
//   - The mounts come in the profile's order, hide rules after all of them, the program's own file after both. Then
//     the launcher's own mounts become read-only.
//   - The child mounts nothing after it has entered the root. From then on the launcher reads the mount table back,
//     and meanwhile the task makes Landlock's rules.
//   - Landlock is enforced after the last mount, because it forbids mounting.
//   - rlimits come after the last descriptor is opened, because the launcher may hold more descriptors than the task
//     is allowed.
//   - The barrier ("T") comes after all that and before the filter. By then the launcher has read the mounts back, or
//     it refuses to go on.
//   - seccomp is last. execve is the only call under the filter, so that a profile describes the program and not the
//     launcher.
//
// A program that joins a sandbox (exec.go) has execOrder. It has the same phases if they need not differ. Its child
// enters everything from outside, waits until the launcher has checked where the child is, conceals itself, and is
// born again inside.
//
// A program that runs in place (inplace.go) has placeOrder. Its mounts are compiled for the picture alone, from which
// internal/grant derives Landlock's rules.
//
// # Paths
//
// The new root is stacked on "/" of the child's mount namespace. Until the child enters it, a path means the host and
// a descriptor of the new root means the sandbox. The kernel resolves a target once, below the root's descriptor
// (openat2, RESOLVE_IN_ROOT; name by name on a host that refuses openat2). From then on the target is a descriptor. A
// source is opened without following any link. What this package resolves itself, by internal/picture, only decides
// and explains. Nothing is made on the host's tree: a target exists there or is an error, and the launcher's own
// files lie on a tmpfs of its own, the scratch file system.
//
// # The files
//
//	compile.go      the order; the steps that belong to no layer
//	request.go      the command as data, and what is refused in it; who watches; what is kept for others
//	namespaces.go   which namespaces are new, joined or the host's, and how the child enters one that exists
//	identity.go     who the task is, inside and outside; its capabilities; who may make files with set-id bits
//	rootfs.go       the root, sources and targets; how a plan opens a path, also if the host refuses openat2(2)
//	mounts.go       the profile's mounts; proc.go: /proc, /dev and files that the launcher makes
//	overlay.go      overlays; layer.go: the directory that keeps the changes, and overlays over read-only directories
//	cover.go        mounts that hide and protect, and the plan that mounts one of them again
//	places.go       where the sandbox shows a thing of the host; homes, and links in them
//	hide.go hideglob.go hidenames.go hidelinks.go   what a hide rule means
//	git.go gitrepo.go gitcommands.go   repositories in what the task may write
//	own.go          what decides on the next run, which no task can write
//	sockets.go      the host's sockets
//	lookup.go       the program, its environment and its interpreter; showprogram.go: how a hidden program is bound
//	seccomp.go landlock.go cgroup.go rlimits.go stdio.go   a layer each
//	exec.go         a program that joins a sandbox
//	inplace.go      a program without namespaces
//	hints.go        advice from what the command names
package compile

// This file describes what a plan is compiled for: a command as data. It reads nothing of the caller's process. The
// maker of a Request has already looked at the environment and at the files.

import (
	"errors"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"cordon/policy"
	"cordon/policy/filter"
	"cordon/sandbox/host"
	"cordon/sandbox/internal/attach"
	"cordon/sandbox/internal/fail"
	"cordon/sandbox/internal/proc"
	"cordon/sandbox/ledger"
	"cordon/sandbox/plan"
	"cordon/sandbox/report"
)

// A Request describes the command.
type Request struct {
	Args     []string
	Env      []string         // NAME=VALUE; with Into: variables that replace the sandbox's own
	Stdio    [3]host.Stdio    // standard input, output and error
	Extra    []host.Stdio     // entry i becomes descriptor 3+i
	Terminal bool             // the task gets a terminal of its own, whatever Stdio and the profile say
	Recorded bool             // the output of that terminal is recorded
	Keep     bool             // the launcher keeps what it needs to start other programs in the sandbox
	Into     *attach.Attached // the running sandbox that the program joins; nil for a new sandbox
	Dir      string           // with Into: the working directory, inside; "" is the sandbox's own

	Profiles []ledger.Text // the files that the profile was read from: the task cannot write them
	Search   []string      // where profiles are looked for: the task cannot write or make these directories

	WhyInPlace string // why the host makes no namespaces, if missing: [namespaces] permits that

	Private string // the directory that the launcher made for a program in place; "" if nothing will be run

	TaskID int    // the task's uid and gid on the host, if root starts it; 0 in a plan that is only printed
	Nonce  uint64 // the number in the launcher's execveat; 0 in a plan that is only printed

	Observed bool         // an observer watches the task, and the profile's filter is not installed
	Watch    *filter.Spec // the filter that the observer asks for; nil if it asks for none

	Groups  *Groups                 // what the launcher has made of the choice; nil if nothing will be run
	MakeDir func(path string) error // makes a directory that the task could make; nil if nothing will be run
	Exposed bool                    // for tests: do not conceal a joining program from the processes inside
}

// StdinOwner returns the user id whose regular file on standard input the task opens again, or -1 if it opens none.
func StdinOwner(p *policy.Profile, h *host.Host) int {
	if h.UID == 0 && p.User.Host != policy.HostCaller {
		return -1
	}
	return h.UID
}

// What the caller hands to a sandbox: arguments, variables and descriptors. A NUL ends a string for the kernel: after
// a NUL, a variable that the profile keeps could be followed by another that it does not keep. A descriptor is a way
// past every mount. So only descriptors that lead no further are handed over.

// check refuses a request that does not mean what it seems to mean.
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

// nulIn returns the key of a text with a NUL, or "" if there is none. No profile in a file can have such a text.
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

// quoted returns the part of a name before a NUL.
func quoted(name string) string {
	name, _, _ = strings.Cut(name, "\x00")
	return name
}

// checkEnv refuses a NUL. An entry that is no variable is no error, only left out, because a caller inherits what
// other programs made.
func checkEnv(env []string) error {
	for _, v := range env {
		if strings.IndexByte(v, 0) >= 0 {
			name, _, _ := strings.Cut(v, "=")
			return &fail.Error{Op: "environment " + quoted(name), Err: errNUL}
		}
	}
	return nil
}

// networkVars say how programs reach a network: by which proxy, and whose certificates they trust.
var networkVars = [...]string{"http_proxy", "https_proxy", "all_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY",
	"SSL_CERT_FILE", "SSL_CERT_DIR", "NODE_EXTRA_CA_CERTS", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO"}

// ofNetwork reports whether a variable is kept because the network is the host's. It is, if it is one of networkVars
// and does not hold a user or a password of a proxy.
func (c *Compilation) ofNetwork(name, entry string) bool {
	if c.Profile.Network.Mode != policy.NetworkHost || !slices.Contains(networkVars[:], name) {
		return false
	}
	// In an address, "@" ends the user and the password (RFC 3986, 3.2.1).
	if strings.Contains(entry, "@") {
		c.Left = append(c.Left, report.Added{Path: "$" + name, Why: "it holds a user or a password; a profile that keeps it names it"})
		return false
	}
	return true
}

// CheckFiles refuses descriptors that give access to more than one file: a directory leads on to everything below it.
// From the descriptor of a directory, openat(2) with ".." leads up to the root of the host, past every mount of the
// sandbox (CVE-2024-21626).
func (r *Request) CheckFiles(hidesTerminal bool) error {
	for i := range r.Stdio {
		if kind := r.Stdio[i].Refused; kind != "" {
			return fileError(StdioNames[i], kind)
		}
	}
	for i := range r.Extra {
		kind := r.Extra[i].Refused
		// A terminal among the extra files would be a way past a profile that withholds the terminal, or gives the
		// task its own.
		if r.Extra[i].Terminal && hidesTerminal {
			kind = "a terminal of the host, which the task gets only with tty: inherit"
		}
		if kind != "" {
			return fileError("extra file "+strconv.Itoa(i), kind)
		}
	}
	return nil
}

// fileError returns the error for a descriptor that no task may have.
func fileError(name, kind string) error {
	e := &fail.Error{Op: name, Err: errors.New("is " + kind)}
	if kind == host.KindDirectory {
		e.Hint = "bind the directory with --ro DIR instead"
	} else {
		e.Hint = "cordon passes on only regular files, pipes, sockets, terminals, /dev/null and similar devices"
	}
	return e
}

// A run that is watched and not confined by seccomp, for a recorder. seccomp_unotify(2): after the answer "go on" the
// kernel executes the call, and reads the task's memory once more. Another thread of the task can change what a
// pointer points to between the observer's look and the call. So what an observer sees is evidence and never a
// decision, and such a run reports no seccomp layer.

// watched reports whether the task gets an observer's filter.
func (c *Compilation) watched() bool { return c.Req.Watch != nil }

// Observed reports whether an observer watches the task, in place of the profile's filter.
func (c *Compilation) Observed() bool { return c.Req.Observed }

// AsItIs reports whether the task gets the host's tree, with everything that the caller may do there. No profile can
// ask for this; it is for an audited program.
func (c *Compilation) AsItIs() bool {
	return c.Observed() && c.Profile.Root.Kind == policy.RootHost && c.Profile.Root.Write
}

// watch installs the observer's filter. The launcher's own call is an execveat with a number that nobody else knows.
// So the filter can notify the observer of every other execve. If the observer asks for no filter, the task runs
// without any.
func (c *Compilation) watch() error {
	spec := c.Req.Watch
	if spec == nil {
		return nil
	}
	// The rules are copied, so that the observer's own list stays as it is.
	watching := *spec
	watching.Rules = append(watching.Rules[:len(watching.Rules):len(watching.Rules)],
		filter.Rule{Call: "execveat", Expr: "nonce == 0x" + proc.Hex16(c.Nonce), Else: filter.Action{Kind: filter.Notify}})
	prog, err := filter.Compile(watching, c.Arch)
	if err != nil {
		return err
	}
	c.listenWith(own("observer"), own("observer"), filter.Encode(prog.Insns))
	return nil
}

// planObserver reserves the listener of an observer's filter. Without a listener nothing would be seen, so that is an
// error.
func (c *Compilation) planObserver() error {
	if !c.watched() {
		return nil
	}
	if why := c.noListener(); why != "" {
		return &fail.UnsupportedError{Layer: policy.LayerDenials, Why: why, Remedy: "cordon doctor says what this host lacks"}
	}
	c.reserveListener(own("observer"))
	return nil
}

// What the launcher keeps of a sandbox, so that another program can be started in it: the ruleset, and the filter
// without its listener.

// keepRuleset hands Landlock's ruleset to the launcher, if the launcher is to keep it.
func (c *Compilation) keepRuleset() {
	if !c.Req.Keep {
		return
	}
	c.do(c.scalar("landlock"), plan.SendKept(plan.F(FileSync), MsgRules, plan.Ruleset))
}

// PlainFilter returns the profile's filter without the parts of a single launch: reports, and a nonce. The launcher
// keeps it with the sandbox, and a program that joins the sandbox must have the same one, byte for byte: see
// checkJoin.
func (c *Compilation) PlainFilter() ([]byte, error) {
	spec, err := c.Profile.FilterOnce(0)
	if err != nil {
		return nil, err
	}
	prog, err := filter.Compile(spec, c.Arch)
	if err != nil {
		return nil, err
	}
	return []byte(filter.Encode(prog.Insns)), nil
}

// letExec makes a filter allow the launcher's own execveat. A profile that allows only execve cannot mean to forbid
// that programs join. The program gains only a call that passes with a number that it cannot know.
func (c *Compilation) letExec(spec filter.Spec) (filter.Spec, error) {
	// The rule for the launcher's call is added once. If the call is still denied then, the profile itself denies it.
	for {
		prog, err := filter.Compile(spec, c.Arch)
		if err != nil {
			return spec, err
		}
		// execveat(2) has five arguments. The kernel ignores a sixth, but a filter sees it. So the nonce, as the
		// sixth, marks the launcher's own call without changing what the call does.
		call := filter.Data{Nr: unix.SYS_EXECVEAT, Arch: c.Arch.Audit(), Args: [6]uint64{3, 0, 0, 0, unix.AT_EMPTY_PATH, c.Nonce}}
		if a := prog.Action(&call); a.Kind == filter.Allow || a.Kind == filter.Log {
			return spec, nil
		}
		if own := policy.OwnExec(c.Nonce); !slices.Contains(spec.Rules, own) {
			spec.Rules = append(slices.Clip(spec.Rules), own)
			continue
		}
		return spec, &fail.Error{Op: "exec", Err: errors.New("the profile denies execveat, which starts a program in a running sandbox"),
			Hint: "use a profile that does not deny execveat and has no rule about it"}
	}
}
