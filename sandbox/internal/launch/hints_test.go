package launch

import (
	"slices"
	"strings"
	"testing"
)

func TestSnmp(t *testing.T) {
	text := []byte("Ip: Forwarding OutNoRoutes\nIp: 1 12\nIcmp: InMsgs\nIcmp: 4\nUdp: InDatagrams NoPorts\nUdp: 3 2\nUdpLite: NoPorts\nUdpLite: 9\n")
	for _, tt := range []struct {
		proto, name string
		want        int
	}{{"Ip:", "OutNoRoutes", 12}, {"Udp:", "NoPorts", 2}, {"Udp:", "OutNoRoutes", 0}, {"Tcp:", "NoPorts", 0}} {
		if got := snmp(text, tt.proto, tt.name); got != tt.want {
			t.Errorf("%s %s: %d, want %d", tt.proto, tt.name, got, tt.want)
		}
	}
	if got := snmp([]byte("Ip: A B\nIp: 1\n"), "Ip:", "B"); got != 0 {
		t.Errorf("a short line: %d", got)
	}
}

// TestComplaints finds the paths in the messages of common programs.
func TestComplaints(t *testing.T) {
	for _, c := range []struct {
		text, path string
		write      bool
	}{
		{"cat: /home/ann/f: No such file or directory\r\n", "/home/ann/f", false},
		{"sh: 1: cannot create new.txt: Read-only file system\n", "new.txt", true},
		{"FileNotFoundError: [Errno 2] No such file or directory: '/home/ann/data/f'\n", "/home/ann/data/f", false},
		{"OSError: [Errno 30] Read-only file system: 'out.txt'\n", "out.txt", true},
		{"mkdir: cannot create directory ‘d’: Read-only file system\n", "./a-new-file", true},
		{"Error: ENOENT: no such file or directory, open '/home/ann/data/f'\n", "/home/ann/data/f", false},
		{"fatal: Unable to create '/src/.git/index.lock': Read-only file system\n", "/src/.git/index.lock", true},
		{"sh: 1: .: cannot open ./.env: Permission denied\n", "./.env", false},
		{"open /home/ann/x.json: permission denied\n", "/home/ann/x.json", false},
		{"/home/ann/f is fine\n", "", false},
	} {
		list := complaints(c.text)
		if found := slices.Contains(list, complaint{c.path, c.write}); found != (c.path != "") || c.path == "" && len(list) > 0 {
			t.Errorf("%q: %v", c.text, list)
		}
	}
	if list := complaints(strings.Repeat("/a/b: Permission denied\n", 100)); len(list) != maxComplaints {
		t.Errorf("%d complaints", len(list))
	}
}

func TestWantsIDs(t *testing.T) {
	for text, want := range map[string]bool{
		"nginx: [emerg] chown(\"/tmp/a\", 65534) failed (22: Invalid argument)\n":   true,
		"su: cannot set groups: Invalid argument\n":                                 true,
		"tar: f: Cannot change ownership to uid 1000, gid 1000: Invalid argument\n": true,
		"mount: Invalid argument\nchown: ok\n":                                      false,
		"chown: changing ownership of 'f': Operation not permitted\n":               false,
	} {
		if wantsIDs(text) != want {
			t.Errorf("%q: not %v", text, want)
		}
	}
}
