package main

import "testing"

func TestLogOnTerminal(t *testing.T) {
	for in, want := range map[string]string{
		"plain\n":                  "plain\n",
		"a\tb\r\nno end":           "a\tb\nno end",
		"\x1b]0;title\x07x\n":      `\x1b]0;title\ax` + "\n",
		"\x1b[2J":                  `\x1b[2J`,
		"progress 1\rprogress 2\n": `progress 1\rprogress 2` + "\n",
		"grün \u009b31m \xff\n":    `grün \u009b31m \xff` + "\n",
	} {
		if got := string(onTerminal([]byte(in))); got != want {
			t.Errorf("%q is shown as %q, not %q", in, got, want)
		}
	}
}
