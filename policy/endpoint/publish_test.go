package endpoint

import (
	"strconv"
	"strings"
	"testing"
)

func TestParsePublish(t *testing.T) {
	for in, want := range map[string]string{"8080:80": "127.0.0.1:8080 80", "80": "127.0.0.1:80 80", "0.0.0.0:8080:80": "0.0.0.0:8080 80",
		"192.0.2.7:1:2": "192.0.2.7:1 2", "[::1]:8080:80": "[::1]:8080 80", "127.0.0.1:80": "127.0.0.1:80 80", "[::]:65535:1": "[::]:65535 1"} {
		p, err := ParsePublish(in)
		if got := p.Host.String() + " " + strconv.Itoa(int(p.Port)); err != nil || got != want || p.Text != in {
			t.Errorf("%s: %s, %v, want %s", in, got, err, want)
		}
	}
	for in, want := range map[string]string{
		"":                      "is not a port of the host",
		"0":                     "is not a port of the host",
		"65536:1":               "is not a port of the host",
		"80:":                   "is not a port of the sandbox",
		"80:0":                  "is not a port of the sandbox",
		"80-90:80":              "is not a port of the host",
		"80:80/udp":             "is not a port of the sandbox",
		"localhost:80:80":       "is not an address of the host",
		"::1:80:80":             "is not a port of the host",
		"[127.0.0.1]:80:80":     "is not an address of the host",
		"[fe80::1%eth0]:80:80":  "is not an address of the host",
		"[::1]80:80":            "is not an address of the host",
		"[::ffff:1.2.3.4]:1:2":  "in the form of IPv6",
		"127.0.0.1:80:80:80":    "is not an address of the host",
		"127.0.0.1::80":         "is not a port of the host",
		"127.0.0.1:8080:80\n:1": "is not an address of the host",
	} {
		if _, err := ParsePublish(in); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", in, err, want)
		}
	}
}
