package launch

// This file is the launcher's part of a network with an allow-list. The child sends the sockets that it has made in the
// sandbox's network. The netlink sockets hold the kernel's answers, which show the rules that the kernel has. Package
// egress serves the other sockets.

import (
	"errors"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"cordon/policy"
	"cordon/sandbox/internal/child"
	"cordon/sandbox/internal/compile"
	"cordon/sandbox/internal/egress"
	"cordon/sandbox/internal/fail"
	"cordon/sandbox/plan"
)

// network holds the sockets until they are served, and after that the server.
type network struct {
	route, nft, relay, naming, seed int // -1 if there is none
	server                          *egress.Server
}

// take keeps a socket that has come with a message.
func (n *network) take(msg byte, fd int) {
	switch msg {
	case compile.MsgRoute:
		n.route = fd
	case compile.MsgNft:
		n.nft = fd
	case compile.MsgRelay:
		n.relay = fd
	case compile.MsgNaming:
		n.naming = fd
	case compile.MsgSeed:
		n.seed = fd
	}
}

// close closes the sockets that nobody serves.
func (n *network) close() {
	for _, fd := range [...]*int{&n.route, &n.nft, &n.relay, &n.naming, &n.seed} {
		if *fd >= 0 {
			unix.Close(*fd)
			*fd = -1
		}
	}
}

// openNetwork reads the kernel's answers to the messages of the plan, compares the rules that the kernel has with the
// plan's, and begins to serve. The task waits meanwhile.
func (p *Process) openNetwork() error {
	e := p.Comp.Egress
	if e == nil {
		return nil
	}
	n := &p.network
	if n.route < 0 || n.nft < 0 || n.relay < 0 || n.naming < 0 {
		return &fail.Error{Op: "network", Err: errors.New("the child has not sent its sockets")}
	}
	if err := p.checkAnswers(e); err != nil {
		return err
	}
	if err := p.checkRules(e); err != nil {
		return err
	}
	cfg := egress.Config{Rules: e.Rules, Rule: p.ruleText, Relay: n.relay, Naming: n.naming, Nft: n.nft}
	cfg.RequireName = p.Comp.Profile.Network.TLS == policy.TLSRequireName
	for _, a := range e.Own {
		if own := netip.AddrFrom16(a).Unmap(); !own.IsUnspecified() {
			cfg.Own = append(cfg.Own, own)
		}
	}
	for _, s := range e.Sets {
		cfg.Sets = append(cfg.Sets, egress.Set(s))
	}
	if cfg.Publish = p.published(); len(cfg.Publish) > 0 && n.seed < 0 {
		return &fail.Error{Op: "network", Err: errors.New("the child has not sent a socket for published ports")}
	}
	cfg.Seed, cfg.Disconnect = n.seed, child.Disconnect
	n.relay, n.naming, n.nft, n.seed = -1, -1, -1, -1
	var err error
	if n.server, err = egress.Start(cfg); err != nil {
		return serveError(err)
	}
	n.close()
	return nil
}

// published lists the ports that the profile publishes.
func (p *Process) published() (list []egress.Published) {
	for i, x := range p.Comp.Profile.Network.Published() {
		item := &p.Comp.Profile.Network.Publish[i]
		list = append(list, egress.Published{Publish: x, Rule: itemText("network.publish", item)})
	}
	return list
}

// serveError returns the error of a server that could not begin.
func serveError(err error) error {
	var port *egress.PublishError
	if !errors.As(err, &port) {
		return &fail.Error{Op: "serve the sandbox's network", Err: err}
	}
	hint := ""
	switch {
	case errors.Is(err, unix.EADDRINUSE):
		hint = "another program has this port; publish another one, as in OTHER:INSIDE"
	case errors.Is(err, unix.EACCES):
		hint = "only root may listen at ports below 1024; publish a higher one, as in 8080:80"
	case errors.Is(err, unix.EADDRNOTAVAIL):
		hint = "the host does not have this address; ip addr lists those that it has"
	}
	return &fail.Error{Op: port.Rule, Err: port.Err, Hint: hint}
}

// ruleText returns the text of a rule of the profile for the report.
func (p *Process) ruleText(allow bool, i int) string {
	section, list := "network.deny", p.Comp.Profile.Network.Deny
	if allow {
		section, list = "network.allow", p.Comp.Profile.Network.Allow
	}
	return itemText(section, &list[i])
}

// itemText returns the text of an item of a list for the report: `network.allow "a:1" (build.yaml:3)`.
func itemText(section string, item *policy.NetworkItem) string {
	text := section + " " + strconv.Quote(item.Endpoint)
	if at := item.Pos.Short(); at != "" {
		text += " (" + at + ")"
	}
	return text
}

// checkAnswers finds the first message that the kernel has refused, and returns the error of its step.
func (p *Process) checkAnswers(e *compile.Egress) error {
	answers := map[uint32]plan.Errno{}
	for _, fd := range [...]int{p.network.route, p.network.nft} {
		b, err := receiveAll(fd)
		if err != nil {
			return &fail.Error{Op: "read the kernel's answers about the network", Err: err}
		}
		for _, a := range plan.Answers(b) {
			if old, ok := answers[a.Seq]; !ok || old == 0 {
				answers[a.Seq] = a.Errno
			}
		}
	}
	links, made := 0, 0
	for i := range e.Sent {
		s := &e.Sent[i]
		errno := answers[s.Seq]
		switch {
		case s.OneOf:
			links++
			if errno == 0 {
				made++
			}
		case links > 0 && made == 0:
			return noLink(p.Comp.Profile.Source("network").Short())
		case errno != 0:
			return p.refusedMessage(s, unix.Errno(errno))
		}
	}
	return nil
}

func noLink(from string) error {
	return &fail.UnsupportedError{Layer: policy.LayerNet, Why: "network: the kernel can make no interface: it has neither dummy, ifb nor veth devices", From: from,
		Remedy: "as root on the host: modprobe dummy; or --net-interface none"}
}

// loadModules is the remedy for a kernel that lacks a part of a network with a list.
const loadModules = "as root on the host: modprobe -a nf_tables nft_tproxy nft_reject_inet; or --net none"

// networkHint returns advice for a failed call if only a network with a list makes such a call, and otherwise "".
func networkHint(call string) string {
	switch call {
	case "socket":
		return "the kernel has no nf_tables, or a container runtime's filter refuses netlink sockets; " + loadModules
	case "setsockopt":
		return "the kernel has no transparent proxy, or the launcher has no CAP_NET_ADMIN over a network of its own; " + loadModules
	}
	return ""
}

// refusedMessage returns the error for a message that the kernel has refused.
func (p *Process) refusedMessage(s *compile.Sent, errno unix.Errno) error {
	step := &p.Comp.Plan.Steps[s.Step]
	hint := "without the rules there is no such network; --net none runs without one"
	switch {
	case errno == unix.ENOENT && strings.HasPrefix(s.Text, "nft "), errno == unix.EOPNOTSUPP:
		hint = "the kernel lacks a module; " + loadModules
	case errno == unix.EPERM:
		hint = "setting up a network needs CAP_NET_ADMIN, which a container may have taken from root; run as an ordinary user, or --net none"
	}
	return &fail.StepError{Index: s.Step, Step: s.Text, From: step.From.String(), Errno: errno, Hint: hint}
}

// receiveAll receives every message that waits on a socket.
func receiveAll(fd int) (all []byte, err error) {
	buf := make([]byte, 64<<10)
	for {
		n, _, err := unix.Recvfrom(fd, buf, unix.MSG_DONTWAIT)
		switch err {
		case nil:
			all = append(all, buf[:n]...)
		case unix.EINTR:
		case unix.EAGAIN:
			return all, nil
		default:
			return all, err
		}
	}
}

// checkRules compares the chains and rules of the sandbox's kernel with the plan's.
func (p *Process) checkRules(e *compile.Egress) error {
	var found []string
	for seq, what := range [...]string{"chains", "rules"} {
		err := unix.Sendto(p.network.nft, []byte(plan.NftDump(uint32(1<<30+seq), what, "")), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
		var b []byte
		if err == nil {
			b, err = receiveAll(p.network.nft)
		}
		if err != nil {
			return &fail.Error{Op: "read back the rules of the network", Err: err}
		}
		found = append(found, plan.NetlinkText(string(b))...)
	}
	want := slices.DeleteFunc(slices.Clone(e.Want), func(s string) bool {
		return !strings.HasPrefix(s, "nft add chain ") && !strings.HasPrefix(s, "nft add rule ")
	})
	if i := firstDifference(byChain(want), byChain(found)); i != "" {
		return &fail.Error{Op: "read back the rules of the network", Err: errors.New("the kernel does not show what was asked for: " + i),
			From: p.Comp.Profile.Source("network").Short()}
	}
	p.enforced(policy.LayerNet, strconv.Itoa(len(want))+" chains and rules of nf_tables, as the profile has them", "NETLINK_NETFILTER")
	return nil
}

// byChain sorts commands by the chain that they are about, and keeps the order within a chain.
func byChain(list []string) []string {
	// "nft add rule inet cordon CHAIN": the chain is the sixth word.
	chain := func(s string) string {
		words := 0
		for i := range len(s) {
			if s[i] == ' ' {
				if words++; words == 6 {
					return s[:i]
				}
			}
		}
		return s
	}
	slices.SortStableFunc(list, func(a, b string) int { return strings.Compare(chain(a), chain(b)) })
	return list
}

// firstDifference returns the first line in which the lists differ, or "" if they do not differ.
func firstDifference(want, found []string) string {
	for i := range max(len(want), len(found)) {
		switch {
		case i >= len(found):
			return "no " + strconv.Quote(want[i])
		case i >= len(want):
			return "also " + strconv.Quote(found[i])
		case want[i] != found[i]:
			return strconv.Quote(found[i]) + ", not " + strconv.Quote(want[i])
		}
	}
	return ""
}

// closeNetwork ends the server and adds its log to the report.
func (p *Process) closeNetwork() {
	if p.network.server != nil {
		p.Report.Network = p.network.server.Stop()
		p.network.server = nil
	}
	p.network.close()
}
