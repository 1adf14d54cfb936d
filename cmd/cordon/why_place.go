package main

import (
	"errors"
	"os"
	"strconv"
	"strings"

	"cordon/policy"
	"cordon/sandbox"
	"cordon/sandbox/host"
)

// asker answers one question about a profile. fixFor (which looks for a remedy) calls the asker again for each change
// that it tries.
type asker func(q *sandbox.Query) (*sandbox.Reason, error)

func (u *ui) whyOpen(_ *whyFlags, p *policy.Profile, what string) (*answer, error) {
	path, access := what, sandbox.Access{Read: true}
	if i := strings.LastIndexByte(what, ':'); i >= 0 && i < len(what)-1 && strings.Trim(what[i+1:], "rwx") == "" {
		path = what[:i]
		access = sandbox.Access{Read: strings.Contains(what[i:], "r"), Write: strings.Contains(what[i:], "w"), Execute: strings.Contains(what[i:], "x")}
	}
	if path == "" {
		return nil, &cliError{err: errors.New("why: open: no path"), hint: "for example open:/etc/shadow, or open:./out:w"}
	}
	return whyPlace(p, func(q *sandbox.Query) (*sandbox.Reason, error) { return q.Open(path, access), nil })
}

func (u *ui) whyExec(_ *whyFlags, p *policy.Profile, what string) (*answer, error) {
	return whyPlace(p, func(q *sandbox.Query) (*sandbox.Reason, error) { return q.Exec(what), nil })
}

func (u *ui) whyCap(_ *whyFlags, p *policy.Profile, what string) (*answer, error) {
	return whyPlace(p, func(q *sandbox.Query) (*sandbox.Reason, error) { return q.Capability(what) })
}

func (u *ui) whyConnect(_ *whyFlags, p *policy.Profile, what string) (*answer, error) {
	return whyPlace(p, func(q *sandbox.Query) (*sandbox.Reason, error) { return q.Connect(what) })
}

func (u *ui) whySignal(_ *whyFlags, p *policy.Profile, what string) (*answer, error) {
	pid, err := strconv.ParseUint(what, 10, 31)
	if err != nil || pid == 0 {
		return nil, &cliError{err: errors.New("why: signal: " + strconv.Quote(what) + " is not a process number"), hint: "for example signal:1234"}
	}
	return whyPlace(p, func(q *sandbox.Query) (*sandbox.Reason, error) { return q.Signal(int(pid)), nil }) //nolint:gosec // 31 bits
}

func (u *ui) whyLimit(_ *whyFlags, p *policy.Profile, what string) (*answer, error) {
	name, value, _ := strings.Cut(what, "=")
	if name == "wall" {
		name = "timeout"
	}
	asked, err := overlay([]fieldValue{{name, value}})
	if err != nil {
		return nil, err
	}
	change := sandbox.Change{Flag: name, Value: value}
	return whyPlace(p, func(q *sandbox.Query) (*sandbox.Reason, error) {
		r := q.Limit(&asked.Limits)
		if len(r.RuledOut) == 0 && r.Allowed {
			return nil, &cliError{err: errors.New("why: " + strconv.Quote(name) + " is not a limit"), hint: "for example limit:memory=2GiB, limit:pids=500, limit:timeout=1h, limit:rlimit=nofile=4096"}
		}
		if !r.Allowed {
			r.Try = []sandbox.Change{change}
		}
		return r, nil
	})
}

// whyPlace answers a question from the model of the sandbox, without starting it.
func whyPlace(p *policy.Profile, ask asker) (*answer, error) {
	h, err := host.Probe()
	if err != nil {
		return nil, err
	}
	r, err := askOf(p, h, ask)
	if err != nil {
		return nil, err
	}
	a := &answer{Layer: r.Layer, Verdict: verdictAllow, RuledOut: r.RuledOut, Notes: r.Notes}
	o := outcome{Action: verdictAllow, Allowed: r.Allowed, Why: "every layer allows it", From: []string{}}
	if !r.Allowed {
		a.Verdict = verdictDeny
		o = outcome{Action: verdictDeny, Why: r.Layer + ": " + r.Why, From: []string{}, Fix: fixFor(p, h, r, ask)}
		if r.Errno != "" {
			o.Action = "errno(" + r.Errno + ")"
		}
		if at := r.Rule; at != (policy.Pos{}) {
			o.From = []string{at.Short()}
		}
	}
	a.Outcomes = []outcome{o}
	return a, nil
}

func askOf(p *policy.Profile, h *host.Host, ask asker) (*sandbox.Reason, error) {
	q, err := sandbox.NewQuery(p, h, &sandbox.Cmd{Env: os.Environ(), Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr})
	if err != nil {
		return nil, err
	}
	return ask(q)
}

// fixFor tries the changes that the reasons suggest, one layer after the other, until the access is allowed.
func fixFor(p *policy.Profile, h *host.Host, r *sandbox.Reason, ask asker) *fix {
	var fields []fieldValue
	var also []string
	for range maxFixes {
		if len(r.Try) == 0 {
			return &fix{Note: r.NoFlag}
		}
		for _, c := range r.Try {
			fields = append(fields, fieldValue{c.Flag, c.Value})
		}
		if r.Grants != "" {
			also = append(also, r.Grants)
		}
		over, err := overlay(fields)
		if err != nil {
			break
		}
		changed := policy.Merge(p, over)
		if policy.Validate(changed) != nil {
			break
		}
		if r, err = askOf(changed, h, ask); err != nil {
			break
		}
		if r.Allowed {
			return &fix{Flags: flagWords(fields), YAML: string(policy.Show(bare(over))), Also: strings.Join(also, "; ")}
		}
	}
	return &fix{Note: "no flag was found that allows this and little else"}
}
