package git

import "strings"

// telling are parts of the names of variables whose values open something.
var telling = [...]string{"extraheader", "password", "passwd", "smtppass", "token",
	"secret", "apikey", "cookie", "sslkey", "sslcert", "authorization"}

// WithoutSecrets returns the variables without those that hold a secret, and with the users taken out of addresses.
// found says whether there was any.
func WithoutSecrets(vars []Var) (out []Var, found bool) {
	for _, v := range vars {
		if secret(&v) {
			found = true
			continue
		}
		sub, value := WithoutUser(v.Subsection), WithoutUser(v.Value)
		if sub != v.Subsection || value != v.Value {
			found = true
			v.Subsection, v.Value = sub, value
		}
		out = append(out, v)
	}
	return out, found
}

func secret(v *Var) bool {
	if v.Section == "credential" || v.Key == "pass" {
		return true
	}
	for _, word := range telling {
		if strings.Contains(v.Key, word) {
			return true
		}
	}
	value := strings.ToLower(v.Value)
	return strings.Contains(value, "authorization:") || strings.Contains(value, "sshpass")
}

// WithoutUser takes the user and the password out of every address of a scheme that would send them:
// "https://u:p@host/". The user of ssh is no secret, and is part of the address.
func WithoutUser(s string) string {
	var b strings.Builder
	for {
		i := strings.Index(s, "://")
		if i < 0 {
			b.WriteString(s)
			return b.String()
		}
		i += len("://")
		b.WriteString(s[:i])
		scheme := strings.ToLower(s[:i])
		s = s[i:]
		end := strings.IndexAny(s, "/?# \t\n\"'")
		if end < 0 {
			end = len(s)
		}
		at := strings.LastIndexByte(s[:end], '@')
		if at < 0 {
			continue
		}
		if strings.HasSuffix(scheme, "ssh://") || strings.HasSuffix(scheme, "git://") {
			if user, _, ok := strings.Cut(s[:at], ":"); ok {
				b.WriteString(user + "@")
				s = s[at+1:]
			}
			continue
		}
		s = s[at+1:]
	}
}
