package lint

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"cordon/policy"
	"cordon/policy/endpoint"
)

// rentable lists domains in which anybody can get a name.
var rentable = [...]string{"co.uk", "com.au", "co.jp", "com.br", "github.io", "gitlab.io", "amazonaws.com", "cloudfront.net", "azurewebsites.net",
	"blob.core.windows.net", "appspot.com", "run.app", "web.app", "firebaseapp.com", "workers.dev", "pages.dev", "vercel.app", "netlify.app",
	"herokuapp.com", "onrender.com", "fly.dev", "ngrok.io", "ngrok-free.app", "trycloudflare.com"}

// metadataServices returns the addresses of the services at which clouds answer questions about a machine.
func metadataServices() [4]netip.Addr {
	return [4]netip.Addr{netip.AddrFrom4([4]byte{169, 254, 169, 254}), netip.AddrFrom4([4]byte{168, 63, 129, 16}),
		netip.AddrFrom4([4]byte{100, 100, 100, 200}), netip.AddrFrom16([16]byte{0xfd, 0, 0x0e, 0xc2, 14: 2, 15: 0x54})}
}

// wideNetwork finds items of the network that also cover hosts of strangers.
func (l *linter) wideNetwork() {
	if l.p.Network.Mode != policy.NetworkAllow {
		return
	}
	for i, r := range l.p.Network.Rules().Allow {
		if what := wide(&r); what != "" {
			if r.Matches(endpoint.TCP, 22) {
				what += ", and a remote shell at port 22 carries anything"
			}
			l.say(l.p.Network.Allow[i].Pos, "network.allow["+strconv.Itoa(i)+"]: "+r.Text+" covers "+what)
		}
	}
}

// wide says which hosts of strangers a rule covers, or returns "".
func wide(r *endpoint.Rule) string {
	switch {
	case r.Kind == endpoint.Any || r.Kind == endpoint.Wild && r.Host == "":
		return "every host"
	case r.Kind == endpoint.Wild && !strings.Contains(r.Host, "."):
		return "a whole top-level domain"
	case r.Kind == endpoint.Wild && slices.Contains(rentable[:], r.Host):
		return "a domain in which anybody can have a name"
	case r.Kind == endpoint.Range && !r.Named() && (r.Prefix.Addr().Is4() && r.Prefix.Bits() < 16 || r.Prefix.Addr().Is6() && r.Prefix.Bits() < 32):
		return "the addresses of many networks"
	}
	return ""
}

// metadata finds items that cover a metadata service.
func (l *linter) metadata() {
	if l.p.Network.Mode != policy.NetworkAllow {
		return
	}
	rules := l.p.Network.Rules()
	for i := range rules.Allow {
		r := &rules.Allow[i]
		for _, a := range metadataServices() {
			if len(r.Ports) > 0 && r.Covers(a) && rules.ByAddr(a, endpoint.TCP, r.Ports[0].First).Allowed {
				l.say(l.p.Network.Allow[i].Pos, "network.allow["+strconv.Itoa(i)+"]: "+r.Text+" covers "+a.String())
			}
		}
	}
}

// publishedToAll finds ports that are published on every address of the host.
func (l *linter) publishedToAll() {
	for i, p := range l.p.Network.Published() {
		if p.Host.Addr().IsUnspecified() {
			l.say(l.p.Network.Publish[i].Pos, "network.publish["+strconv.Itoa(i)+"]: "+p.Text+" listens on every address of the host")
		}
	}
}

func (l *linter) hostNetwork() {
	if l.p.Network.Mode == policy.NetworkHost {
		l.say(l.p.Source("network"), "network: it is the host's")
	}
}
