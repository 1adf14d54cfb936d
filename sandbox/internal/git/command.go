package git

import (
	"slices"
	"strings"
)

// A Word is a word of a command line, split at blanks as in a shell, but without regard to quotes.
type Word struct {
	Text    string
	Dir     string // the directory of an earlier "cd"; "" if there is none
	Program bool   // the command executes this file, or an interpreter reads it
	Started bool   // it is the first word of a command
}

// Here represents, in a word, the directory that contains the script.
const Here = "\x01"

// These patterns match the expressions with which scripts name their own directory, or the top of the working tree.
var (
	ofScript = pattern{text: "(?:\\$\\(|`)\\s*dirname\\s+(?:--\\s+)?\"?\\$(?:0|\\{0\\}|BASH_SOURCE|\\{BASH_SOURCE(?:\\[0\\])?\\})\"?\\s*(?:\\)|`)|" +
		`\$\{(?:0|BASH_SOURCE(?:\[0\])?)%/\*\}`}
	inScript = pattern{text: "\\$\\(\\s*cd\\s+(?:--\\s+)?\"?" + Here + "([^\\s\")]*)\"?\\s*(?:>\\S+\\s*)?(?:&&|;)\\s*pwd(?:\\s+-P)?\\s*\\)"}
	ofTree   = pattern{text: "(?:\\$\\(|`)\\s*(?:git\\s+rev-parse\\s+--show-toplevel|pwd)\\s*(?:\\)|`)|\\$PWD\\b|\\$\\{PWD\\}|\\$GIT_WORK_TREE\\b|\\$\\{GIT_WORK_TREE\\}"}
	ofGit    = pattern{text: "(?:\\$\\(|`)\\s*git\\s+rev-parse\\s+--(?:absolute-)?git-(?:common-)?dir\\s*(?:\\)|`)|\\$GIT_DIR\\b|\\$\\{GIT_DIR\\}"}
	ofHome   = pattern{text: `\$HOME\b|\$\{HOME\}`}
	assigned = pattern{text: `^[A-Za-z_][A-Za-z0-9_]*$`}
)

// prefixes lists words such as env and sudo, after which another command begins.
var prefixes = []string{
	"if", "then", "else", "elif", "while", "until", "do", "exec", "env", "command", "nohup", "time", "nice",
	"sudo", "eval", "xargs", "setsid", "timeout", "builtin", "flock", "ionice",
}

// interpreters lists programs that execute the file that their first argument names.
var interpreters = []string{
	"sh", "bash", "dash", "zsh", "ksh", "mksh", "ash", "fish", "python", "perl", "ruby", "node", "nodejs", "deno",
	"bun", "php", "lua", "tclsh", "Rscript", "pwsh", ".", "source",
}

// Words splits a command, or a script, into words.
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
		case c == '"' || c == '\'': // quotes do not end a word: "$0"/x is one word
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

// isComment reports whether the # at a position begins a comment, and is not between quotes of its line.
func isComment(text string, at int) bool {
	if at > 0 && strings.IndexByte(" \t\n", text[at-1]) < 0 {
		return false
	}
	line := text[strings.LastIndexByte(text[:at], '\n')+1 : at]
	return strings.Count(line, `"`)%2 == 0 && strings.Count(line, "'")%2 == 0
}

// A splitter splits a text into words, and remembers what kind of word comes next.
type splitter struct {
	words  []Word
	dir    string
	start  bool // the next word begins a command
	script bool // the next word that is not an option is a script's path
	moves  bool // the next word is the argument of cd
	value  bool // the next word is a variable's value, after which a command may follow
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
			s.script, s.start = false, last == 'c' // after -c the next word is program text
		}
	case s.script:
		w.Program, s.script = true, false
	}
	s.words = append(s.words, w)
}

// begun decides what may follow a word that begins a command.
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
		if s.value { // the variable has an empty value
			s.value, s.start = false, true
		}
	}
}

// under returns the path of name in the directory dir. If name is absolute, under returns name.
func under(dir, name string) string {
	if dir == "" || name[0] == '/' || name[0] == '~' || strings.HasPrefix(name, Here) {
		return name
	}
	return dir + "/" + name
}
