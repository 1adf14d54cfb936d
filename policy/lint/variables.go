package lint

// This file checks the variables that the sandbox gets from the caller's environment.

import (
	"path"
	"slices"
	"strings"

	"cordon/policy"
)

// LoaderVariables lists variables that choose which code runs: those of ld.so(8) and of common interpreters.
var LoaderVariables = []string{
	"LD_PRELOAD", "LD_LIBRARY_PATH", "LD_AUDIT", "LD_ORIGIN_PATH", "GLIBC_TUNABLES", "GCONV_PATH", "LOCPATH", "NLSPATH", "BASH_ENV", "ENV",
	"PROMPT_COMMAND", "ZDOTDIR", "NODE_OPTIONS", "NODE_PATH", "PYTHONSTARTUP", "PYTHONPATH", "PYTHONHOME", "PYTHONBREAKPOINT", "PERL5OPT",
	"PERL5LIB", "PERL5DB", "RUBYOPT", "RUBYLIB", "JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS", "CLASSPATH", "LUA_INIT",
	"LUA_PATH", "LUA_CPATH", "PHPRC", "PHP_INI_SCAN_DIR", "RUSTC_WRAPPER", "GIT_SSH_COMMAND", "GIT_SSH", "GIT_EXTERNAL_DIFF", "GIT_ASKPASS",
	"GIT_EXEC_PATH", "GIT_TEMPLATE_DIR", "SSH_ASKPASS", "SUDO_ASKPASS",
}

// CommandVariables lists variables that choose which program runs. Many profiles keep them.
var CommandVariables = []string{"PATH", "HOME", "SHELL", "PAGER", "EDITOR", "VISUAL", "BROWSER", "GIT_PAGER", "GIT_EDITOR", "MANPAGER", "LESSOPEN", "MAKEFLAGS", "XDG_CONFIG_HOME"}

// variables finds which variables of a list the profile keeps or sets.
func (l *linter) variables(list []string, does string) {
	for _, k := range l.p.Env.Keep {
		for _, name := range list {
			prefix, star := strings.CutSuffix(k.Pattern, "*")
			if k.Pattern == name || star && strings.HasPrefix(name, prefix) {
				l.say(k.Pos, "env.keep: "+policy.Quote(k.Pattern)+": "+name+" "+does)
				break
			}
		}
	}
	for _, v := range l.p.Env.Set {
		if v.Value != "" && slices.Contains(list, v.Name) {
			l.say(v.Pos, "env.set: "+v.Name+" "+does)
		}
	}
}

// secretNames lists variables that hold a secret although their names contain none of secretWords.
var secretNames = []string{"AWS_ACCESS_KEY_ID", "SSH_AUTH_SOCK", "KUBECONFIG", "DOCKER_AUTH_CONFIG", "DOCKER_HOST", "NETRC", "GPG_AGENT_INFO", "DBUS_SESSION_BUS_ADDRESS"}

var secretWords = []string{"TOKEN", "SECRET", "PASSWORD", "PASSWD", "PASSPHRASE", "APIKEY", "API_KEY", "ACCESS_KEY", "PRIVATE_KEY", "CREDENTIALS"}

// secretPrefixes lists prefixes of variables, many of which hold secrets.
var secretPrefixes = []string{"AWS_", "AZURE_", "GOOGLE_", "GCP_", "GITHUB_", "GITLAB_", "NPM_", "DOCKER_", "VAULT_", "KUBE", "SSH_", "OPENAI_", "ANTHROPIC_", "HF_"}

func holdsSecret(name string) bool {
	name = strings.ToUpper(name)
	return slices.Contains(secretNames, name) || slices.ContainsFunc(secretWords, func(w string) bool { return strings.Contains(name, w) })
}

func (l *linter) secretVariables() {
	for _, k := range l.p.Env.Keep {
		prefix, star := strings.CutSuffix(k.Pattern, "*")
		wide := star && slices.ContainsFunc(secretPrefixes, func(p string) bool { return strings.HasPrefix(p, prefix) || strings.HasPrefix(prefix, p) })
		if holdsSecret(k.Pattern) || wide {
			l.say(k.Pos, "env.keep: "+policy.Quote(k.Pattern)+" lets secrets in")
		}
	}
	for _, v := range l.p.Env.Set {
		if holdsSecret(v.Name) && v.Value != "" && !path.IsAbs(v.Value) {
			l.say(v.Pos, "env.set: "+v.Name+" has a secret in the profile itself")
		}
	}
}
