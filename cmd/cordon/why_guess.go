package main

// This file guesses which files a failed program may have missed: the files that the command and its script name, and
// hidden files of the working directory. It must guess, because the kernel does not report which file a program did not
// find or could not write.

import (
	"os"
	"path/filepath"
	"strings"

	"cordon/policy"
)

// suspect is a path that the program may have opened.
type suspect struct {
	path  string
	write bool
}

const (
	maxGuesses = 60       // how many paths to check, at most
	maxGuessed = 10       // how many paths to print, at most
	maxScript  = 64 << 10 // the largest script to read, in bytes
)

// names reports whether a word of the command is a path: the word contains a slash, or is the name of a file in the
// working directory.
func (l *lastRun) names(word string) bool {
	if strings.Contains(word, "/") {
		return true
	}
	_, err := os.Lstat(word)
	return err == nil && word != ""
}

// guesses returns the paths in the command and in the script that the command names. The caller must have changed to
// the working directory of the run.
func (l *lastRun) guesses() (list []suspect) {
	script := false
	for i, arg := range l.Args {
		switch {
		case i > 0 && strings.ContainsAny(arg, " \t\n;|&<>()"):
			list = append(list, suspectsIn(arg)...)
		case script || i > 0 && strings.HasPrefix(arg, "-"):
		default:
			if text := scriptText(arg); text != "" {
				script, list = true, append(list, suspectsIn(text)...)
			}
		}
	}
	return append(list, hiddenNames()...)
}

// scriptText returns the content of a script, or "" if the file is not a script or does not exist.
func scriptText(path string) string {
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() || info.Size() > maxScript {
		return ""
	}
	b, err := os.ReadFile(path)
	if err != nil || strings.ContainsRune(string(b), 0) {
		return ""
	}
	return string(b)
}

// suspectsIn finds paths in the text of a script: words in quotes or between blanks that exist on the host, and words
// that the script writes to.
func suspectsIn(text string) (list []suspect) {
	const quotes, ends = "'\"`", " \t\r\n;|&<>(){}[],='\"`"
	for i := 0; i < len(text) && len(list) < maxGuesses; {
		before := strings.TrimRight(text[:i], " \t")
		switch end := strings.IndexAny(text[i+1:], ends); {
		case strings.IndexByte(quotes, text[i]) >= 0:
			i++
			if end >= 0 && text[i+end] == text[i-1] { // the quoted word contains no blank
				list = add(list, text[i:i+end], strings.HasSuffix(before, ">") || opensToWrite(before, text[i+end+1:]))
				i += end + 1
			}
		case strings.IndexByte(ends, text[i]) >= 0:
			i++
		default:
			if end < 0 {
				end = len(text) - i - 1
			}
			list = add(list, text[i:i+1+end], strings.HasSuffix(before, ">"))
			i += 1 + end
		}
	}
	return list
}

// add adds a word to the list if the script writes to it, or if the path exists on the host.
func add(list []suspect, word string, write bool) []suspect {
	path := homePath(word)
	if path == "" || strings.HasPrefix(path, "/dev/") {
		return list
	}
	if write {
		return append(list, suspect{path, true})
	}
	if _, err := os.Lstat(path); err == nil && path != "/" && path != "." {
		list = append(list, suspect{path, false})
	}
	return list
}

// opensToWrite reports whether the text around a quoted word opens a file for writing: open("f", "w"), writeFile("f",
// …).
func opensToWrite(before, after string) bool {
	call, ok := strings.CutSuffix(before, "(")
	if !ok {
		return false
	}
	if strings.HasSuffix(call, "writeFile") || strings.HasSuffix(call, "writeFileSync") {
		return true
	}
	mode, ok := strings.CutPrefix(strings.TrimLeft(after, " \t"), ",")
	mode = strings.TrimLeft(mode, " \t'\"")
	return ok && (strings.HasSuffix(call, "open") || strings.HasSuffix(call, "openSync")) && mode != "" && strings.IndexByte("wax", mode[0]) >= 0
}

// homePath replaces ~, $HOME or ${HOME} at the beginning of a word by the home directory.
func homePath(word string) string {
	for _, prefix := range []string{"~/", "$HOME/", "${HOME}/"} {
		if rest, ok := strings.CutPrefix(word, prefix); ok {
			return filepath.Join(os.Getenv("HOME"), rest)
		}
	}
	return word
}

// hiddenNames returns those names in the working directory that a hide rule is likely to hide: names that begin with a
// dot.
func hiddenNames() (list []suspect) {
	entries, _ := os.ReadDir(".") // on an error there is nothing to check
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") && e.Name() != ".git" && len(list) < maxGuessed {
			list = append(list, suspect{e.Name(), false})
		}
	}
	return list
}

// guessed checks the guessed paths. It returns those that the sandbox denies and that are not in known. It leaves out
// paths that do not exist on the host, because these would fail without a sandbox too.
func (l *lastRun) guessed(p *policy.Profile, known []*answer) (all []*answer) {
	seen := map[string]bool{}
	for _, a := range known {
		seen[a.Outcomes[0].Why] = true
	}
	list := l.guesses()
	for _, g := range list[:min(len(list), maxGuesses)] {
		mode := ":r"
		if g.write {
			mode = ":w"
		}
		if question := "open:" + g.path + mode; len(all) < maxGuessed && !seen[question] {
			seen[question] = true
			for _, a := range l.asked(p, question) {
				if a.Verdict == verdictDeny && a.Layer != layerFile && !seen[a.Outcomes[0].Why] {
					seen[a.Outcomes[0].Why] = true
					all = append(all, a)
				}
			}
		}
	}
	return all
}

// unknown returns the note for a failed run for which cordon knows no denial.
func (l *lastRun) unknown(p *policy.Profile) string {
	note := "nothing that the sandbox denied is known of"
	if len(l.asked(p, "open:.:w")) > 0 {
		note += "; the working directory is read-only (--rw .)"
	}
	return note + ". " + auditAdvice(l.Profiles, l.Args) + " runs it unconfined and lists what would be denied"
}

// auditAdvice returns the command line that would audit a command.
func auditAdvice(profiles, args []string) string {
	words := []string{"cordon", "audit"}
	for _, p := range profiles {
		words = append(words, "-p", p)
	}
	return shellWords(append(append(words, "--"), args...))
}
