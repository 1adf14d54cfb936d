package egress

// This file serves published ports: connections to a port of the host arrive at a port of the sandbox's loopback.

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"cordon/policy/endpoint"
	"cordon/sandbox/report"
)

const (
	// firstPatience is how long a connection waits for a program that does not listen yet. Once the program has
	// listened, a connection that the program refuses is refused at once.
	firstPatience = 10 * time.Second
	insideTime    = 5 * time.Second // for one attempt to connect
	mostPause     = 100 * time.Millisecond
)

// port is a published port.
type port struct {
	endpoint.Publish
	rule     string
	listener net.Listener
	reached  atomic.Bool // a program has listened there
}

// PublishError is the error for a port of the host that cannot be published.
type PublishError struct {
	Rule string
	Err  error
}

func (e *PublishError) Error() string { return e.Rule + ": " + e.Err.Error() }

// Unwrap returns the system's error.
func (e *PublishError) Unwrap() error { return e.Err }

// listen opens the published ports on the host.
func (s *Server) listen() error {
	for i := range s.Publish {
		p := &port{Publish: s.Publish[i].Publish, rule: s.Publish[i].Rule}
		network := "tcp4"
		if p.Host.Addr().Is6() {
			network = "tcp6"
		}
		if s.listens(p.Host) {
			continue
		}
		l, err := net.Listen(network, p.Host.String())
		if err != nil {
			var errno unix.Errno
			if errors.As(err, &errno) {
				err = errno
			}
			return &PublishError{p.rule, err}
		}
		p.listener = l
		s.ports = append(s.ports, p)
	}
	return nil
}

// listens reports whether an earlier item of the profile already publishes a port of the host.
func (s *Server) listens(host netip.AddrPort) bool {
	for _, p := range s.ports {
		if p.Host == host {
			return true
		}
	}
	return false
}

// publishLoop accepts connections to a published port.
func (s *Server) publishLoop(p *port) {
	defer s.serve.Done()
	for {
		c, err := p.listener.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil: // for example EMFILE: other connections may end
			select {
			case <-s.ctx.Done():
				return
			case <-time.After(10 * time.Millisecond):
			}
			continue
		}
		f := &flow{client: c.(*net.TCPConn), published: true, began: time.Now()}
		f.touch()
		if !s.add(f) {
			reset(f.client)
			s.log.add(p.flow(report.FlowRefused, "the sandbox already had as many connections as its launcher serves"))
			continue
		}
		go func() {
			defer s.remove(f)
			s.forward(f, p)
		}()
	}
}

// flow returns an entry of the log. The entry has the address of the host, because the addresses of the peers are too
// many.
func (p *port) flow(verdict report.FlowVerdict, why string) report.Flow {
	return report.Flow{Proto: "published", Address: p.Host.Addr().String(), Port: int(p.Host.Port()), Rule: p.rule, Verdict: verdict, Why: why}
}

// forward serves one connection.
func (s *Server) forward(f *flow, p *port) {
	c, err := s.inside(f, p)
	if err != nil {
		f.refuse()
		if f.alive() {
			s.log.add(p.flow(report.FlowFailed, fmt.Sprintf("port %d of the sandbox: %s", p.Port, cause(err))))
		}
		return
	}
	if !f.connect(c) {
		return
	}
	x := p.flow(report.FlowAllowed, "")
	x.Received, x.Sent = f.copyBoth(nil) // as the program sees it
	s.log.add(x)
}

// inside connects to the program. If no program has listened at the port so far, inside waits until one does.
func (s *Server) inside(f *flow, p *port) (*net.TCPConn, error) {
	end, pause := time.Now().Add(firstPatience), time.Millisecond
	for {
		ctx, cancel := context.WithTimeout(s.ctx, insideTime)
		c, err := s.minter.dial(ctx, p.Port)
		cancel()
		if err == nil {
			p.reached.Store(true)
			return c, nil
		}
		if !errors.Is(err, unix.ECONNREFUSED) || p.reached.Load() || !f.alive() || time.Now().After(end) {
			return nil, err
		}
		select {
		case <-s.ctx.Done():
			return nil, err
		case <-time.After(pause):
		}
		pause = min(2*pause, mostPause)
	}
}
