package main

// This file says what happens to a system call after the filter has allowed it, as far as cordon knows before a run.

import (
	"slices"

	"cordon/policy"
	"cordon/sandbox"
)

// setsMode reports whether the launcher may make this call in the task's place (chmod with set-id bits).
func setsMode(call string) bool {
	return slices.Contains([]string{"chmod", "fchmod", "fchmodat", "fchmodat2"}, call)
}

// signals lists the calls whose first argument is the process, or the thread, that gets a signal.
var signals = [...]string{"kill", "tgkill", "tkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo"}

// beyond corrects the filter's answer if another layer also decides about the call.
func (w *syscallWhy) beyond(a *answer) error {
	if len(a.Outcomes) != 1 {
		return nil
	}
	o := &a.Outcomes[0]
	switch {
	case !o.Allowed && setsMode(w.q.Call) && slices.Equal(o.From, []string{"set-id bits"}) && w.profile.OnDenial == policy.DenialReport:
		o.Action = "done without the bits"
		o.Why = "the launcher makes the call in the program's place: a directory gets the bits, anything else its mode without them"
		return nil
	case o.Allowed && slices.Contains(signals[:], w.q.Call) && len(w.q.Args) > 0 && w.q.Args[0].Known:
		return w.signalled(a, int(int32(w.q.Args[0].Value))) //nolint:gosec // a pid is an int
	}
	return nil
}

// signalled finds out what happens to a signal that the filter allows.
func (w *syscallWhy) signalled(a *answer, pid int) error {
	b, err := whyPlace(w.profile, func(q *sandbox.Query) (*sandbox.Reason, error) { return q.SignalInside(pid), nil })
	if err != nil {
		return err
	}
	a.Notes = append(a.Notes, b.Notes...)
	if b.Verdict != verdictAllow {
		b.Outcomes[0].Rules = append(b.Outcomes[0].Rules, "the filter lets it pass: "+a.Outcomes[0].Why)
		a.Layer, a.Verdict, a.Outcomes = b.Layer, b.Verdict, b.Outcomes
	}
	return nil
}
