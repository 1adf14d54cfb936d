package main

// This file handles words that users type because other tools have them. If a word is a flag that means the same here,
// it is in the table of package policy. If it is a command that means the same here, it is in this file. For any other
// such word, the error names the right word.

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"cordon/policy"
	"cordon/policy/phrase"
)

// ownWords replaces another tool's command by cordon's command that means the same.
func ownWords(args []string) []string {
	if len(args) > 0 && lookUp(sameCommand[:], args[0]) != "" {
		return append([]string{lookUp(sameCommand[:], args[0])}, args[1:]...)
	}
	if len(args) > 1 && args[0] == "profile" && lookUp(sameProfileCommand[:], args[1]) != "" {
		return append([]string{args[0], lookUp(sameProfileCommand[:], args[1])}, args[2:]...)
	}
	return args
}

// guessedFlag returns what to type instead of an unknown flag, or "" if it has no advice.
func guessedFlag(name string) string {
	return lookUp(guessedFlags[:], name)
}

// lookUp finds a word in a table. An entry that ends with * matches every word with that beginning.
func lookUp(table []guess, word string) string {
	for _, g := range table {
		prefix, open := strings.CutSuffix(g.word, "*")
		if g.word == word || open && strings.HasPrefix(word, prefix) {
			return g.text
		}
	}
	return ""
}

// guessedCommand returns the hint for an unknown command, or "" if it has no advice.
func guessedCommand(c *cobra.Command, args []string) string {
	if text := lookUp(guessedCommands[:], c.CommandPath()+" "+args[0]); text != "" {
		return text
	}
	if c.CommandPath() == "cordon profile" {
		return guessedProfileCommand(args)
	}
	return ""
}

// guessedProgram returns the hint if a program is given in place of a command.
func guessedProgram(c *cobra.Command, args []string) string {
	if c.HasParent() {
		return ""
	}
	if _, err := exec.LookPath(args[0]); err != nil && !strings.Contains(args[0], "/") {
		return ""
	}
	return "to run a program: cordon run -- " + shellWords(args)
}

// guessedProfileCommand returns the hint for a command that would edit or remove a profile. A profile is a file, so the
// hint names that file.
func guessedProfileCommand(args []string) string {
	verb := args[0]
	switch verb {
	case "edit":
		verb = "${EDITOR:-vi} "
	case "rm", "remove", "delete":
		verb = "rm "
	default:
		return ""
	}
	if len(args) < 2 {
		return "a profile is a file, which cordon profile ls names"
	}
	for _, p := range search().List() {
		switch {
		case p.Name != args[1]:
		case !strings.HasPrefix(p.File, "/"):
			return "it is built in; cordon profile new NAME --extends " + p.Name + " begins one of your own over it"
		default:
			return "it is a file: " + verb + shellWords([]string{p.File})
		}
	}
	return "there is no such profile; cordon profile ls lists them"
}

// splitProfiles splits the values of "-p a,b" at the commas. It does not split the name of an existing file that has a
// slash, because such a name may contain a comma.
func splitProfiles(names []string) ([]string, error) {
	var out []string
	for _, name := range names {
		switch {
		case !strings.Contains(name, ",") || strings.Contains(name, "/") && exists(name):
			out = append(out, name)
		default:
			out = append(out, strings.Split(name, ",")...)
		}
		if host, inside, two := strings.Cut(name, ":"); two && isNumber(host) && isNumber(inside) {
			return nil, &cliError{err: errors.New("-p " + name + ": -p names a profile"), hint: guessedFlag("publish")}
		}
	}
	return out, nil
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// bareQuestion adds the prefix to a question of why if only one kind is possible: a path, an address with a port, or a
// capability that begins with CAP_.
func bareQuestion(what string) string {
	if questionOf(what).prefix != "" {
		return what
	}
	i := strings.LastIndexByte(what, ':')
	host, port := what[:max(i, 0)], what[i+1:]
	switch {
	case strings.HasPrefix(what, "/") || strings.HasPrefix(what, "~") || strings.HasPrefix(what, "./") || strings.HasPrefix(what, "../"):
		return "open:" + what
	case i > 0 && isNumber(port) && host != "limit" && host != "signal":
		return "connect:" + what
	case strings.HasPrefix(strings.ToUpper(what), "CAP_"):
		return "cap:" + what
	}
	return what
}

func isNumber(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }

// volumeMeant refuses "-v SOURCE:TARGET" as docker understands it. cordon would take it for --verbose and a command.
func volumeMeant(verbose bool, args []string) error {
	if !verbose || len(args) == 0 {
		return nil
	}
	source, target, two := strings.Cut(args[0], ":")
	if !two || source == "" || !strings.HasPrefix(target, "/") {
		return nil
	}
	if exists(args[0]) {
		return nil
	}
	target, mode, _ := strings.Cut(target, ":")
	flag := "--rw "
	if mode == "ro" {
		flag = "--ro "
	}
	return &cliError{err: errors.New("-v " + args[0] + ": -v is --verbose, and takes no value"),
		hint: "to bind: " + flag + shellWords([]string{source + ":" + target}) + ", or --volume " + shellWords(args[:1])}
}

// rising makes a path that begins with ".." absolute, because a profile cannot contain "..". It handles ".." only at
// the beginning, where it is the parent of the shell's directory. Within a path, only the kernel knows the parent,
// because the name before ".." may be a link.
func rising(name, value string) string {
	if !upwards(value) || !takesPath(name) {
		return value
	}
	dir, err := os.Getwd()
	if pwd, e := filepath.EvalSymlinks(dir); e == nil {
		dir = pwd
	}
	rest := value
	for err == nil && upwards(rest) {
		dir, rest = filepath.Dir(dir), rest[2:]
		for strings.HasPrefix(rest, "/") {
			rest = rest[1:]
		}
	}
	if err != nil || strings.ContainsAny(dir, `:*?[\`) {
		return value
	}
	if rest == "" || rest[0] == ':' {
		return dir + rest
	}
	return strings.TrimSuffix(dir, "/") + "/" + rest
}

// upwards reports whether a path begins with the name "..".
func upwards(s string) bool {
	return s == ".." || strings.HasPrefix(s, "../") || strings.HasPrefix(s, "..:")
}

// takesPath reports whether a flag's value begins with a path of the host.
func takesPath(name string) bool {
	for f := range policy.AllFlags {
		if f.Name == name {
			return strings.HasPrefix(f.Arg, "PATH") || strings.HasPrefix(f.Arg, "SOURCE") || strings.HasPrefix(f.Arg, "DIR") ||
				strings.HasSuffix(f.Arg, "|DIR") || f.Name == "hide"
		}
	}
	return false
}

// timeValue is a flag for a duration, in the same form as --timeout.
type timeValue struct{ d *time.Duration }

func (v timeValue) String() string {
	if v.d == nil || *v.d == 0 {
		return ""
	}
	return policy.FormatDuration(*v.d)
}

func (v timeValue) Type() string { return "TIME" }

func (v timeValue) Set(s string) error {
	d, err := policy.TypedDuration(s)
	if err == nil {
		*v.d = d
	}
	return err
}

// envFile is the flag --env-file of docker(1). Each line of the file is a value of --env, unless it is empty or begins
// with #.
type envFile []fieldValue

func (e *envFile) String() string { return "" }

func (e *envFile) Type() string { return "FILE" }

// maxEnvFile is the largest file of variables, in bytes. execve(2) takes less.
const maxEnvFile = 2 << 20

func (e *envFile) Set(file string) error {
	in, err := openInput(file)
	if err != nil {
		return phrase.Cause(err)
	}
	defer in.Close()
	text, err := io.ReadAll(io.LimitReader(in, maxEnvFile+1))
	if err == nil && len(text) > maxEnvFile {
		err = errors.New("it has more than 2 MiB")
	}
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimRight(line, "\r\n")
		if strings.TrimSpace(line) != "" && line[0] != '#' {
			*e = append(*e, fieldValue{"env", line})
		}
	}
	return nil
}
