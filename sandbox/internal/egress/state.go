package egress

// This file has what a server remembers: which names have led to an address, what it has answered, which addresses are
// the host's own, and what has happened.

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"cordon/sandbox/report"
)

// pins holds the names that have led to each address.
type pins struct {
	mu   sync.Mutex
	list map[netip.Addr]*pin
}

type pin struct {
	names []string
	used  time.Time
}

// maxNames bounds the names of one address.
const maxNames = 32

// add remembers that a name leads to an address. If there are too many addresses, add forgets the address that was in
// an answer the longest time ago, and returns it.
func (p *pins) add(name string, a netip.Addr) (gone netip.Addr, full bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.list == nil {
		p.list = map[netip.Addr]*pin{}
	}
	x := p.list[a]
	if x == nil {
		if len(p.list) >= maxPins {
			gone, full = p.oldest(), true
			delete(p.list, gone)
		}
		x = &pin{}
		p.list[a] = x
	}
	x.used = time.Now()
	if !slices.Contains(x.names, name) {
		if len(x.names) == maxNames {
			x.names = x.names[1:]
		}
		x.names = append(x.names, name)
	}
	return gone, full
}

func (p *pins) oldest() (oldest netip.Addr) {
	var at time.Time
	for a, x := range p.list {
		if at.IsZero() || x.used.Before(at) {
			oldest, at = a, x.used
		}
	}
	return oldest
}

// names returns the names that have led to an address, the last one first.
func (p *pins) names(a netip.Addr) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	x := p.list[a]
	if x == nil {
		return nil
	}
	list := slices.Clone(x.names)
	slices.Reverse(list)
	return list
}

// cache holds answers for a short time.
type cache struct {
	mu   sync.Mutex
	list map[string]cached
}

type cached struct {
	addrs []netip.Addr
	until time.Time
}

const (
	cacheTime = 30 * time.Second // also the time to live of an answer
	maxCached = 1024
)

func (c *cache) get(name string) ([]netip.Addr, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	x, ok := c.list[name]
	return x.addrs, ok && time.Now().Before(x.until)
}

func (c *cache) put(name string, addrs []netip.Addr) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.list == nil || len(c.list) >= maxCached {
		c.list = map[string]cached{}
	}
	c.list[name] = cached{addrs, time.Now().Add(cacheTime)}
}

// hostAddrs knows the addresses of the host and of its gateways. They can change while a sandbox runs.
type hostAddrs struct {
	mu   sync.Mutex
	list []netip.Addr
	read time.Time
}

const hostAddrsTime = 2 * time.Second

func (h *hostAddrs) has(a netip.Addr) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if now := time.Now(); h.list == nil || now.Sub(h.read) > hostAddrsTime {
		h.read, h.list = now, []netip.Addr{}
		addrs, _ := net.InterfaceAddrs()
		for _, x := range addrs {
			if p, err := netip.ParsePrefix(x.String()); err == nil {
				h.list = append(h.list, p.Addr())
			}
		}
		h.list = append(h.list, gateways("/proc/net/route", false)...)
		h.list = append(h.list, gateways("/proc/net/ipv6_route", true)...)
	}
	return slices.Contains(h.list, a)
}

// gateways returns the gateways in one of the kernel's tables of routes: proc_net(5). IPv4 addresses there are in the
// machine's byte order, which is little-endian on every supported architecture.
func gateways(path string, six bool) (list []netip.Addr) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	column := 2
	if six {
		column = 4
	}
	for s := bufio.NewScanner(bytes.NewReader(text)); s.Scan(); {
		fields := strings.Fields(s.Text())
		if len(fields) <= column {
			continue
		}
		b, err := hex.DecodeString(fields[column])
		if err != nil {
			continue
		}
		if !six {
			slices.Reverse(b)
		}
		if a, ok := netip.AddrFromSlice(b); ok && !a.IsUnspecified() {
			list = append(list, a)
		}
	}
	return list
}

// flowLog counts what has happened. Flows that differ only in time and bytes are one kind of flow.
type flowLog struct {
	mu   sync.Mutex
	list []report.Flow
	sum  report.Network
}

// maxKinds is how many kinds of flows a report lists.
const maxKinds = 256

func (l *flowLog) add(x report.Flow) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if x.Verdict == report.FlowAllowed || x.Verdict == report.FlowFailed {
		l.sum.Allowed++
	} else {
		l.sum.Denied++
	}
	for i := range l.list {
		o := &l.list[i]
		if o.Proto == x.Proto && o.Name == x.Name && o.Address == x.Address && o.Port == x.Port && o.Verdict == x.Verdict && o.Why == x.Why {
			o.Count++
			o.Sent += x.Sent
			o.Received += x.Received
			return
		}
	}
	if len(l.list) >= maxKinds {
		l.sum.Dropped++
		return
	}
	x.Count, x.Time = 1, time.Now().UTC().Format(time.RFC3339Nano)
	l.list = append(l.list, x)
}

func (l *flowLog) report() *report.Network {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := l.sum
	r.Flows = l.list
	return &r
}
