package filter

import "cordon/policy/filter/tables"

// Narrow adds rules about calls that the Spec lets pass in some way. A rule about a call that the Spec denies would allow
// it where its condition holds, so Narrow leaves such a rule out.
func (s *Spec) Narrow(rules []Rule) {
	var allow, named tables.CallSet
	c := &compiler{spec: s} // for its look-up of names; what is wrong with one is said when the Spec is compiled
	for i := range s.Allow {
		c.item(&s.Allow[i], &allow, &named)
	}
	for i := range s.Rules {
		c.item(&Item{Name: s.Rules[i].Call}, &allow, &named)
	}
	out := make([]Rule, len(s.Rules), len(s.Rules)+len(rules))
	copy(out, s.Rules)
	for i := range rules {
		if id := callID(rules[i].Call); s.Default.Passes() || id != noCall && allow.Has(id) {
			out = append(out, rules[i])
		}
	}
	s.Rules = out
}
