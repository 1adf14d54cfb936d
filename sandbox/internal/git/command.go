package git

import (
	"slices"
	"strings"
)

// A Word is a word of a command, as the shell splits it, quotes aside.
type Word struct {
	Text    string
	Dir     string // that a "cd" before it names; "" for none
	Program bool   // it is run, or read by an interpreter
	Started bool   // it begins a command
}

// Here stands in a word for the directory of the script that it is from.
const Here = "\x01"

// The ways in which scripts name the directory that they are in, and the top of the working tree.
var (
	ofScript = pattern{text: "(?:\\$\\(|`)\\s*dirname\\s+(?:--\\s+)?\"?\\$(?:0|\\{0\\}|BASH_SOURCE|\\{BASH_SOURCE(?:\\[0\\])?\\})\"?\\s*(?:\\)|`)|" +
		`\$\{(?:0|BASH_SOURCE(?:\[0\])?)%/\*\}`}
	inScript = pattern{text: "\\$\\(\\s*cd\\s+(?:--\\s+)?\"?" + Here + "([^\\s\")]*)\"?\\s*(?:>\\S+\\s*)?(?:&&|;)\\s*pwd(?:\\s+-P)?\\s*\\)"}
	ofTree   = pattern{text: "(?:\\$\\(|`)\\s*(?:git\\s+rev-parse\\s+--show-toplevel|pwd)\\s*(?:\\)|`)|\\$PWD\\b|\\$\\{PWD\\}|\\$GIT_WORK_TREE\\b|\\$\\{GIT_WORK_TREE\\}"}
	ofGit    = pattern{text: "(?:\\$\\(|`)\\s*git\\s+rev-parse\\s+--(?:absolute-)?git-(?:common-)?dir\\s*(?:\\)|`)|\\$GIT_DIR\\b|\\$\\{GIT_DIR\\}"}
	ofHome   = pattern{text: `\$HOME\b|\$\{HOME\}`}
	assigned = pattern{text: `^[A-Za-z_][A-Za-z0-9_]*$`}
)

// prefixes are words after which another command begins.
var prefixes = []string{
	"if", "then", "else", "elif", "while", "until", "do", "exec", "env", "command", "nohup", "time", "nice",
	"sudo", "eval", "xargs", "setsid", "timeout", "builtin", "flock", "ionice",
}

// interpreters run the file that is their first argument.
var interpreters = []string{
	"sh", "bash", "dash", "zsh", "ksh", "mksh", "ash", "fish", "python", "perl", "ruby", "node", "nodejs", "deno",
	"bun", "php", "lua", "tclsh", "Rscript", "pwsh", ".", "source",
}

// Words splits a command, or a script.
func Words(text string) []Word {
	text = ofScript.get().ReplaceAllLiteralString(text, Here)
	text = inScript.get().ReplaceAllString(text, Here+"$1")
	text = ofTree.get().ReplaceAllLiteralString(text, ".")
	text = ofGit.get().ReplaceAllLiteralString(text, ".git")
	text = ofHome.get().ReplaceAllLiteralString(text, "~")
	s := splitter{start: true}
	var word []byte
	end := func(by byte) {
		if len(word) > 0 {
			s.word(string(word), by)
			word = word[:0]
		}
		s.breaks(by)
	}
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '"' || c == '\'': // "$0"/x is a word
		case c == '#' && isComment(text, i):
			for i+1 < len(text) && text[i+1] != '\n' {
				i++
			}
		case strings.IndexByte(" \t\r\n!;|&()<>=`{}", c) >= 0:
			end(c)
		default:
			word = append(word, c)
		}
	}
	end(0)
	return s.words
}

// isComment reports whether a comment begins with the # at a place, which does not stand between quotes of its line.
func isComment(text string, at int) bool {
	if at > 0 && strings.IndexByte(" \t\n", text[at-1]) < 0 {
		return false
	}
	line := text[strings.LastIndexByte(text[:at], '\n')+1 : at]
	return strings.Count(line, `"`)%2 == 0 && strings.Count(line, "'")%2 == 0
}

// A splitter knows what the next word is.
type splitter struct {
	words  []Word
	dir    string
	start  bool // the next word begins a command
	script bool // the next word that is no option is a script
	moves  bool // the next word is where cd goes
	value  bool // the next word is what a variable is set to, and a command may follow
}

func (s *splitter) word(text string, by byte) {
	w := Word{Text: text, Dir: s.dir}
	switch {
	case s.value:
		s.value, s.start = false, true
		s.words = append(s.words, w)
		return
	case s.start && by == '=' && assigned.get().MatchString(text):
		s.value = true
		return
	case s.moves:
		s.moves = text[0] == '-' && text != "-"
		if !s.moves {
			s.dir = under(s.dir, text)
		}
		return
	case s.start:
		w.Program, w.Started = true, true
		s.begun(text)
	case s.script && text[0] == '-':
		switch last := text[len(text)-1]; {
		case strings.HasPrefix(text, "--") || last != 'c' && last != 'e' && last != 'm':
		default:
			s.script, s.start = false, last == 'c' // what comes is the program itself
		}
	case s.script:
		w.Program, s.script = true, false
	}
	s.words = append(s.words, w)
}

// begun notes what follows a word that begins a command.
func (s *splitter) begun(text string) {
	name := text[strings.LastIndexByte(text, '/')+1:]
	s.start = slices.Contains(prefixes, name)
	s.script = slices.Contains(interpreters, strings.TrimRight(name, "0123456789.")) || slices.Contains(interpreters, name)
	s.moves = name == "cd" || name == "pushd"
}

func (s *splitter) breaks(by byte) {
	switch by {
	case '\n', ';', '|', '&', '(', ')', '`', '!', '{', '}':
		s.start, s.script, s.moves, s.value = true, false, false, false
	case ' ', '\t':
		if s.value { // a variable is set to nothing
			s.value, s.start = false, true
		}
	}
}

// under is a directory below another one, unless it is absolute.
func under(dir, name string) string {
	if dir == "" || name[0] == '/' || name[0] == '~' || strings.HasPrefix(name, Here) {
		return name
	}
	return dir + "/" + name
}
