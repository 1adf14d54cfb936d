package egress

// This file copies between the two sides of a connection.

import (
	"errors"
	"io"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// flow is one connection of the sandbox.
type flow struct {
	client *net.TCPConn

	published bool // the client is outside, and the sandbox's program is the server

	began time.Time
	last  atomic.Int64 // the time of the last byte, in nanoseconds
	half  atomic.Bool  // one side sends no more

	mu     sync.Mutex
	server *net.TCPConn // nil before it is connected
	ended  bool
	gone   bool // the sandbox has ended: nobody reads what the server sends
}

func (f *flow) touch() { f.last.Store(time.Now().UnixNano()) }

// idle reports whether the flow was unused for too long.
func (f *flow) idle(now time.Time) bool {
	limit := maxIdle
	if f.half.Load() {
		limit = maxHalfIdle
	}
	return now.Sub(time.Unix(0, f.last.Load())) > limit
}

// connect stores the server's side of the connection. It returns false if the flow has ended meanwhile.
func (f *flow) connect(c *net.TCPConn) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ended {
		c.Close()
		return false
	}
	f.server = c
	if f.gone && !f.published {
		_ = c.CloseRead() // an error means that it has ended
	}
	return true
}

// sandboxGone tells the flow that the sandbox has ended. The flow still passes on what the sandbox has sent.
func (f *flow) sandboxGone() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.gone = true
	switch {
	case f.published && f.server == nil:
		f.end()
	case f.published:
		_ = f.client.CloseRead() // an error means that it has ended
	case f.server != nil:
		_ = f.server.CloseRead()
	}
}

// alive reports whether the flow has not been ended yet.
func (f *flow) alive() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return !f.ended
}

// refuse ends the flow in such a way that the program sees a reset, and not the end of an answer.
func (f *flow) refuse() { reset(f.client) }

// abort ends the flow at once, on both sides.
func (f *flow) abort() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.end()
}

// end does what abort does. f.mu must be held.
func (f *flow) end() {
	if f.ended {
		return
	}
	f.ended = true
	f.client.Close()
	if f.server != nil {
		f.server.Close()
	}
}

// broken ends the flow with a reset on both sides, because one side was reset.
func (f *flow) broken() {
	f.mu.Lock()
	_ = f.client.SetLinger(0)
	if f.server != nil {
		_ = f.server.SetLinger(0)
	}
	f.mu.Unlock()
	f.abort()
}

// reset closes a connection with a reset.
func reset(c *net.TCPConn) {
	_ = c.SetLinger(0) // an error means that it is closed
	c.Close()
}

// copyBoth copies in both directions until both have ended. It returns the numbers of bytes that the client has sent
// and received. If g is not nil, g decides whether the client's first bytes may pass.
func (f *flow) copyBoth(g *gate) (sent, received uint64) {
	done := make(chan struct{})
	go func() {
		received = f.copy(f.client, f.client, f.server)
		close(done)
	}()
	var to io.Writer = f.server
	if g != nil {
		g.to, g.flow, to = f.server, f, g
	}
	sent = f.copy(to, f.server, f.client)
	<-done
	return sent, received
}

// buffers holds buffers of the size of a pipe. A flow has a buffer only while there is something to copy. So a thousand
// idle flows hold no buffers, and no pipes either, which splice(2) would need.
var buffers = sync.Pool{New: func() any { return new([64 << 10]byte) }}

// copy passes on what one side sends. When that side sends no more, copy ends the connection to the other side in this
// direction.
func (f *flow) copy(w io.Writer, to, from *net.TCPConn) (total uint64) {
	raw, err := from.SyscallConn()
	if err != nil {
		return 0
	}
	for {
		n, err := f.pass(w, raw)
		total += uint64(n)
		if n > 0 {
			f.touch()
		}
		switch {
		case err == nil:
			continue
		case errors.Is(err, io.EOF):
			f.half.Store(true)
			f.touch()
			_ = to.CloseWrite() // an error means that it has ended
		default:
			f.broken()
		}
		return total
	}
}

// pass waits until there is something to read, and writes what it has read to the other side.
func (f *flow) pass(to io.Writer, raw syscall.RawConn) (int, error) {
	var buf *[64 << 10]byte
	var n int
	var got error
	err := raw.Read(func(fd uintptr) bool {
		buf = buffers.Get().(*[64 << 10]byte)
		for {
			n, got = unix.Read(int(fd), buf[:])
			if got != unix.EINTR {
				break
			}
		}
		if got == unix.EAGAIN {
			buffers.Put(buf)
			buf = nil
			return false
		}
		return true
	})
	if buf == nil {
		return 0, err // closed
	}
	defer buffers.Put(buf)
	switch {
	case err != nil:
		return 0, err
	case got != nil:
		return 0, got
	case n == 0:
		return 0, io.EOF
	}
	return to.Write(buf[:n])
}

func portText(port uint16) string { return strconv.Itoa(int(port)) }
