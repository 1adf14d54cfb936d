package egress

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"cordon/policy/endpoint"
	"cordon/sandbox/report"
)

// These constants bound what one sandbox may use.
const (
	MaxFlows    = 4096             // connections at once; fewer if the launcher may have fewer descriptors
	maxLookups  = 64               // questions for names at once
	maxPins     = 4096             // addresses that names have led to; must not exceed the size of a set
	maxIdle     = 2 * time.Hour    // without a byte in either direction
	maxHalfIdle = 10 * time.Minute // the same, after one side has said that it sends no more
	dialTime    = 15 * time.Second
	lookupTime  = 4500 * time.Millisecond // glibc asks again after 5 s
	drainTime   = 3 * time.Second         // for what the program had sent before it ended
)

// Config says what a server needs. The descriptors in it belong to the server from then on.
type Config struct {
	Rules  *endpoint.Policy
	Rule   func(allow bool, i int) string // a rule for a report: `network.allow "a:1" (build.yaml:3)`
	Own    []netip.Addr                   // the sandbox's addresses
	Sets   []Set
	Relay  int // the listening socket
	Naming int // the socket for datagrams to port 53
	Nft    int // a socket of netfilter in the sandbox's network

	RequireName bool // a ClientHello must have a name, and not an encrypted one

	Publish    []Published
	Seed       int                // a fresh socket of TCP in the sandbox's network; -1 if nothing is published
	Disconnect func(fd int) error // makes a connected socket of TCP a fresh one
}

// Published is a published port, with the text of its rule for a report.
type Published struct {
	endpoint.Publish
	Rule string
}

// relayPort is the port of the sandbox at which the relay's socket listens.
const relayPort = 1

// Set is a pair of sets in the sandbox's kernel, for IPv4 and IPv6. They hold the addresses of the names for which the
// profile allows these ports. IPv6 may be "".
type Set struct {
	Ports      endpoint.Ports
	IPv4, IPv6 string
}

// Server serves one sandbox.
type Server struct {
	Config
	ctx      context.Context
	stop     context.CancelFunc
	listener *net.TCPListener
	naming   *net.UDPConn
	resolver net.Resolver
	kernel   kernel
	pins     pins
	cache    cache
	host     hostAddrs
	log      flowLog
	most     int
	lookups  chan struct{}
	minter   minter
	ports    []*port

	mu     sync.Mutex
	flows  map[*flow]struct{}
	ending bool
	serve  sync.WaitGroup // the loops
}

// Start begins to serve. If it returns an error, it has closed the descriptors.
func Start(cfg Config) (*Server, error) {
	s := &Server{Config: cfg, flows: map[*flow]struct{}{}, lookups: make(chan struct{}, maxLookups)}
	s.resolver.PreferGo = true
	s.kernel.fd = cfg.Nft
	s.ctx, s.stop = context.WithCancel(context.Background())
	s.most = mostFlows()
	err := s.open()
	if err != nil {
		s.close()
		unix.Close(cfg.Nft)
		return nil, err
	}
	s.serve.Add(3)
	go s.acceptLoop()
	go s.namingLoop()
	go s.sweepLoop()
	s.serve.Add(len(s.ports))
	for _, p := range s.ports {
		go s.publishLoop(p)
	}
	return s, nil
}

// mostFlows bounds the number of connections by the number of descriptors that the launcher may have, because each
// connection needs two.
func mostFlows() int {
	var lim unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &lim) != nil {
		return 256
	}
	const others = 128
	if lim.Cur < 2*others {
		return 16
	}
	return int(min(MaxFlows, (lim.Cur-others)/2))
}

func (s *Server) open() error {
	relay, naming := os.NewFile(uintptr(s.Relay), "relay"), os.NewFile(uintptr(s.Naming), "naming")
	defer relay.Close()
	defer naming.Close()
	if err := s.minter.open(&s.Config); err != nil {
		return err
	}
	l, err := net.FileListener(relay)
	if err != nil {
		return err
	}
	var ok bool
	if s.listener, ok = l.(*net.TCPListener); !ok {
		return errors.New("the relay's socket is not one of TCP")
	}
	c, err := net.FilePacketConn(naming)
	if err != nil {
		return err
	}
	if s.naming, ok = c.(*net.UDPConn); !ok {
		return errors.New("the name server's socket is not one of UDP")
	}
	return s.listen()
}

func (s *Server) close() {
	s.stop()
	if s.listener != nil {
		s.listener.Close()
	}
	if s.naming != nil {
		s.naming.Close()
	}
	for _, p := range s.ports {
		p.listener.Close()
	}
	s.minter.close()
}

// Stop ends the server and returns the log. The sandbox has ended, so it sends nothing more. Stop waits a moment until
// the server has passed on what the sandbox had sent.
func (s *Server) Stop() *report.Network {
	s.mu.Lock()
	s.ending = true
	for f := range s.flows {
		f.sandboxGone()
	}
	s.mu.Unlock()
	for _, p := range s.ports {
		p.listener.Close()
	}
	s.refusedByKernel()
	s.awaitFlows(drainTime)
	s.close()
	s.mu.Lock()
	for f := range s.flows {
		f.abort()
	}
	s.mu.Unlock()
	s.serve.Wait()
	s.awaitFlows(drainTime)
	unix.Close(s.Nft)
	return s.log.report()
}

// awaitFlows waits until no flow is left, but at most for a given time. Meanwhile the server still accepts connections
// that have already arrived.
func (s *Server) awaitFlows(most time.Duration) {
	for end := time.Now().Add(most); ; time.Sleep(time.Millisecond) {
		s.mu.Lock()
		n := len(s.flows)
		s.mu.Unlock()
		if n == 0 || time.Now().After(end) {
			return
		}
	}
}

// acceptLoop accepts connections. If there are too many, it refuses the next connection at once.
func (s *Server) acceptLoop() {
	defer s.serve.Done()
	for {
		c, err := s.listener.AcceptTCP()
		if s.ctx.Err() != nil {
			if err == nil {
				c.Close()
			}
			return
		}
		if err != nil { // for example EMFILE: other connections may end
			select {
			case <-s.ctx.Done():
				return
			case <-time.After(10 * time.Millisecond):
			}
			continue
		}
		if s.minter.takes(c, localOf(c)) {
			continue
		}
		f := &flow{client: c, began: time.Now()}
		f.touch()
		if !s.add(f) {
			reset(c)
			s.log.add(report.Flow{Proto: "tcp", Address: localOf(c).Addr().String(), Port: int(localOf(c).Port()), Verdict: report.FlowRefused,
				Why: "the sandbox already had as many connections as its launcher serves"})
			continue
		}
		go func() {
			defer s.remove(f)
			s.relay(f)
		}()
	}
}

func (s *Server) add(f *flow) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.flows) >= s.most {
		return false
	}
	s.flows[f] = struct{}{}
	f.gone = s.ending
	return true
}

func (s *Server) remove(f *flow) {
	f.abort()
	s.mu.Lock()
	delete(s.flows, f)
	s.mu.Unlock()
}

// sweepLoop ends connections that nobody has used for a long time.
func (s *Server) sweepLoop() {
	defer s.serve.Done()
	tick := time.NewTicker(30 * time.Second)
	defer tick.Stop()
	for {
		select {
		case <-s.ctx.Done():
			return
		case now := <-tick.C:
			s.mu.Lock()
			for f := range s.flows {
				if f.idle(now) {
					f.abort()
				}
			}
			s.mu.Unlock()
		}
	}
}

// localOf returns the address for which a program has asked. With TPROXY the accepted socket itself has that address.
func localOf(c *net.TCPConn) netip.AddrPort {
	a, ok := c.LocalAddr().(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	ap := a.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}

// relay serves one connection.
func (s *Server) relay(f *flow) {
	to := localOf(f.client)
	if to.Port() == 53 {
		s.namingStream(f.client)
		return
	}
	// The sandbox's own addresses come here only if a program connects to the relay's port itself, or has changed the
	// rules of its kernel.
	if a := to.Addr(); !a.IsValid() || a.IsLoopback() || a.IsUnspecified() || slices.Contains(s.Own, a) {
		f.refuse()
		return
	}
	x, allowed, named := s.decide(to)
	if !allowed {
		f.refuse()
		s.log.add(x)
		return
	}
	ctx, cancel := context.WithTimeout(s.ctx, dialTime)
	defer cancel()
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", to.String())
	if err != nil {
		f.refuse()
		x.Verdict, x.Why = report.FlowFailed, cause(err)
		s.log.add(x)
		return
	}
	if !f.connect(c.(*net.TCPConn)) {
		return
	}
	var g *gate
	if named {
		g = &gate{allows: func(h hello) bool { return s.allowsHello(h, to, &x) }}
	}
	x.Sent, x.Received = f.copyBoth(g)
	s.log.add(x)
}

// cause returns the system's error inside the error of a failed connection attempt.
func cause(err error) string {
	var errno unix.Errno
	if errors.As(err, &errno) {
		return errno.Error()
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) {
		return "no answer within " + dialTime.String()
	}
	return err.Error()
}

// decide asks the rules about a connection. It returns the connection's entry for the log, whether the connection is
// allowed, and whether it is allowed because of a name that has led to the address.
func (s *Server) decide(to netip.AddrPort) (x report.Flow, allowed, named bool) {
	x = report.Flow{Proto: "tcp", Address: to.Addr().String(), Port: int(to.Port()), Verdict: report.FlowDenied}
	names := s.pins.names(to.Addr())
	v, name := s.Rules.Flow(to.Addr(), names, endpoint.TCP, to.Port())
	x.Name = name
	if x.Name == "" && len(names) > 0 {
		x.Name = names[0]
	}
	if v.Rule >= 0 {
		x.Rule = s.Rule(v.Allowed, v.Rule)
	}
	what := x.Address
	if x.Name != "" && v.Block == "" {
		what = x.Name
	}
	switch {
	case v.Allowed && s.host.has(to.Addr()) && !s.Rules.Exactly(to.Addr(), endpoint.TCP, to.Port()):
		x.Why, x.Rule = "it is an address of the host itself, or of its gateway, which only a rule for that one address allows", ""
		what = x.Address
	case v.Allowed:
		x.Verdict = report.FlowAllowed
		return x, true, name != ""
	case v.Rule >= 0:
		return x, false, false // no flag takes a denial away
	case v.Block != "":
		x.Why = "it is " + v.Block + ", which only a rule for its own range allows"
	default:
		x.Why = "no rule allows it"
	}
	x.Remedy = "--net-allow " + joinPort(what, to.Port())
	return x, false, false
}

// joinPort writes a host and a port in the form that a rule has.
func joinPort(host string, port uint16) string {
	if a, err := netip.ParseAddr(host); err == nil {
		return netip.AddrPortFrom(a, port).String()
	}
	return host + ":" + portText(port)
}

// refusedByKernel adds to the log the flows that the sandbox's kernel has refused.
func (s *Server) refusedByKernel() {
	for _, f := range s.kernel.refused() {
		if f.UDP {
			s.log.add(report.Flow{Proto: "udp", Address: f.To.Addr().String(), Port: int(f.To.Port()), Verdict: report.FlowDenied,
				Why: "cordon relays no datagrams but questions for names"})
			continue
		}
		if x, allowed, _ := s.decide(f.To); !allowed {
			s.log.add(x)
		}
	}
}

// pin allows connections to an address because an allowed name has led to it. It does so in the relay and in the
// sandbox's kernel.
func (s *Server) pin(name string, a netip.Addr) error {
	if gone, full := s.pins.add(name, a); full {
		for i := range s.Sets {
			_ = s.kernel.element(&s.Sets[i], gone, false) // an error means that it is in no set
		}
	}
	for i := range s.Sets {
		set := &s.Sets[i]
		if !s.allowsSet(name, set) {
			continue
		}
		if err := s.kernel.element(set, a, true); err != nil {
			return err
		}
	}
	return nil
}

// allowsSet reports whether a rule allows a name for the ports of a set.
func (s *Server) allowsSet(name string, set *Set) bool {
	return slices.ContainsFunc(s.Rules.Allow, func(r endpoint.Rule) bool {
		return (r.Kind == endpoint.Name || r.Kind == endpoint.Wild) && r.Names(name) && slices.Contains(r.Ports, set.Ports)
	})
}
