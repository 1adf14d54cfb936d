package main

// This file prints which connections and names a sandbox with an allow-list of hosts refused.

import (
	"strconv"
	"strings"

	"cordon/policy/phrase"
	"cordon/sandbox/report"
)

// showFlows prints the connections and names that no rule allows, one kind on each line, with the rule that decides and
// the flag that would allow it. If verbose is set, it also prints what the program reached.
func (u *ui) showFlows(r *report.Report, verbose bool) {
	n := r.Network
	if n == nil {
		return
	}
	shown, left := 0, 0
	most := briefDenials
	if verbose {
		most = shownDenials
	}
	for i := range n.Flows {
		f := &n.Flows[i]
		switch refused := f.Verdict == report.FlowDenied || f.Verdict == report.FlowRefused; {
		case !refused && !verbose:
		case shown == most:
			left++
		case refused:
			shown++
			u.line("denied", flowText(f))
		default:
			shown++
			u.line("flow", flowText(f))
		}
	}
	if left > 0 {
		u.line("denied", plural(uint64(left), "more kind of connection", "more kinds of connections")+"; --report FILE lists them")
	}
}

// flowText returns a flow on one line.
func flowText(f *report.Flow) string {
	s := flowTarget(f)
	if f.Count > 1 {
		s += " ×" + strconv.FormatUint(f.Count, 10)
	}
	switch f.Verdict {
	case report.FlowAllowed:
		s += ": " + strconv.FormatUint(f.Sent, 10) + " bytes sent, " + strconv.FormatUint(f.Received, 10) + " received"
	case report.FlowFailed:
		s += ": " + clean(f.Why)
	default:
		s += phrase.Prefixed(": ", clean(f.Why))
	}
	s += phrase.Prefixed(" — ", clean(f.Rule))
	return s + phrase.Prefixed("; to allow: ", quotedFlag(f.Remedy))
}

// flowTarget returns what a program wanted to reach: "connect example.org:443 (192.0.2.1)", or "name example.org".
func flowTarget(f *report.Flow) string {
	address := f.Address
	if strings.Contains(address, ":") && f.Port != 0 {
		address = "[" + address + "]"
	}
	port := ""
	if f.Port != 0 {
		port = ":" + strconv.Itoa(f.Port)
	}
	switch {
	case f.Proto == "name":
		return "name " + clean(f.Name) + phrase.Prefixed(" → ", address)
	case f.Proto == "published":
		return "publish " + address + port
	case f.Proto == "udp":
		return "send to " + address + port
	case f.Name != "":
		return "connect " + clean(f.Name) + port + " (" + f.Address + ")"
	}
	return "connect " + address + port
}

// quotedFlag quotes the value of a flag for a shell.
func quotedFlag(s string) string {
	flag, value, ok := strings.Cut(s, " ")
	if !ok {
		return s
	}
	return flag + " " + shellWords([]string{value})
}
