package record_test

import (
	"encoding/binary"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"cordon/policy"
	"cordon/policy/recording"
	"cordon/profiles"
	"cordon/sandbox"
	"cordon/sandbox/record"
	"cordon/sandbox/report"
)

// nameServer answers every question for an IPv4 address with 127.77.0.9, at an address of its own on port 53.
func nameServer(t *testing.T) (addr string) {
	t.Helper()
	addr = "127.77.0.53"
	c, err := net.ListenPacket("udp4", addr+":53")
	if err != nil {
		t.Skip(err) // port 53 takes CAP_NET_BIND_SERVICE
	}
	t.Cleanup(func() { c.Close() })
	go func() {
		buf := make([]byte, 1500)
		for {
			n, from, err := c.ReadFrom(buf)
			if err != nil {
				return
			}
			if n < 17 {
				continue
			}
			end := 12
			for end < n && buf[end] != 0 {
				end += 1 + int(buf[end])
			}
			m := append([]byte{}, buf[:end+5]...)
			copy(m[2:], "\x81\x80")
			binary.BigEndian.PutUint16(m[6:], 0)
			copy(m[8:], "\x00\x00\x00\x00") // without what the question had behind it
			if m[end+2] == 1 {
				m[7] = 1
				m = append(m, "\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\x7f\x4d\x00\x09"...)
			}
			_, _ = c.WriteTo(m, from)
		}
	}()
	return addr
}

const resolves = `package main

import "net"

func main() {
	c, err := net.Dial("udp4", "go.example:4242")
	if err != nil {
		panic(err)
	}
	c.Close()
}
`

// If a program has received an address from a name server and then connects to the address, the recording has the name.
func TestNamesThatWereLookedUp(t *testing.T) {
	server := nameServer(t)
	dir := workdir(t)
	for name, text := range map[string]string{
		"resolv.conf": "nameserver " + server + "\noptions timeout:2\n",
		"lookup.go":   resolves,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	const python = `import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.connect(socket.getaddrinfo("libc.example", 4242, socket.AF_INET, socket.SOCK_DGRAM)[0][4])`
	// A resolver may use a socket that is not connected, as musl's does. What others send to that socket is no answer.
	const byHand = `import socket, sys
def message(name, *answer):
    return b"\x12\x34" + (b"\x81\x80" if answer else b"\x01\x00") + b"\0\1\0" + bytes([len(answer)]) + b"\0\0\0\0" + bytes([len(name)]) + name + b"\7example\0\0\1\0\1" + b"".join(answer)
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("127.77.0.1", 0))
s.sendto(message(b"hand"), ("` + "127.77.0.53" + `", 53))
other = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
if len(sys.argv) > 2:
    getattr(s, sys.argv[1])(2000)
    other.sendto(message(b"forged", b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\x7f\x4d\0\x0a"), s.getsockname())
s.settimeout(5)
import select
select.select([s], [], [], 5)
getattr(s, sys.argv[1])(2000)
for to in "127.77.0.9", "127.77.0.10":
    other.connect((to, 4242))`
	for _, w := range []struct {
		what, name string
		backends   []string
		args       []string
	}{
		{"recvfrom", "hand.example", []string{record.BPF, record.Notify}, []string{"/usr/bin/python3", "-I", "-c", byHand, "recvfrom"}},
		{"recvmsg", "hand.example", []string{record.BPF}, []string{"/usr/bin/python3", "-I", "-c", byHand, "recvmsg"}},
		{"forged", "", []string{record.BPF, record.Notify}, []string{"/usr/bin/python3", "-I", "-c", byHand, "recvfrom", "forged"}},
		{"libc", "libc.example", []string{record.BPF, record.Notify}, []string{"/usr/bin/python3", "-I", "-c", python}},
		{"Go", "go.example", []string{record.BPF}, []string{filepath.Join(dir, "lookup")}},
	} {
		if w.what == "Go" {
			run(t, dir, []string{"go", "build", "-o", "lookup", "lookup.go"})
		}
		for _, backend := range w.backends {
			t.Run(w.what+"/"+backend, func(t *testing.T) {
				if _, err := exec.LookPath(w.args[0]); err != nil {
					t.Skip(err)
				}
				rec := recordLookup(t, dir, backend, w.args)
				if w.what == "forged" {
					if got := nameAt(rec, "127.77.0.10"); got != "" {
						t.Errorf("anybody gives an address a name: %q", got)
					}
				} else if got := nameAt(rec, "127.77.0.9"); got != w.name {
					t.Errorf("the name of 127.77.0.9 is %q, want %q", got, w.name)
				}
			})
		}
	}
}

func nameAt(rec *recording.Recording, addr string) string {
	for _, e := range rec.Events {
		if e.Kind == recording.KindNet && e.Net.Op == "connect" && e.Net.Addr == addr {
			return e.Net.Name
		}
	}
	return "(no such address)"
}

// recordLookup records a program on the host's network, with a name server of the test's.
func recordLookup(t *testing.T, dir, backend string, args []string) *recording.Recording {
	t.Helper()
	p, err := profiles.Search{}.Load([]string{"build"}, &policy.Profile{Mounts: []policy.Mount{
		{Kind: policy.MountBind, Source: dir}, {Kind: policy.MountBind, Source: filepath.Join(dir, "resolv.conf"), Target: "/etc/resolv.conf"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	p.Hide, p.Network.Mode, p.Process.Workdir, p.Cache = nil, policy.NetworkHost, dir, policy.Cache{}
	r, err := record.New(record.Options{Backend: backend})
	if err != nil {
		t.Skip(err)
	}
	c := &sandbox.Cmd{Profile: record.Permissive(p), Args: args, Env: environment(dir), Observer: r, Stderr: os.Stderr}
	rep, err := runToEnd(c)
	r.Stop()
	if err != nil {
		t.Fatal(err)
	}
	if rep.Exit != 0 {
		t.Fatalf("exit %d %s", rep.Exit, rep.Signal)
	}
	return r.Recording(recording.Run{Command: args})
}

// runToEnd runs a command. The report says how the program ended; that is no error.
func runToEnd(c *sandbox.Cmd) (*report.Report, error) {
	var exit *sandbox.ExitError
	if err := c.Run(); err != nil && !errors.As(err, &exit) {
		return nil, err
	}
	return c.Report, nil
}
