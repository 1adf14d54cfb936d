package sandbox

import (
	"encoding/json"
	"errors"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"cordon/sandbox/host"
	"cordon/sandbox/internal/launch"
	"cordon/sandbox/internal/sandboxtest"
	"cordon/sandbox/internal/state"
	"cordon/sandbox/statedir"
)

// entryOf makes an entry in a new state directory.
func entryOf(t *testing.T) *statedir.Entry {
	t.Helper()
	parent := t.TempDir()
	if err := os.Chmod(parent, 0o700); err != nil {
		t.Fatal(err)
	}
	d, err := statedir.Open(parent + "/cordon")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	e, err := d.Create(statedir.State{Args: []string{"true"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return e
}

// served returns a launcher that only runs its event loop with a control socket, and the entry of its sandbox.
func served(t *testing.T) (*statedir.Entry, *launch.Process) {
	t.Helper()
	e := entryOf(t)
	p := processOf(t, &Cmd{State: e})
	if err := p.ServeControl(state.Root(e)); err != nil {
		t.Fatal(err)
	}
	var stop atomic.Bool
	done := make(chan bool)
	go func() {
		defer close(done)
		for !stop.Load() {
			p.At(time.Now().Add(10*time.Millisecond), func() {})
			if err := p.Poll(nil); err != nil {
				t.Error(err)
				return
			}
		}
		p.CloseControl()
	}()
	t.Cleanup(func() {
		stop.Store(true)
		<-done
		if _, err := state.Root(e).Lstat(host.ControlFile); err == nil {
			t.Error("the socket is left")
		}
	})
	return e, p
}

func TestControl(t *testing.T) {
	e, p := served(t)
	l, err := e.OpenLog(1<<20, 1)
	if err != nil {
		t.Fatal(err)
	}
	state.Lose(l, 5, "because")
	var s statedir.LogState
	if _, err := e.Call("log", nil, &s); err != nil || s.Lost != 5 || s.Error != "because" {
		t.Errorf("%+v %v", s, err)
	}
	l.Close()
	for _, tt := range []struct {
		op   string
		args any
		want string
	}{
		{"signal", state.SignalRequest{Signal: -1}, "not a signal"},
		{"signal", state.SignalRequest{Signal: 65}, "not a signal"},
		{"signal", "x", "not a signal"},
		{"signal", state.SignalRequest{Signal: 15}, "no such process"}, // there is no program to signal
		{"nonsense", nil, "this launcher does not know the request"},
		{"log", strings.Repeat("x", state.MaxPacket), "too long"},
	} {
		_, err := e.Call(tt.op, tt.args, nil)
		var its *Error
		if !errors.As(err, &its) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.op, err, tt.want)
		}
	}
	_ = p
}

// TestControlHostileClients checks that no hostile client keeps the launcher from answering the next client.
func TestControlHostileClients(t *testing.T) {
	e, p := served(t)
	dial := func() int {
		fd, err := state.Dial(e)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { unix.Close(fd) })
		return fd
	}
	answers := func(after string) {
		t.Helper()
		if _, err := e.Call("log", nil, nil); err != nil {
			t.Errorf("after %s: %v", after, err)
		}
	}
	fd := dial()
	for _, packet := range []string{"", "\x00", "{", "[]", "null", `{"op":1}`, strings.Repeat("[", 10_000)} {
		_ = unix.Sendmsg(fd, []byte(packet), nil, nil, unix.MSG_NOSIGNAL) // it may be closed by now
		answers("garbage")
	}
	fd = dial() // a client that asks and never reads
	if err := unix.SetNonblock(fd, true); err != nil {
		t.Fatal(err)
	}
	for range 10_000 {
		if err := unix.Sendmsg(fd, []byte(`{"op":"log"}`), nil, nil, unix.MSG_NOSIGNAL); err == unix.EPIPE {
			break
		}
	}
	answers("one that never reads")
	fd = dial() // a client that sends descriptors
	before := sandboxtest.Descriptors(t)
	for range 20 {
		_ = unix.Sendmsg(fd, []byte(`{"op":"log"}`), unix.UnixRights(0, 1, 2), nil, unix.MSG_NOSIGNAL)
	}
	answers("one that sends descriptors")
	if now := sandboxtest.Descriptors(t); now > before+2 { // one connection of an answer may still be open
		t.Errorf("%d descriptors, %d before", now, before)
	}
	var idle []int
	for range 3 * launch.MaxClients {
		fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
		if err != nil {
			t.Fatal(err)
		}
		addr, done, err := state.ControlAddress(state.Root(e))
		if err != nil {
			t.Fatal(err)
		}
		_ = unix.Connect(fd, addr) // the launcher refuses some of them
		done()
		idle = append(idle, fd)
	}
	time.Sleep(200 * time.Millisecond)
	for _, fd := range idle {
		unix.Close(fd)
	}
	time.Sleep(200 * time.Millisecond)
	answers("too many")
	_ = p
}

// TestAnswer checks that a reply arrives with all its descriptors, and an error with none.
func TestAnswer(t *testing.T) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pair[0])
	defer unix.Close(pair[1])
	var st [3]unix.Stat_t
	for i := range st {
		if err := unix.Fstat(i, &st[i]); err != nil {
			t.Fatal(err)
		}
	}
	proof, err := state.OpenUserNamespace()
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(proof)
	if !launch.Answer(pair[0], proof, "yes", []int{0, 1, 2}, nil) {
		t.Fatal("not sent")
	}
	var value string
	fds, err := state.ReceiveReply(pair[1], &value)
	if err != nil || value != "yes" || len(fds) != 3 {
		t.Fatalf("%v %q %v", fds, value, err)
	}
	for i, fd := range fds {
		var its unix.Stat_t
		if err := unix.Fstat(fd, &its); err != nil || its.Ino != st[i].Ino {
			t.Errorf("%d: %v", i, err)
		}
		unix.Close(fd)
	}
	if !launch.Answer(pair[0], proof, nil, []int{0}, &Error{Op: "x", Err: errors.New("no"), Hint: "h"}) {
		t.Fatal("not sent")
	}
	fds, err = state.ReceiveReply(pair[1], nil)
	var e *Error
	if fds != nil || !errors.As(err, &e) || e.Hint != "h" || !strings.Contains(err.Error(), "x: no") {
		t.Errorf("%v %v", fds, err)
	}
	if launch.Answer(pair[0], proof, strings.Repeat("x", state.MaxPacket), nil, nil) || launch.Answer(pair[0], proof, nil, make([]int, state.MaxRights+1), nil) {
		t.Error("too much was sent")
	}
}

// FuzzRequest checks that the launcher answers every request, whatever the client sends.
func FuzzRequest(f *testing.F) {
	f.Add([]byte(`{"op":"signal","args":{"signal":15}}`))
	f.Add([]byte(`{"op":"log"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		p := processOf(t, &Cmd{State: &statedir.Entry{}})
		_, fds, err := p.Do(b)
		var r state.Request
		known := json.Unmarshal(b, &r) == nil && slices.ContainsFunc(launch.Operations[:], func(o launch.Operation) bool { return o.Op == r.Op })
		if fds != nil || !known && err == nil {
			t.Errorf("%q: %v %v", b, fds, err)
		}
	})
}
