package learn

import (
	"cmp"
	"net/netip"
	"slices"
	"strconv"

	"cordon/policy"
	"cordon/policy/phrase"
	"cordon/policy/recording"
)

type runOf = recording.Run

// outside reports whether an address is beyond the sandbox's own loopback device, and the program may have reached it.
func (f *Facts) outside(n *Net) bool { return f.beyond(n) && !f.apart() }

// apart reports whether every run had its own network. If so, no run reached anything beyond the loopback device.
func (f *Facts) apart() bool {
	return len(f.Header.Runs) > 0 && !slices.ContainsFunc(f.Header.Runs, func(r recording.Run) bool { return r.Network != recording.OwnNetwork })
}

// unreached lists errors of a connect or a send that mean that nothing left the machine.
var unreached = [...]string{"ENETUNREACH", "EHOSTUNREACH", "ENETDOWN", "EADDRNOTAVAIL", "EAFNOSUPPORT"}

// beyond reports whether an address is beyond the sandbox's own loopback device, whatever network the run had. A
// loopback address also counts if no program in the recording listens on the port.
func (f *Facts) beyond(n *Net) bool {
	if n.Family != "inet" && n.Family != "inet6" || refused(n.Errno) || slices.Contains(unreached[:], n.Errno) {
		return false
	}
	a, err := netip.ParseAddr(n.Addr)
	if err != nil {
		return n.Port != 0
	}
	a = a.Unmap()
	switch {
	case n.Op == "bind":
		return !a.IsLoopback() && n.Port != 0 // port 0 is a client's own port, or a test of whether an address works
	case n.Port == 0:
		return false // getaddrinfo orders addresses by connecting to port 0, which sends nothing
	case !a.IsLoopback() && !a.IsUnspecified():
		return true
	}
	return !f.listens(n.Port)
}

func loopback(addr string) bool {
	a, err := netip.ParseAddr(addr)
	return err == nil && a.Unmap().IsLoopback()
}

// listens reports whether the program itself bound the port.
func (f *Facts) listens(port uint16) bool {
	return slices.ContainsFunc(f.Nets, func(n Net) bool {
		return n.Op == "bind" && n.Port == port && (n.Family == "inet" || n.Family == "inet6")
	})
}

// endpoint returns HOST:PORT. HOST is the name that was looked up, or the address.
func (n *Net) endpoint() string {
	host := cmp.Or(n.Name, n.Addr)
	if a, err := netip.ParseAddr(host); err == nil && a.Is6() {
		host = "[" + host + "]"
	}
	return host + ":" + strconv.Itoa(int(n.Port))
}

// network sets the network to none or to the host's. It makes no list of hosts, because a program may look up other
// names in its next run. The reader of the profile decides which names a list should have; a comment shows what was
// seen.
func (l *learner) network() {
	var lines []string
	var at policy.Pos
	for i := range l.f.Nets {
		n := &l.f.Nets[i]
		if n.Family == "unix" && n.Addr != "" {
			l.note(Note{Kind: Left, What: n.Op + " to the abstract socket " + phrase.Short(n.Addr), Why: "abstract sockets of the host are out of reach with a network and Landlock of one's own", At: n.At})
		}
		if l.f.beyond(n) && l.f.apart() && !loopback(n.Addr) {
			l.note(Note{Kind: Left, What: n.Op + " " + n.endpoint(), Why: "it was recorded in a network of its own, and reached nobody outside, nor was reached; record with --net host if it should be", At: n.At})
		}
		if !l.f.outside(n) {
			continue
		}
		if at == (policy.Pos{}) {
			at = n.At
		}
		line := n.Op + " " + n.endpoint() + phrase.Prefixed(" ", n.Proto)
		if n.Name != "" && n.Name != n.Addr {
			line += " (" + n.Addr + ")"
		}
		if line += " (" + n.At.Short() + ")"; !slices.Contains(lines, line) {
			lines = append(lines, line)
		}
	}
	if len(lines) == 0 {
		return
	}
	slices.Sort(lines)
	l.own.Network.Mode = policy.NetworkHost
	l.source("network", at)
	const most = 20
	head := []string{"", "What was seen of the network. network: {allow: [...]} can name it instead, as HOST:PORT:"}
	for i, line := range lines {
		if i == most {
			head = append(head, "  and "+strconv.Itoa(len(lines)-most)+" more")
			break
		}
		head = append(head, "  "+line)
	}
	l.comment("network", head...)
	l.note(Note{Kind: Widened, What: "network: host", Why: "grants every address and port, not only the " + strconv.Itoa(len(lines)) + " seen: " + lines[0] + more(len(lines)-1), At: at})
}

func more(n int) string {
	if n <= 0 {
		return ""
	}
	return " and " + strconv.Itoa(n) + " more"
}
