package advice

// This file finds out what the advised flags allow besides the call in the question.

import (
	"slices"
	"strconv"
	"strings"

	"cordon/policy"
	"cordon/policy/filter"
)

// maxNamed bounds how many other calls the text names.
const maxNamed = 5

// checked compares the filter's decisions without and with the flags, for every call and every class of arguments, and
// says what only the flags allow.
func (a *adviser) checked(p *policy.Profile) Advice {
	before, err := a.start.ProgramFilter()
	if err != nil {
		return Advice{Note: nothing}
	}
	after, err := p.ProgramFilter()
	if err != nil {
		return Advice{Note: nothing}
	}
	out := Advice{Flags: a.flags}
	if slices.ContainsFunc(a.flags, func(f Flag) bool { return f.Name == "arch" }) {
		out.Opens = "every call of " + a.q.ABI.String() + " that the rules allow"
		return out
	}
	opened, err := filter.Opened(before, after, a.native)
	if err != nil {
		return Advice{Note: nothing}
	}
	var others []string
	for i := range opened {
		if o := &opened[i]; o.Call == a.q.Call {
			out.Opens = a.about(o)
		} else {
			others = append(others, o.Call)
		}
	}
	if len(others) > 0 {
		out.Opens += "; also " + list(others)
	}
	for _, w := range a.warned(before, after) {
		out.Opens += "; " + w
	}
	return out
}

// warned returns the warnings that the flags cause, for example that the call can evade a rule for another call.
func (a *adviser) warned(before, after filter.Spec) (texts []string) {
	old, err := filter.Compile(before, a.native)
	if err != nil {
		return nil
	}
	fresh, err := filter.Compile(after, a.native)
	if err != nil {
		return nil
	}
	for _, w := range fresh.Warnings {
		known := func(o filter.Warning) bool { return o.Msg == w.Msg }
		if !slices.ContainsFunc(old.Warnings, known) && !slices.Contains(texts, w.Msg) {
			texts = append(texts, w.Msg)
		}
	}
	return texts
}

// about describes which uses of the call itself are newly allowed, by the values of the arguments that the rules
// compare.
func (a *adviser) about(o *filter.Opening) string {
	var with []string
	for _, i := range slices.Compact(a.looked) {
		if a.pinned(o, i) {
			with = append(with, a.q.Args[i].Name+" "+spelled(a.q.Call, &a.q.Args[i]))
		}
	}
	switch {
	case o.Narrowed != "":
		return o.Call + " with further arguments (" + o.Narrowed + ")"
	case len(with) == 0 && slices.ContainsFunc(o.Cases, func(c filter.Case) bool { return c.Args == [6]filter.Masked{} }):
		return o.Call + " with any arguments"
	case len(with) == 0:
		return o.Call + " with other arguments, too"
	case len(with) == len(filter.Args(o.Call)):
		return o.Call + " with " + strings.Join(with, ", ") + ", and nothing else"
	}
	return o.Call + " with " + strings.Join(with, ", ") + ", whatever the rest"
}

// pinned reports whether the flags allow the call only with argument i as in the question.
func (a *adviser) pinned(o *filter.Opening, i int) bool {
	width := a.q.Width(i)
	return !slices.ContainsFunc(o.Cases, func(c filter.Case) bool {
		return c.Args[i].Mask&width != width || (c.Args[i].Value^a.q.Args[i].Value)&width != 0
	})
}

func list(names []string) string {
	if more := len(names) - maxNamed; more > 0 {
		return strings.Join(names[:maxNamed], ", ") + " and " + strconv.Itoa(more) + " more"
	}
	return strings.Join(names, ", ")
}
