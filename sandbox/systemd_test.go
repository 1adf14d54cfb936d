package sandbox

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/godbus/dbus/v5"

	"cordon/policy"
	"cordon/sandbox/host"
)

// fakeSystemd is a manager of units at a socket. It knows as much of D-Bus and of org.freedesktop.systemd1(5) as is
// needed to make scopes and to end them.
type fakeSystemd struct {
	root string // the cgroup of the manager
	mu   sync.Mutex
	peer []net.Conn
	jobs uint32
	said []string          // the calls, with the unit's name
	prop map[string]string // properties of the unit, as they came last
}

// serve speaks to one client: the handshake of the D-Bus specification, "Authentication Protocol", then messages.
func (s *fakeSystemd) serve(c net.Conn) {
	defer c.Close()
	r := bufio.NewReader(c)
	_, _ = r.ReadByte()
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		answer := "ERROR\r\n"
		switch {
		case strings.HasPrefix(line, "AUTH EXTERNAL"):
			answer = "DATA\r\n"
		case strings.HasPrefix(line, "DATA"):
			answer = "OK 0123456789abcdef0123456789abcdef\r\n"
		case strings.HasPrefix(line, "AUTH"):
			answer = "REJECTED EXTERNAL\r\n"
		case strings.HasPrefix(line, "BEGIN"):
			s.mu.Lock()
			s.peer = append(s.peer, c)
			s.mu.Unlock()
			s.messages(c, r)
			return
		}
		if _, err := c.Write([]byte(answer)); err != nil {
			return
		}
	}
}

func (s *fakeSystemd) messages(c net.Conn, r io.Reader) {
	for {
		m, err := dbus.DecodeMessage(r)
		if err != nil {
			return
		}
		s.mu.Lock()
		body, signal := s.call(m)
		reply := &dbus.Message{Type: dbus.TypeMethodReply, Body: body, Headers: map[dbus.HeaderField]dbus.Variant{
			dbus.FieldReplySerial: dbus.MakeVariant(m.Serial()), dbus.FieldSender: dbus.MakeVariant(":1.1")}}
		send(c, reply)
		if signal != nil {
			for _, p := range s.peer {
				send(p, signal)
			}
		}
		s.mu.Unlock()
	}
}

// send writes a message. Nobody looks at the message's serial, but it must not be 0.
func send(c net.Conn, m *dbus.Message) {
	if len(m.Body) > 0 {
		m.Headers[dbus.FieldSignature] = dbus.MakeVariant(dbus.SignatureOf(m.Body...))
	}
	var b strings.Builder
	if m.EncodeTo(&b, binary.LittleEndian) == nil {
		raw := []byte(b.String())
		binary.LittleEndian.PutUint32(raw[8:], 1)
		_, _ = c.Write(raw)
	}
}

func (s *fakeSystemd) call(m *dbus.Message) (body []any, signal *dbus.Message) {
	member, _ := m.Headers[dbus.FieldMember].Value().(string)
	switch member {
	case "Hello":
		return []any{":1.7"}, nil
	case "Get":
		if m.Body[1] == "ControlGroup" {
			return []any{dbus.MakeVariant(strings.TrimPrefix(s.root, "/sys/fs/cgroup"))}, nil
		}
		return []any{dbus.MakeVariant("254")}, nil
	case "SetUnitProperties":
		s.said = append(s.said, member+" "+m.Body[0].(string))
		s.properties(m.Body[2])
		return nil, nil
	case "StartTransientUnit", "StopUnit":
		unit := m.Body[0].(string)
		s.said = append(s.said, member+" "+unit)
		result := "done"
		if member == "StartTransientUnit" {
			s.properties(m.Body[2])
			if err := s.start(unit); err != nil {
				result = "failed: " + err.Error()
			}
		}
		s.jobs++
		job := dbus.ObjectPath("/org/freedesktop/systemd1/job/" + strconv.Itoa(int(s.jobs)))
		return []any{job}, &dbus.Message{Type: dbus.TypeSignal, Headers: map[dbus.HeaderField]dbus.Variant{
			dbus.FieldPath: dbus.MakeVariant(dbus.ObjectPath("/org/freedesktop/systemd1")), dbus.FieldMember: dbus.MakeVariant("JobRemoved"),
			dbus.FieldInterface: dbus.MakeVariant("org.freedesktop.systemd1.Manager"), dbus.FieldSender: dbus.MakeVariant(":1.1"),
		}, Body: []any{s.jobs, job, unit, result}}
	}
	return nil, nil
}

func (s *fakeSystemd) properties(list any) {
	for _, p := range list.([][]any) {
		s.prop[p[0].(string)] = strings.TrimPrefix(p[1].(dbus.Variant).String(), "@t ")
	}
}

// start makes the scope's group and puts its process there, as systemd does.
func (s *fakeSystemd) start(unit string) error {
	dir := filepath.Join(s.root, strings.Trim(s.prop["Slice"], `"`), unit)
	pids := strings.Trim(s.prop["PIDs"], "@au[] ")
	return errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(dir+"/cgroup.procs", []byte(pids), 0))
}

// systemdFiles is the tree of this machine, as it would be if systemd were running.
type systemdFiles struct{ host.OSFiles }

func (f systemdFiles) Stat(path string) (fs.FileInfo, error) {
	if path == "/run/systemd/system" {
		path = "/"
	}
	return f.OSFiles.Stat(path)
}

// TestScope lets a manager of units make the sandbox's group around the child, and end the group.
func TestScope(t *testing.T) {
	if layout(t) != "v2" {
		t.Skip("scopes need cgroup v2")
	}
	s := &fakeSystemd{root: "/sys/fs/cgroup", prop: map[string]string{}}
	if os.Getuid() != 0 { // below what this user may write to
		c := grouped(t, "read x")
		end := running(t, c)
		s.root = filepath.Dir(groupsOf(t, c.proc.Task)[""])
		end()
	}
	slice := s.root + "/ci.slice"
	defer os.Remove(slice)
	socket := filepath.Join(t.TempDir(), "bus")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for c, err := l.Accept(); err == nil; c, err = l.Accept() {
			go s.serve(c)
		}
	}()
	t.Setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path="+socket)
	t.Setenv("DBUS_SESSION_BUS_ADDRESS", "unix:path="+socket)
	c := shell(t, "cat /proc/self/cgroup; read x; exit 0")
	c.Profile.Missing = []policy.MissingLayer{{Layer: policy.LayerLandlock}}
	c.Profile.Limits = policy.Limits{Memory: set(64 << 20), PIDs: set(40), Cgroup: "ci.slice", CPUs: policy.Opt[float64]{Set: true, V: 1.5}}
	if c.Host, err = host.Probe(); err != nil {
		t.Fatal(err)
	}
	c.Host.Files = systemdFiles{}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	c.Stdout = w
	end := running(t, c)
	w.Close()
	dir := groupsOf(t, c.proc.Task)[""]
	unit := filepath.Base(dir)
	if filepath.Dir(dir) != slice || !strings.HasSuffix(unit, ".scope") {
		t.Errorf("the task is in %s", dir)
	}
	for name, want := range map[string]string{"memory.max": "67108864", "pids.max": "41", "cpu.max": "150000 100000"} {
		if got := file(t, dir+"/"+name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	report := end()
	inside, err := io.ReadAll(r)
	if err != nil || strings.TrimSpace(string(inside)) != "0::/" || report.Exit != 0 {
		t.Errorf("inside it sees %q, %v; %+v", inside, err, report)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	said := strings.Join(s.said, ", ")
	if want := "StartTransientUnit " + unit + ", SetUnitProperties " + unit + ", StopUnit " + unit; said != want {
		t.Errorf("%s; want %s", said, want)
	}
	// The limits must be properties too, because systemd would otherwise write its own values when it next updates the
	// unit.
	for name, want := range map[string]string{"MemoryMax": "67108864", "MemorySwapMax": "0", "TasksMax": "41", "CPUQuotaPerSecUSec": "1500000", "Delegate": "true"} {
		if s.prop[name] != want {
			t.Errorf("%s=%s, want %s", name, s.prop[name], want)
		}
	}
	if _, err := os.Stat(dir); err == nil {
		t.Errorf("%s is left", dir)
	}
}
