package main

import (
	"strings"

	"github.com/spf13/cobra"

	"cordon/policy"
	"cordon/policy/filter"
)

func newFilter(u *ui) *cobra.Command {
	c := &cobra.Command{
		Use:                   "filter COMMAND [ARG...]",
		Short:                 "Print a profile's seccomp filter, or the groups of system calls",
		DisableFlagsInUseLine: true,
		Args:                  noArgs,
		RunE:                  u.needCommand,
	}
	c.AddCommand(newFilterDump(u), newFilterGroups(u))
	return c
}

func newFilterGroups(u *ui) *cobra.Command {
	asJSON := false
	c := &cobra.Command{
		Use:   "groups [@GROUP]",
		Short: "List the groups of system calls, or the calls of one group",
		Long: "List the groups of system calls. With the name of a group, list the calls of this group, each with the kernel release\n" +
			"that introduced the call. Calls without a release are older than Linux 2.6.6. The group @known holds every call that\n" +
			"cordon knows.",
		DisableFlagsInUseLine: true,
		Args:                  atMost(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return u.list(groupList(), asJSON)
			}
			list, err := callList(args[0])
			if err != nil {
				return err
			}
			return u.list(list, asJSON)
		},
	}
	if completing() {
		c.ValidArgs = filter.Groups()
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

// lister is a list that list can print.
type lister interface{ lines() [][]string }

type groupLine struct {
	Name  string `json:"name"`
	About string `json:"about"`
	Calls int    `json:"calls"`
}

type callLine struct {
	Name   string   `json:"name"`
	Since  string   `json:"since,omitempty"`
	Arches []string `json:"arches"`
	Args   []string `json:"args"`
}

type (
	groupLines []groupLine
	callLines  []callLine
)

func (l groupLines) lines() (out [][]string) {
	for _, g := range l {
		out = append(out, []string{g.Name, g.About})
	}
	return out
}

func (l callLines) lines() (out [][]string) {
	for _, c := range l {
		out = append(out, []string{c.Name + "(" + strings.Join(c.Args, ", ") + ")", c.Since, strings.Join(c.Arches, " ")})
	}
	return out
}

func groupList() (list groupLines) {
	for _, name := range filter.Groups() {
		list = append(list, groupLine{name, filter.About(name), len(filter.Members(name))})
	}
	return list
}

func callList(group string) (list callLines, err error) {
	if !strings.HasPrefix(group, "@") {
		group = "@" + group
	}
	if filter.About(group) == "" {
		e := &policy.Error{Msg: "unknown group " + policy.Quote(group), Hint: "cordon filter groups lists them"}
		if near := filter.Suggest(group); near != "" {
			e.Hint = "did you mean " + near + "?"
		}
		return nil, e
	}
	for _, name := range filter.Members(group) {
		c := callLine{Name: name, Since: filter.Since(name), Args: filter.Args(name)}
		if c.Args == nil {
			c.Args = []string{}
		}
		for _, a := range filter.Arches() {
			if _, ok := filter.Number(a, name); ok {
				c.Arches = append(c.Arches, a.String())
			}
		}
		list = append(list, c)
	}
	return list, nil
}

// list prints l as columns, or as JSON.
func (u *ui) list(l lister, asJSON bool) error {
	if asJSON {
		return u.json(l)
	}
	rows := l.lines()
	var width [8]int
	for _, row := range rows {
		for i, cell := range row {
			width[i] = max(width[i], len(cell))
		}
	}
	var b strings.Builder
	for _, row := range rows {
		line := ""
		for i, cell := range row {
			line += pad(cell, width[i]+2)
		}
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
	return u.write(b.String())
}
