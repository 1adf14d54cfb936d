package main

import (
	"bytes"
	"errors"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"cordon/policy"
)

func newProfileFmt(u *ui) *cobra.Command {
	write, diff := false, false
	c := &cobra.Command{
		Use:   "fmt [-w] [-d] FILE...",
		Short: "Print profiles in the standard format",
		Long: "Print profiles in the standard format: keys in the order of the reference, uniform spacing, comments kept.\n\n" +
			"With -w, rewrite the files. With -d, print the differences, and exit with 1 if there are any. With -w, cordon refuses\n" +
			"a file that a program in a sandbox may have written: after the rewriting, cordon could no longer see that somebody\n" +
			"else wrote the file.",
		DisableFlagsInUseLine: true,
		Args:                  needArgs(1, "the file"),
		RunE: func(_ *cobra.Command, args []string) error {
			var all []error
			for _, path := range args {
				all = append(all, u.format(path, write, diff))
			}
			return errors.Join(all...)
		},
	}
	c.Flags().BoolVarP(&write, "write", "w", false, "rewrite the files")
	c.Flags().BoolVarP(&diff, "diff", "d", false, "print the differences; exit with 1 if there are any")
	return c
}

func (u *ui) format(path string, write, diff bool) error {
	read := search().Read
	if write {
		read = readOwn
	}
	old, err := read(path, maxProfile)
	if err != nil {
		return &cliError{err: because("profile fmt: "+strconv.Quote(path), err), hint: hint(err)}
	}
	text, err := policy.Format(path, old)
	if err != nil {
		return err
	}
	if diff && !bytes.Equal(old, text) {
		u.code = exitNo
		if err := u.write(lineDiff(path, path+" formatted", string(old), string(text))); err != nil {
			return err
		}
	}
	if write && !bytes.Equal(old, text) {
		return putFile(path, "profile fmt:", text)
	}
	if write || diff {
		return nil
	}
	return u.write(string(text))
}

// lineDiff returns the lines of both texts. It marks removed lines with - and added lines with +.
func lineDiff(before, after, old, text string) string {
	a, b := strings.SplitAfter(old, "\n"), strings.SplitAfter(text, "\n")
	var out strings.Builder
	put := func(mark byte, line string) {
		if line != "" {
			out.WriteString(string(mark) + clean(strings.TrimSuffix(line, "\n")) + "\n")
		}
	}
	out.WriteString("--- " + clean(before) + "\n+++ " + clean(after) + "\n")
	same := common(a, b)
	i, j := 0, 0
	for i < len(a) || j < len(b) {
		switch {
		case i < len(a) && j < len(b) && a[i] == b[j]:
			put(' ', a[i])
			i, j = i+1, j+1
		case j == len(b) || i < len(a) && same[i+1][j] >= same[i][j+1]:
			put('-', a[i])
			i++
		default:
			put('+', b[j])
			j++
		}
	}
	return out.String()
}

// common returns the lengths of the longest common subsequences of a[i:] and b[j:]. If the table would be too large,
// all lengths are zero.
func common(a, b []string) [][]int32 {
	const most = 1 << 22
	t := make([][]int32, len(a)+1)
	if len(a)*len(b) > most {
		row := make([]int32, len(b)+1)
		for i := range t {
			t[i] = row
		}
		return t
	}
	for i := range t {
		t[i] = make([]int32, len(b)+1)
	}
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			t[i][j] = max(t[i+1][j], t[i][j+1])
			if a[i] == b[j] {
				t[i][j] = t[i+1][j+1] + 1
			}
		}
	}
	return t
}
