package git

import (
	"slices"
	"strings"
)

// telling lists texts that are part of the names of variables with secrets.
var telling = [...]string{"extraheader", "password", "passwd", "passphrase", "smtppass", "token",
	"secret", "apikey", "api-key", "cookie", "sslkey", "sslcert", "authorization", "privatekey", "private-key",
	"accesskey", "access-key", "bearer"}

// short lists complete names of variables with secrets.
var short = [...]string{"auth", "pass", "pat", "pw", "pwd"}

// tells matches a text that contains a secret. It recognizes the secret by the name before it: "Authorization: …",
// "TOKEN=…", "sshpass -p …", "curl -u name:word".
var tells = pattern{text: `(?i)extraheader|sshpass|authorization|\bcookie\b|` +
	`(token|secret|passw(or)?d|passphrase|api[-_]?key|private[-_]?key|access[-_]?key|credentials?|\bpass|[-_]pass|\bauth)` +
	`["']?\s*[:=]\s*\S|` +
	`--(\w+-)*(password|passphrase|passwd|token|secret|pass)\s+\S|` +
	`\bopenssl\b.*\s-k\s+\S|` +
	`\b(bearer|basic)\s+[a-z0-9+/=_.~-]{8}|` +
	`\b(curl|wget)\b.*\s(-[a-z#]*u|--user|--proxy-user)[= ]?\s*\S+:|` +
	`\b(curl|wget)\b.*\s(-[a-z#]*h|--header)[= ]?\s*["']*x-\S+:\s*\S`}

// formats matches tokens by the form that their issuers use, so that it also finds tokens in the path of an address. It
// knows GitHub, GitLab, Slack, AWS, Bitbucket, Atlassian, npm, PyPI, Hugging Face, DigitalOcean, and JWT (RFC 7519).
var formats = pattern{text: `\bgh[pousr]_[A-Za-z0-9]{16}|\bgithub_pat_[A-Za-z0-9_]{16}|\bgl[a-z]{2,6}-[A-Za-z0-9_-]{16}|` +
	`\bxox[a-z]-[A-Za-z0-9-]{10}|\b(AKIA|ASIA)[A-Z0-9]{16}|\bATBB[A-Za-z0-9]{16}|\bATATT[A-Za-z0-9_=-]{16}|` +
	`\bnpm_[A-Za-z0-9]{16}|\bpypi-[A-Za-z0-9_-]{16}|\bhf_[A-Za-z0-9]{16}|\bdop_v1_[a-f0-9]{16}|\beyJ[A-Za-z0-9_-]{8,}\.eyJ`}

// Cut says what was removed from a configuration.
type Cut int

// The values of Cut. A larger value includes the smaller ones.
const (
	Nothing     Cut = iota
	Credentials     // credential sections, most of which name programs and users
	Secrets         // variables with secrets, or parts of addresses
)

// Filter returns a configuration as text, without its secrets and without comments.
func Filter(text []byte) (safe string, cut Cut, err error) {
	p := newParser(text)
	vars, err := p.variables()
	if err != nil {
		return "", Nothing, err
	}
	if suspicious(p.comments.String()) {
		cut = Secrets
	}
	left, more := WithoutSecrets(vars)
	return FormatConfig(left), max(cut, more), nil
}

// suspicious reports whether comments contain a text that would have been removed from a value.
func suspicious(comments string) bool {
	for line := range strings.Lines(comments) {
		if tells.get().MatchString(line) || formats.get().MatchString(line) || WithoutUser(line) != line {
			return true
		}
		if key, _, ok := strings.Cut(strings.ToLower(line), "="); ok && named(key) {
			return true
		}
	}
	return false
}

// WithoutSecrets returns the variables without those that contain a secret, and without credential sections. It also
// removes users and query strings from addresses.
func WithoutSecrets(vars []Var) (out []Var, cut Cut) {
	for _, v := range vars {
		if v.Section == "credential" {
			cut = max(cut, Credentials)
			if secret(&v) || WithoutUser(v.Subsection) != v.Subsection {
				cut = Secrets
			}
			continue
		}
		if secret(&v) {
			cut = Secrets
			continue
		}
		sub, value := WithoutUser(v.Subsection), WithoutUser(v.Value)
		if strings.HasSuffix(v.Key, "proxy") {
			value = value[strings.LastIndexByte(value, '@')+1:] // "u:p@host:3128" needs no scheme: git-config(1), http.proxy
		}
		if v.Key == "url" || v.Key == "pushurl" {
			value = withoutOddUser(value)
		}
		if sub != v.Subsection || value != v.Value {
			cut = Secrets
			v.Subsection, v.Value = sub, value
		}
		out = append(out, v)
	}
	return out, cut
}

// withoutOddUser removes the user and password from an address if they contain blanks or quotes, as git allows.
func withoutOddUser(address string) string {
	scheme, rest, ok := strings.Cut(address, "://")
	at := strings.LastIndexByte(rest, '@')
	if !ok || strings.Contains(scheme, "::") || at < 0 || !strings.ContainsAny(rest[:at], " \t\n\"'") {
		return address
	}
	return scheme + "://" + rest[at+1:]
}

func named(key string) bool {
	for _, word := range telling {
		if strings.Contains(key, word) {
			return true
		}
	}
	return false
}

func secret(v *Var) bool {
	if slices.Contains(short[:], v.Key) || named(v.Key) || named(v.Section) {
		return true
	}
	for _, text := range [...]string{v.Value, v.Subsection} {
		if formats.get().MatchString(text) || tells.get().MatchString(queries.get().ReplaceAllString(text, "")) {
			return true
		}
	}
	return false
}

// queries matches the query and the fragment of an address (RFC 3986, 3.4 and 3.5). It matches a fragment only if the
// fragment contains "=".
var queries = pattern{text: `(://[^\s"'?#]*)(\?[^\s"']*|#[^\s"']*=[^\s"']*)`}

// WithoutUser removes the user, the password and the query from every address with a scheme that sends them:
// "https://u:p@host/?token=x". The user of an ssh address is no secret and stays; its password is removed.
func WithoutUser(s string) string {
	s = queries.get().ReplaceAllString(s, "$1")
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
		user, rest := userOf(s)
		if keepsUser.get().MatchString(scheme) {
			if name, _, ok := strings.Cut(user, ":"); ok {
				user = name + "@"
			}
			b.WriteString(user)
		}
		s = rest
	}
}

// keepsUser matches the schemes that need the user, and do not send a secret with it: git-clone(1), GIT URLS.
var keepsUser = pattern{text: `(^|[^a-z0-9+.-])(git\+ssh|ssh\+git|ssh|git)://$`}

// userOf splits an address after its scheme into the user, with "@", and the rest. A password may contain an unescaped
// slash. In that case the text that looks like a port is not a number, and "@" comes after the slash.
func userOf(s string) (user, rest string) {
	end := strings.IndexAny(s, " \t\n\"'")
	if end < 0 {
		end = len(s)
	}
	host := strings.IndexAny(s[:end], "/?#")
	if host < 0 {
		host = end
	}
	if at := strings.LastIndexByte(s[:host], '@'); at >= 0 {
		return s[:at+1], s[at+1:]
	}
	colon := strings.LastIndexByte(s[:host], ':')
	if colon < 0 || strings.Trim(s[colon+1:host], "0123456789") == "" || strings.HasPrefix(s, "[") && strings.Contains(s[colon:host], "]") {
		return "", s
	}
	at := strings.LastIndexByte(s[:end], '@')
	if at < 0 {
		return "", s[host:] // "https://user:word/" has no host to keep
	}
	return s[:at+1], s[at+1:]
}
