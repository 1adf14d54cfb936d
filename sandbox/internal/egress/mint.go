package egress

// This file makes sockets in the sandbox's network, in which the launcher is not: tcp(7), connect(2). The child has
// made one socket there, the seed. It connects to the relay's own port, and the socket that the relay accepts is
// disconnected (AF_UNSPEC), which leaves a fresh socket of the sandbox's network. No process has to enter that network.

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

// mintTime bounds the wait for a socket, because the program can fill the relay's queue.
const mintTime = 2 * time.Second

// minter makes sockets of TCP in the sandbox's network. The zero minter makes none.
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

// sockaddr returns an IPv4 address in the form that the seed's family takes.
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

// takes reports whether a connection to the relay's own port is the seed's, and takes it then. The port is the seed's
// alone: nobody else can have it at the address of the loopback.
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

// socket returns a new socket, which does not block.
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

// fresh returns the disconnected socket of a connection, which it closes.
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

// connect waits in Go's poller, so that no thread waits for a program whose queue is full.
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
		// The poller may report what it knew of the socket before.
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
