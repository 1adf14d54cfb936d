// Package compile turns a profile, a host and a request into a plan: the list of system calls that make a sandbox. It
// decides, and touches nothing: it imports neither os nor syscall, it takes only numbers from package unix, and it sees
// the host through host.Files alone.
//
// # The order
//
// The table order in compile.go holds the order of a plan's phases, with the reason for each place. In short:
//
//   - Steps that open the child's own files in the host's /proc come before the ids, because a change of credentials
//     gives these files to root.
//   - Ids come before the mounts, so that the task's ids own what is made on the sandbox's own file systems.
//   - The parent-death signal comes after the ids, because a change of credentials clears it. If the launcher died
//     before the child set the signal, the launcher's end of the socket is closed. So the child, which waits for a
//     byte, gets none, and that is an error (plan.RecvByte).
//   - The child drops the bounding set while it has CAP_SETPCAP, and before the fork. no_new_privs comes before
//     Landlock and seccomp, because an unprivileged process may not use these two without it.
//   - The network namespace takes a quarter of the time of a launch. The child makes it before the fork, while the
//     launcher compiles the mounts.
//   - The mounts come in the profile's order, the hide rules after all mounts, and the program's own file after both.
//     Then the launcher's own mounts become read-only.
//   - The child mounts nothing after it has entered the root. From then on the launcher reads the mount table back.
//     Meanwhile the task makes Landlock's rules.
//   - Landlock is enforced after the last mount, because it forbids mounting.
//   - rlimits come after the last descriptor is opened, because the launcher may hold more descriptors than the task
//     may.
//   - The barrier, at which the task waits for the launcher (message "T"), comes after all that and before the filter.
//     By then the launcher has read the mounts back, or it refuses to go on.
//   - seccomp is last. execve is the only call under the filter, so that a profile describes the program and not the
//     launcher.
//
// The plan of a program that joins a sandbox (exec.go) follows the table execOrder. It has the same phases, except for
// those that must differ. Its child enters everything from outside, waits until the launcher has checked where the
// child is, conceals itself, and is born again inside.
//
// The plan of a program that runs in place (inplace.go) follows the table placeOrder. Its mounts are not made. They
// only go into the model of the tree (picture.Tree), from which internal/grant derives Landlock rules.
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

// This file describes the input of a compilation: the command as data. It reads nothing from the caller's process.
// Whoever makes a Request has already read the environment and examined the files.

import (
	"cmp"
	"errors"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"cordon/policy"
	"cordon/policy/filter"
	"cordon/sandbox/host"
	"cordon/sandbox/internal/attach"
	"cordon/sandbox/internal/cache"
	"cordon/sandbox/internal/fail"
	"cordon/sandbox/internal/proc"
	"cordon/sandbox/internal/walk"
	"cordon/sandbox/ledger"
	"cordon/sandbox/plan"
	"cordon/sandbox/report"
)

// A Request describes the command to run.
type Request struct {
	Args     []string
	Env      []string         // NAME=VALUE; with Into: variables that replace the sandbox's own
	Stdio    [3]host.Stdio    // standard input, output and error
	Extra    []host.Stdio     // entry i becomes descriptor 3+i
	Terminal bool             // the task gets a terminal of its own, whatever Stdio and the profile say
	Recorded bool             // the output of that terminal is recorded
	Keep     bool             // the launcher keeps what it needs to start other programs in the sandbox
	Into     *attach.Attached // the running sandbox that the program joins (cordon exec); nil for a new sandbox
	Dir      string           // with Into: the working directory inside; "" means the sandbox's own

	Profiles []ledger.Text // the files that the profile was read from; the task may not write them
	Search   []string      // the directories in which profiles are searched; the task may neither write nor create them

	WhyInPlace string // why the host makes no namespaces, if missing: [namespaces] permits that

	Private string // the directory that the launcher made for a program in place; "" if nothing will be run

	TaskID int    // the task's uid and gid on the host, if root starts it; 0 in a plan that is only printed
	Nonce  uint64 // the random number that marks the launcher's execveat; 0 in a plan that is only printed

	Observed bool         // a recorder watches the task, and the profile's filter is not installed
	Watch    *filter.Spec // the filter that the recorder asks for; nil if it asks for none

	Groups  *Groups                 // what the launcher has made of the choice; nil if nothing will be run
	MakeDir func(path string) error // makes a directory that the task could make; nil if nothing will be run
	// MakeCaches makes the directories of caches, and returns lines for the caller. It is nil if nothing will be run.
	MakeCaches func(*cache.Set) ([]string, error)
	// Searching is called during the search of what is bound, with the number of names so far, unless it is nil. If it
	// returns an error, the search ends.
	Searching func(names int) error
	// Recall returns what earlier searches with the same key have found: search.Search. It may be nil.
	Recall  func(key string, keep func(name []byte, kind uint8) bool) *walk.Memory
	Two     bool // the search may take a second thread: walk.Tree
	Exposed bool // for tests: do not conceal a joining program from the processes inside
}

// StdinOwner returns the user id whose regular file on standard input the task opens again, or -1 if the task opens
// none.
func StdinOwner(p *policy.Profile, h *host.Host) int {
	if h.UID == 0 && p.User.Host != policy.HostCaller {
		return -1
	}
	return h.UID
}

// The next part checks what the caller passes to a sandbox: arguments, variables and descriptors. The kernel ends a
// string at a NUL, so a variable with a NUL could contain a second variable that the profile does not keep. A
// descriptor bypasses every mount, so only descriptors that lead to a single file are passed.

// check refuses a request with a NUL in it, or with descriptors that the task may not have.
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

// nulIn returns the key of a value with a NUL, or "" if there is none. Only a profile made in Go code can contain one.
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

// quoted returns the part of a name before its first NUL.
func quoted(name string) string {
	name, _, _ = strings.Cut(name, "\x00")
	return name
}

// checkEnv refuses a variable with a NUL. An entry without a name is no error, and is only left out, because the caller
// may have inherited the entry from another program.
func checkEnv(env []string) error {
	for _, v := range env {
		if strings.IndexByte(v, 0) >= 0 {
			name, _, _ := strings.Cut(v, "=")
			return &fail.Error{Op: "environment " + quoted(name), Err: errNUL}
		}
	}
	return nil
}

// networkVars are variables that tell programs how to reach a network: which proxy to use, and whose certificates to
// trust.
var networkVars = [...]string{"http_proxy", "https_proxy", "all_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY",
	"SSL_CERT_FILE", "SSL_CERT_DIR", "NODE_EXTRA_CA_CERTS", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO"}

// ofNetwork reports whether a variable is kept because the sandbox uses the host's network. The variable must be one of
// networkVars, and its value must not contain the user or password for a proxy.
func (c *Compilation) ofNetwork(name, entry string) bool {
	if c.Profile.Network.Mode != policy.NetworkHost || !slices.Contains(networkVars[:], name) {
		return false
	}
	// In an address, "@" ends the user and the password (RFC 3986, 3.2.1). Variables with names of certificates, or
	// with hosts that need no proxy, contain neither.
	lower := strings.ToLower(name)
	if strings.HasSuffix(lower, "_proxy") && lower != "no_proxy" && strings.Contains(entry, "@") {
		c.Left = append(c.Left, report.Added{Path: "$" + name, Why: "it holds a user or a password; a profile that keeps it names it"})
		return false
	}
	return true
}

// CheckFiles refuses descriptors that give access to more than one file. From a directory's descriptor, openat(2) with
// ".." leads up to the root of the host, past every mount of the sandbox (CVE-2024-21626).
func (r *Request) CheckFiles(hidesTerminal bool) error {
	for i := range r.Stdio {
		if kind := r.Stdio[i].Refused; kind != "" {
			return fileError(StdioNames[i], kind)
		}
	}
	for i := range r.Extra {
		kind := r.Extra[i].Refused
		// An extra file that is a terminal would defeat a profile that withholds the terminal, or gives the task its
		// own.
		if r.Extra[i].Terminal && hidesTerminal {
			kind = "a terminal of the host, which the task gets only with tty: inherit"
		}
		if kind != "" {
			return fileError("extra file "+strconv.Itoa(i), kind)
		}
	}
	return nil
}

// fileError returns the error for a descriptor that no task may get.
func fileError(name, kind string) error {
	e := &fail.Error{Op: name, Err: errors.New("is " + kind)}
	if kind == host.KindDirectory {
		e.Hint = "bind the directory with --ro DIR instead"
	} else {
		e.Hint = "cordon passes on only regular files, pipes, sockets, terminals, /dev/null and similar devices"
	}
	return e
}

// The next part is about a recorder's run, which is watched and not confined by seccomp: seccomp_unotify(2). After the
// answer "continue", the kernel executes the call, and reads the task's memory a second time. Meanwhile another thread
// of the task may have changed the memory to which an argument points. So a recorder's observations are evidence and
// decide nothing, and the report of such a run does not list seccomp.

// watched reports whether the task gets a recorder's filter.
func (c *Compilation) watched() bool { return c.Req.Watch != nil }

// Observed reports whether a recorder watches the task in place of the profile's filter.
func (c *Compilation) Observed() bool { return c.Req.Observed }

// AsItIs reports whether the task gets the host's own file tree with all rights of the caller. Only cordon audit asks
// for this; no profile can.
func (c *Compilation) AsItIs() bool {
	return c.Observed() && c.Profile.Root.Kind == policy.RootHost && c.Profile.Root.Write
}

// watch installs the recorder's filter. The execveat by which the launcher starts the program carries a number that
// nobody else knows, so the filter can notify the recorder of every exec but this one. If the recorder asks for no
// filter, the task runs without one.
func (c *Compilation) watch() error {
	spec := c.Req.Watch
	if spec == nil {
		return nil
	}
	// The rules are cloned, so that the recorder's own list stays unchanged.
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

// planObserver requests the listener of a recorder's filter. If there can be no listener, the recorder would see
// nothing, so planObserver returns an error.
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

// keepRuleset passes Landlock's ruleset to the launcher, if other programs may be started in the sandbox later.
func (c *Compilation) keepRuleset() {
	if !c.Req.Keep {
		return
	}
	c.do(c.scalar("landlock"), plan.SendKept(plan.F(FileSync), MsgRules, plan.Ruleset))
}

// Forget drops what nobody needs after the plan has been executed.
func (c *Compilation) Forget() { c.Plan.Steps, c.Plan.Init, c.Tree.Known = nil, nil, nil }

// PlainFilter returns the profile's filter without the parts that differ at each launch: the listener for reports, and
// the random number. The launcher keeps this filter with the sandbox. A program that joins the sandbox must have the
// same filter, byte for byte: see checkJoin.
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

// letExec adds to a filter a rule that allows the launcher's own execveat. Such a rule is needed even if the profile
// allows only execve, because such a profile does not mean to prevent other programs from joining. The task gains
// nothing, because the call needs a number that the task does not know.
func (c *Compilation) letExec(spec filter.Spec) (filter.Spec, error) {
	// The rule for the launcher's call is added only once. If the call is still denied after that, the profile itself
	// denies it.
	for {
		prog, err := filter.Compile(spec, c.Arch)
		if err != nil {
			return spec, err
		}
		// execveat(2) has five arguments. The kernel ignores a sixth, but a filter sees it. So a random number as the
		// sixth argument marks the launcher's own call without changing its effect.
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

// wholeDisk returns the disk that a partition belongs to, or the device itself if it is no partition: sysfs(5). The
// kernel has limits only for whole disks.
func (c *Compilation) wholeDisk(dev uint64) uint64 {
	dir := "/sys/dev/block/" + strconv.FormatUint(uint64(unix.Major(dev)), 10) + ":" + strconv.FormatUint(uint64(unix.Minor(dev)), 10)
	if _, err := c.Host.Files.Stat(dir + "/partition"); err != nil {
		return dev
	}
	text, _ := c.Host.Files.Read(dir+"/../dev", 32) // without /sys the kernel refuses the partition later
	major, minor, _ := strings.Cut(strings.TrimSpace(string(text)), ":")
	a, err1 := strconv.ParseUint(major, 10, 32)
	b, err2 := strconv.ParseUint(minor, 10, 32)
	if err1 != nil || err2 != nil {
		return dev
	}
	return unix.Mkdev(uint32(a), uint32(b))
}

// inProcessors reports whether a number is in a list such as "0-3,6".
func inProcessors(number, list string) bool {
	n, err := strconv.Atoi(number)
	if err != nil {
		return false
	}
	for part := range strings.SplitSeq(list, ",") {
		first, last, _ := strings.Cut(part, "-")
		from, err1 := strconv.Atoi(first)
		to, err2 := strconv.Atoi(cmp.Or(last, first))
		if err1 == nil && err2 == nil && from <= n && n <= to {
			return true
		}
	}
	return false
}
