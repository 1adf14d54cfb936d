package git

import (
	"regexp"
	"sync"
)

// A pattern is a regular expression that is compiled on its first use, because most launches use none.
type pattern struct {
	text string // in the syntax of package regexp; get panics if it is invalid
	once sync.Once
	re   *regexp.Regexp
}

func (p *pattern) get() *regexp.Regexp {
	p.once.Do(func() { p.re = regexp.MustCompile(p.text) }) //nolint:forbidigo // on the first use, not at start-up
	return p.re
}
