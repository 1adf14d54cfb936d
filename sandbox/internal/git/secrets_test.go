package git

import (
	"strings"
	"testing"
)

// Each of these configurations contains the secret S3CRET. Text that must stay is KEPT.
var withSecret = []string{
	"[remote \"o\"]\n url = https://u:S3CRET@KEPT.org/x.git",
	"[remote \"o\"]\n url = HTTPS://S3CRET@KEPT.org/x.git",
	"[remote \"o\"]\n pushurl = https://u%40b:p/S3CRET@KEPT.org/x.git",
	"[remote \"o\"]\n url = https://u%40b:S3CRET%2f@KEPT.org/x.git",
	"[remote \"o\"]\n url = https://u:p@S3CRET@KEPT.org/x.git",
	"[remote \"o\"]\n url = ssh://git:S3CRET@KEPT.org/x.git",
	"[remote \"o\"]\n url = ftp://u:S3CRET@KEPT.org/x.git",
	"[remote \"o\"]\n url = https://KEPT.org/x.git?private_token=S3CRET",
	"[remote \"o\"]\n url = https://KEPT.org/x.git?a=b&access_token=S3CRET",
	"[remote \"o\"]\n url = https://KEPT.org/x.git?S3CRET",
	"[remote \"o\"]\n url = https://KEPT.org/x.git#access_token=S3CRET",
	"[remote \"o\"]\n url = https://x.org/ghp_S3CRETS3CRETS3CRETS3CRET/x.git",
	"[remote \"o\"]\n url = https://x.org/glpat-S3CRETS3CRETS3CRET/x.git",
	"[url \"https://u:S3CRET@KEPT.org/\"]\n insteadOf = https://KEPT.org/",
	"[url \"https://oauth2:S3CRET@KEPT.org/\"]\n pushInsteadOf = git@KEPT.org:",
	"[http]\n extraHeader = Authorization: Basic S3CRET",
	"[HTTP \"https://x.org\"]\n EXTRAHEADER = X-Whatever: S3CRET",
	"[http \"https://S3CRET@KEPT.org/\"]\n sslVerify = true",
	"[http]\n proxy = http://u:S3CRET@KEPT.org:3128",
	"[http]\n proxy = u:S3CRET@KEPT.org:3128",
	"[http \"https://x.org\"]\n proxy = socks5h://u:S3CRET@KEPT.org",
	"[remote \"o\"]\n proxy = u:S3CRET@KEPT.org:3128",
	"[http]\n cookieFile = S3CRET",
	"[http]\n sslCertPasswordProtected = S3CRET",
	"[http]\n proxySSLKey = S3CRET",
	"[sendemail]\n smtpPass = S3CRET",
	"[sendemail \"work\"]\n smtppass = S3CRET",
	"[imap]\n pass = S3CRET",
	"[imap]\n host = imaps://u:S3CRET@KEPT.org",
	"[credential]\n helper = store --file=S3CRET",
	"[credential \"https://x.org\"]\n username = S3CRET",
	"[credential]\n helper = \"!f() { echo password=S3CRET; }; f\"",
	"[alias]\n x = !git -c http.extraHeader='Authorization: S3CRET' fetch",
	"[alias]\n x = -c http.extraheader=X:S3CRET fetch",
	"[alias]\n x = \"!curl -H 'PRIVATE-TOKEN: S3CRET' x\"",
	"[alias]\n x = \"!curl -u me:S3CRET x\"",
	"[alias]\n x = \"!curl --user=me:S3CRET x\"",
	"[alias]\n x = \"!GITHUB_TOKEN=S3CRET gh pr list\"",
	"[alias]\n x = \"!GIT_PASS=S3CRET git push\"",
	"[alias]\n x = !git push https://u:S3CRET@x.org/y",
	"[core]\n sshCommand = sshpass -p S3CRET ssh",
	"[core]\n askPass = echo --token S3CRET",
	"[github]\n user = KEPT\n token = S3CRET",
	"[hub]\n oauthToken = S3CRET",
	"[gitlab]\n apiKey = S3CRET",
	"[lfs \"https://u:S3CRET@KEPT.org/info/lfs\"]\n access = basic",
	"[submodule \"s\"]\n url = https://S3CRET:x-oauth-basic@KEPT.org/s",
	"[svn-remote \"s\"]\n url = https://u:S3CRET@KEPT.org/svn",
	"[includeIf \"hasconfig:remote.*.url:https://u:S3CRET@KEPT.org/**\"]\n path = x",
	"[a]\n x = KEPT\n # token = S3CRET",
	"[a]\n x = KEPT ; url = https://u:S3CRET@x.org",
	"; extraheader = Authorization: Basic S3CRET\n[a]\n x = KEPT",
	"[a]\n password = \\\n  S3CRET\n x = KEPT",
	"[a \"https://u:S3CRET@KEPT.org\"] y",
	"[remote \"o\"]\n url = https://u:a S3CRET@KEPT.org/x.git",
	"[remote \"o\"]\n pushurl = \"https://u:a\\tS3CRET@KEPT.org/x.git\"",
	"[remote \"o\"]\n url = https+git://S3CRET@KEPT.org/x.git",
	"[alias]\n x = !echo http://x.org http+ssh://S3CRET@KEPT.org/x.git",
	"[filter \"x\"]\n smudge = openssl enc -d -base64 -aes-256-ecb -k S3CRET",
	"[filter \"x\"]\n clean = x --vault-pass S3CRET",
	"[gpg]\n program = gpg --batch --passphrase S3CRET",
	"[alias]\n x = !curl -sSLu me:S3CRET x",
	"[alias]\n x = \"!curl -sH 'X-Vault: S3CRET' x\"",
	"[alias]\n x = !curl --header X-Vault:S3CRET x",
	"[svn]\n pwd = S3CRET",
	"[s3]\n accessKeyId = S3CRET",
	"[github-token]\n value = S3CRET",
}

func TestFilter(t *testing.T) {
	for _, text := range withSecret {
		safe, cut, err := Filter([]byte(text))
		if err != nil || cut == Nothing {
			t.Errorf("%s: %v, %v", text, cut, err)
		}
		if strings.Contains(safe, "S3CRET") {
			t.Errorf("%s\nleaves\n%s", text, safe)
		}
		if strings.Contains(text, "KEPT") && !strings.Contains(safe, "KEPT") {
			t.Errorf("%s\nbecomes\n%s", text, safe)
		}
		if again, cut, err := Filter([]byte(safe)); err != nil || cut != Nothing || again != safe {
			t.Errorf("%s\nbecomes\n%s\nand then\n%s", text, safe, again)
		}
	}
}

// TestFilterKeeps checks that a configuration without a secret stays unchanged.
func TestFilterKeeps(t *testing.T) {
	for _, text := range []string{
		"[user]\n\tname = A B\n\temail = a@b.org\n\tsigningKey = ABCDEF\n",
		"[remote \"o\"]\n\turl = https://x.org:8443/~a/x.git\n\tfetch = +refs/heads/*:refs/remotes/o/*\n",
		"[remote \"o\"]\n\turl = git@x.org:a/b.git\n\turl = ssh://git@x.org:22/a\n\turl = https://[::1]:80/@scope/x\n",
		"[remote \"o\"]\n\turl = https://x.org/@scope/pkg\n",
		"[alias]\n\tst = status\n\tauthors = shortlog -sn\n\tpu = push -u origin main:main\n\tx = log --author=me --pretty=format:%an\n",
		"[core]\n\tpager = less -F\n\tautocrlf = input ; a comment\n",
		"[filter \"lfs\"]\n\tclean = git-lfs clean -- %f\n\trequired = true\n",
		"[diff \"x\"]\n\ttextconv = gpg --no-tty --decrypt\n",
		"# tokens are kept in the keyring\n[pass]\n\tx = y\n",
	} {
		if _, cut, err := Filter([]byte(text)); err != nil || cut != Nothing {
			safe, _, _ := Filter([]byte(text))
			t.Errorf("%v %v\n%s\nbecomes\n%s", cut, err, text, safe)
		}
	}
	if _, cut, _ := Filter([]byte("[credential]\n helper = cache\n[user]\n name = x\n")); cut != Credentials {
		t.Errorf("%v", cut)
	}
}
