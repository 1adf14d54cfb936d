// Package passwd reads the host's password database: passwd(5). It says which user the caller is. LOGNAME, USER and
// HOME do not, because anybody may have set them.
package passwd

import (
	"strconv"
	"strings"

	"cordon/sandbox/internal/paths"
	"cordon/sandbox/internal/proc"
)

// Account is a line of the password database.
type Account struct {
	Name string
	UID  int
	GID  int
	Home string // a clean path; "" if it is not absolute
}

// File is the password database. The launcher does not follow nsswitch.conf(5), because that needs libc.
const File = "/etc/passwd"

// MaxSize bounds how many bytes of the password database are read: about 50,000 accounts.
const MaxSize = 4 << 20

// All returns the accounts of this host's password database.
func All() ([]Account, error) {
	text, err := proc.Read(File, MaxSize)
	if err != nil {
		return nil, err
	}
	var list []Account
	for line := range strings.Lines(string(text)) {
		if a, ok := Parse(line); ok {
			list = append(list, a)
		}
	}
	return list, nil
}

// Find returns the first account with a uid in the text of a password database, as getpwuid(3) does. If there is none,
// it returns the zero value.
func Find(text string, uid int) Account {
	for line := range strings.Lines(text) {
		if a, ok := Parse(line); ok && a.UID == uid {
			return a
		}
	}
	return Account{}
}

// Home returns a user's home directory from this host's password database, as a clean path, or "" if there is none.
func Home(uid int) string {
	text, err := proc.Read(File, MaxSize)
	if err != nil {
		return ""
	}
	return Find(string(text), uid).Home
}

// Parse parses a line of the database; ok is false if the line is not an account.
func Parse(line string) (a Account, ok bool) {
	var f [6]string
	rest, more := strings.TrimRight(line, "\n"), true
	for i := range f {
		if !more {
			return a, false
		}
		f[i], rest, more = strings.Cut(rest, ":")
	}
	if f[0] == "" {
		return a, false
	}
	uid, err1 := strconv.Atoi(f[2])
	gid, err2 := strconv.Atoi(f[3])
	if err1 != nil || err2 != nil || uid < 0 || gid < 0 {
		return a, false
	}
	a = Account{Name: f[0], UID: uid, GID: gid}
	if strings.HasPrefix(f[5], "/") {
		a.Home = paths.Clean(f[5])
	}
	return a, true
}
