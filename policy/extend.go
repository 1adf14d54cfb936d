package policy

import (
	"errors"
	"slices"
	"strconv"
	"strings"
)

// maxProfiles is how many profiles one may extend, directly or not.
const maxProfiles = 64

// Extend resolves what p extends: the profiles named are loaded, they and what they extend in turn are merged in the
// order of naming, each once, and p over them. The result extends nothing. load reads one profile by its name.
func Extend(p *Profile, load func(name string) (*Profile, error)) (*Profile, error) {
	e := extender{load: load}
	if err := e.add(p); err != nil {
		return nil, err
	}
	e.merged.Extends = nil
	if i := slices.IndexFunc(e.merged.Sources, func(s Source) bool { return s.Path == "extends" }); i >= 0 {
		e.merged.Sources = slices.Delete(slices.Clone(e.merged.Sources), i, i+1)
	}
	return e.merged, nil
}

type extender struct {
	load   func(string) (*Profile, error)
	merged *Profile
	chain  []string // names being resolved, outermost first
	done   []string
}

func (e *extender) add(p *Profile) error {
	for _, name := range p.Extends {
		if err := e.addNamed(p, name); err != nil {
			return err
		}
	}
	if e.merged == nil {
		e.merged = Merge(&Profile{}, p)
	} else {
		e.merged = Merge(e.merged, p)
	}
	return nil
}

func (e *extender) addNamed(p *Profile, name string) error {
	if slices.Contains(e.chain, name) {
		chain := strings.Join(append(e.chain, name), " -> ")
		return e.fail(p, "extends: "+printable(chain)+" goes in a circle", "")
	}
	if slices.Contains(e.done, name) {
		return nil
	}
	if len(e.done) == maxProfiles {
		return e.fail(p, "extends: more than "+strconv.Itoa(maxProfiles)+" profiles", "")
	}
	e.chain, e.done = append(e.chain, name), append(e.done, name)
	q, err := e.load(name)
	if err != nil {
		return e.wrap(p, name, err)
	}
	err = e.add(q)
	e.chain = e.chain[:len(e.chain)-1]
	return err
}

func (e *extender) fail(p *Profile, msg, hint string) error {
	return Errors{{Pos: p.Source("extends"), Msg: msg, Hint: hint}}
}

// wrap gives the error of a load the place that asked for it; the errors within the loaded file have their own.
func (e *extender) wrap(p *Profile, name string, err error) error {
	var inside Errors
	if errors.As(err, &inside) {
		return err
	}
	hint := ""
	var one *Error
	if errors.As(err, &one) {
		if one.Pos != (Pos{}) {
			return err
		}
		return e.fail(p, "extends: "+one.Msg, one.Hint)
	}
	return e.fail(p, "extends: "+Quote(name)+": "+err.Error(), hint)
}
