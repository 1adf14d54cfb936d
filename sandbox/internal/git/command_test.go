package git

import (
	"slices"
	"strings"
	"testing"
)

// TestWords marks words that are programs with *. A word after a cd has the directory before a colon.
func TestWords(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"./f now", "./f* now"},
		{"sh f.sh x", "sh* f.sh* x"},
		{"!cd t && ./f", "cd* t:./f*"},
		{"!cd t; cd u && sh f", "cd* t:cd* t/u:sh* t/u:f*"},
		{`!"$(git rev-parse --show-toplevel)/t/f" x`, "./t/f* x"},
		{"!exec ${PWD}/t/f", "exec* ./t/f*"},
		{"!A=b ./f", "b ./f*"},
		{"!f() { ./g \"$@\"; }; f", "f* ./g* $@ f*"},
		{"python3.11 -u tools/x.py -c y", "python3.11* -u tools/x.py* -c y"},
		{"python3 -m tool x", "python3* -m tool x"},
		{"sh -c './f x'", "sh* -c ./f* x"},
		{"env A=b ./f", "env* b ./f*"},
		{"# ./x\nif ./f; then . ./g; fi", "if* ./f* then* .* ./g* fi*"},
		{`. "$(dirname "$0")/../h"`, ".* \x01/../h*"},
		{`. "$(dirname -- "${BASH_SOURCE[0]}")/h"`, ".* \x01/h*"},
		{`"$(cd "$(dirname "$0")/.." && pwd)/t/f"`, "\x01/../t/f*"},
		{`"$(git rev-parse --show-toplevel)"/t/f x`, "./t/f* x"},
		{`. "$(dirname "$0")"/_/h`, ".* \x01/_/h*"},
		{`"$PWD"/t/f; "t"'/'f`, "./t/f* t/f*"},
		{`echo "a # b"; ./f`, "echo* a # b ./f*"},
		{"./f # ./g", "./f*"},
		{"git-lfs clean -- %f", "git-lfs* clean -- %f"},
		{"$GIT_DIR/../x", ".git/../x*"},
	} {
		var got []string
		for _, w := range Words(tt.text) {
			s := w.Text
			if w.Program {
				s += "*"
			}
			if w.Dir != "" {
				s = w.Dir + ":" + s
			}
			got = append(got, s)
		}
		if !slices.Equal(got, strings.Fields(tt.want)) {
			t.Errorf("%s: %q, want %q", tt.text, got, tt.want)
		}
	}
}

func FuzzWords(f *testing.F) {
	f.Add("!cd t && A= exec sh -c './f' # x")
	f.Fuzz(func(t *testing.T, text string) {
		for _, w := range Words(text) {
			if w.Text == "" {
				t.Error("an empty word")
			}
		}
	})
}

// TestParameters writes each variable as "section subsection key value", with | between variables.
func TestParameters(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{`'core.fsmonitor=t/f'`, "core||fsmonitor|t/f"},
		{`'Core.FSmonitor'='t/f' 'a.b.C.d=e'`, "core||fsmonitor|t/f a|b.C|d|e"},
		{`'a.b=it'\''s'\!''  'c.d'`, "a||b|it's! c||d|"},
		{`'a.b'='x`, "a||b|"},
		{`a.b=c`, ""},
	} {
		var got []string
		for _, v := range Parameters(tt.text) {
			got = append(got, v.Section+"|"+v.Subsection+"|"+v.Key+"|"+v.Value)
		}
		if !slices.Equal(got, strings.Fields(tt.want)) {
			t.Errorf("%s: %q, want %q", tt.text, got, tt.want)
		}
	}
}
