package report

// Network says what a sandbox with an allow-list has reached, or tried to reach.
type Network struct {
	Allowed uint64 `json:"allowed"`           // connections that a rule allows
	Denied  uint64 `json:"denied"`            // connections and names that none allows; the kernel counts those to the same address and port as one
	Dropped uint64 `json:"dropped,omitempty"` // how many are of kinds that came after the first 256
	Flows   []Flow `json:"flows,omitempty"`
}

// Flow is one kind of connections or of questions for names. All of one kind have the same name, address, port and
// verdict.
type Flow struct {
	Time     string      `json:"time"`  // of the first, as in RFC 3339
	Proto    string      `json:"proto"` // "tcp", "udp", "name" for a question about a name, or "published" for connections to a port of the host
	Name     string      `json:"name,omitempty"`
	Address  string      `json:"address,omitempty"`
	Port     int         `json:"port,omitempty"`
	Verdict  FlowVerdict `json:"verdict"`
	Why      string      `json:"why,omitempty"`
	Rule     string      `json:"rule,omitempty"`   // the rule that decides: `network.allow "*.example.org:443" (build.yaml:3)`
	Remedy   string      `json:"remedy,omitempty"` // what to add to the command line: "--net-allow example.org:443"
	Count    uint64      `json:"count"`
	Sent     uint64      `json:"sent_bytes,omitempty"`
	Received uint64      `json:"received_bytes,omitempty"`
}

// FlowVerdict says how a flow ended.
type FlowVerdict string

// The verdicts.
const (
	FlowAllowed FlowVerdict = "allowed"
	FlowDenied  FlowVerdict = "denied"
	FlowFailed  FlowVerdict = "failed"  // a rule allows it, and the other side did not answer, or refused it
	FlowRefused FlowVerdict = "refused" // the sandbox had too many connections
)
