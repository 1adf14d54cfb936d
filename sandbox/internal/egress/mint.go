package egress

// This file makes sockets in the sandbox's network: tcp(7), connect(2). The launcher is not in that network, but the
// child has made one socket there, the seed. The seed connects to the relay's own port. Then the launcher disconnects
// the socket that the relay has accepted (AF_UNSPEC). What is left is a fresh socket of the sandbox's network. So no
// process has to enter that network.

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// mintTime bounds how long the launcher waits for a socket. The program can fill the relay's queue, and then no socket
// comes.
const mintTime = 2 * time.Second

// minter makes TCP sockets in the sandbox's network. The zero minter makes none.
type minter struct {
	seed       int // owned; below 1 if there is none
	six        bool
	disconnect func(fd int) error
	mu         sync.Mutex
	port       atomic.Uint32 // from which the seed connects; 0 while it does not
	arrived    chan *net.TCPConn
}

// loopback returns the sandbox's own IPv4 loopback.
func loopback() netip.Addr { return netip.AddrFrom4([4]byte{127, 0, 0, 1}) }

// sockaddr returns an IPv4 address in the form that the address family of the seed needs.
func (m *minter) sockaddr(a netip.Addr, port uint16) unix.Sockaddr {
	switch {
	case !m.six:
		return &unix.SockaddrInet4{Addr: a.As4(), Port: int(port)}
	case a.IsUnspecified():
		return &unix.SockaddrInet6{Port: int(port)}
	}
	return &unix.SockaddrInet6{Addr: a.As16(), Port: int(port)}
}

func (m *minter) open(cfg *Config) error {
	m.seed, m.disconnect, m.arrived = cfg.Seed, cfg.Disconnect, make(chan *net.TCPConn, 1)
	if m.seed < 1 {
		return nil
	}
	domain, err := unix.GetsockoptInt(m.seed, unix.SOL_SOCKET, unix.SO_DOMAIN)
	m.six = domain == unix.AF_INET6
	return errors.Join(err, unix.SetNonblock(m.seed, true))
}

func (m *minter) close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.seed > 0 {
		unix.Close(m.seed)
		m.seed = -1
	}
}

// takes reports whether a connection to the relay's own port is the seed's. If so, it takes the connection. The seed's
// port proves that: nobody else can have this port at the address of the loopback.
func (m *minter) takes(c *net.TCPConn, to netip.AddrPort) bool {
	from, ok := c.RemoteAddr().(*net.TCPAddr)
	port := m.port.Load()
	if !ok || port == 0 || to.Addr() != loopback() || from.AddrPort().Addr().Unmap() != loopback() || from.Port != int(port) {
		return false
	}
	select {
	case m.arrived <- c:
		return true
	default:
		return false
	}
}

// socket returns a new, non-blocking socket.
func (m *minter) socket(ctx context.Context) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.seed < 1 {
		return -1, net.ErrClosed
	}
	// The seed is bound before it connects, so that its port is known when the connection arrives.
	if err := errors.Join(m.disconnect(m.seed), unix.Bind(m.seed, m.sockaddr(netip.IPv4Unspecified(), 0))); err != nil {
		return -1, err
	}
	name, err := unix.Getsockname(m.seed)
	if err != nil {
		return -1, err
	}
	m.port.Store(uint32(portOf(name)))
	defer m.port.Store(0)
	if err := unix.Connect(m.seed, m.sockaddr(loopback(), relayPort)); err != nil && err != unix.EINPROGRESS {
		return -1, err
	}
	select {
	case c := <-m.arrived:
		return m.fresh(c)
	case <-ctx.Done():
		return -1, ctx.Err()
	case <-time.After(mintTime):
		return -1, errors.New("the relay's queue is full")
	}
}

// fresh disconnects a connection and returns its socket as a new descriptor. It closes c.
func (m *minter) fresh(c *net.TCPConn) (fd int, err error) {
	defer c.Close()
	raw, err := c.SyscallConn()
	if err != nil {
		return -1, err
	}
	fd = -1
	if e := raw.Control(func(old uintptr) { fd, err = unix.FcntlInt(old, unix.F_DUPFD_CLOEXEC, 3) }); e != nil {
		err = e
	}
	if err == nil {
		err = m.disconnect(fd)
	}
	if err != nil && fd >= 0 {
		unix.Close(fd)
	}
	return fd, err
}

func portOf(name unix.Sockaddr) int {
	switch a := name.(type) {
	case *unix.SockaddrInet4:
		return a.Port
	case *unix.SockaddrInet6:
		return a.Port
	}
	return 0
}

// dial connects to a port of the sandbox's loopback.
func (m *minter) dial(ctx context.Context, port uint16) (*net.TCPConn, error) {
	fd, err := m.socket(ctx)
	if err != nil {
		return nil, err
	}
	file := os.NewFile(uintptr(fd), "published")
	defer file.Close()
	if err := m.connect(ctx, file, port); err != nil {
		return nil, err
	}
	c, err := net.FileConn(file)
	if err != nil {
		return nil, err
	}
	tcp, ok := c.(*net.TCPConn)
	if !ok {
		c.Close()
		return nil, errors.New("the socket is not one of TCP")
	}
	return tcp, nil
}

// connect connects a socket and waits in Go's poller, so that no thread waits for a program whose queue is full.
func (m *minter) connect(ctx context.Context, file *os.File, port uint16) error {
	raw, err := file.SyscallConn()
	if err != nil {
		return err
	}
	end, _ := ctx.Deadline()
	if err := file.SetWriteDeadline(end); err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { _ = file.SetWriteDeadline(time.Unix(1, 0)) })()
	begun, result := false, error(nil)
	waited := raw.Write(func(fd uintptr) bool {
		if !begun {
			begun = true
			result = unix.Connect(int(fd), m.sockaddr(loopback(), port))
			return result != unix.EINPROGRESS
		}
		// The poller may report an event that belongs to the socket's earlier connection.
		code, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ERROR)
		if err == nil && code != 0 {
			err = unix.Errno(code)
		}
		if result = err; err != nil {
			return true
		}
		_, err = unix.Getpeername(int(fd))
		return err == nil
	})
	return errors.Join(waited, result)
}
