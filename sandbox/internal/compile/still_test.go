package compile

import "testing"

func TestRuntimeDir(t *testing.T) {
	for dir, want := range map[string]bool{
		"/run": true, "/var/run": true, "/run/user": true, "/run/user/1000": true, "/run/user/1000/x": false, "/run/media/ann/disk": false,
		"/running": false, "/home/run": false, "/": false, "/var": false, "/run/lock": false,
		"/run/userdb": false, "/run/user-x/y": false,
	} {
		if got := runtimeDir(dir); got != want {
			t.Errorf("%s: %v", dir, got)
		}
	}
}
