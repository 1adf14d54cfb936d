package main

import (
	"strings"

	"cordon/policy"
)

// This file writes SARIF 2.1.0 (OASIS Standard, Static Analysis Results Interchange Format). It writes only what code
// hosts read: sections 3.13 (log), 3.14 (run), 3.19 (driver), 3.49 (rule), 3.27 (result), 3.29 (location), 3.35
// (suppression).

type sarifLog struct {
	Schema  string     `json:"$schema"`
	Version string     `json:"version"`
	Runs    []sarifRun `json:"runs"`
}

type sarifRun struct {
	Tool    sarifTool     `json:"tool"`
	Results []sarifResult `json:"results"`
}

type sarifTool struct {
	Driver sarifDriver `json:"driver"`
}

type sarifDriver struct {
	Name    string      `json:"name"`
	Version string      `json:"version,omitempty"`
	Rules   []sarifRule `json:"rules"`
}

type sarifText struct {
	Text string `json:"text"`
}

type sarifLevel struct {
	Level string `json:"level"`
}

type sarifRule struct {
	ID            string     `json:"id"`
	Name          string     `json:"name,omitempty"`
	Short         sarifText  `json:"shortDescription"`
	Full          sarifText  `json:"fullDescription"`
	Help          sarifText  `json:"help"`
	Configuration sarifLevel `json:"defaultConfiguration"`
}

type sarifResult struct {
	RuleID       string             `json:"ruleId"`
	RuleIndex    int                `json:"ruleIndex"`
	Level        string             `json:"level"`
	Message      sarifText          `json:"message"`
	Locations    []sarifLocation    `json:"locations,omitempty"`
	Suppressions []sarifSuppression `json:"suppressions,omitempty"`
}

type sarifLocation struct {
	Physical sarifPhysical `json:"physicalLocation"`
}

type sarifPhysical struct {
	Artifact sarifArtifact `json:"artifactLocation"`
	Region   *sarifRegion  `json:"region,omitempty"`
}

type sarifArtifact struct {
	URI string `json:"uri"`
}

type sarifRegion struct {
	StartLine   int `json:"startLine"`
	StartColumn int `json:"startColumn,omitempty"`
}

type sarifSuppression struct {
	Kind          string `json:"kind"`
	Justification string `json:"justification"`
}

// sarifOf returns the log of one run. For each result it finds the rule that has the result's code.
func sarifOf(tool string, rules []sarifRule, results []sarifResult) sarifLog {
	for i := range results {
		for j := range rules {
			if rules[j].ID == results[i].RuleID {
				results[i].RuleIndex = j
			}
		}
	}
	return sarifLog{Schema: "https://json.schemastore.org/sarif-2.1.0.json", Version: "2.1.0",
		Runs: []sarifRun{{sarifTool{sarifDriver{tool, buildVersion().Version, rules}}, results}}}
}

// sarifAt returns the location of a position in a profile, or nil for a flag.
func sarifAt(at policy.Pos) []sarifLocation {
	if at.File == "" || at.Flag != "" {
		return nil
	}
	p := sarifPhysical{Artifact: sarifArtifact{uriOf(at.File)}}
	if at.Line > 0 {
		p.Region = &sarifRegion{at.Line, at.Col}
	}
	return []sarifLocation{{p}}
}

// uriOf converts a file's name to a relative reference of RFC 3986, or an absolute path to a file: URI. Names of
// shipped profiles are URIs already.
func uriOf(file string) string {
	if name, ok := strings.CutPrefix(file, "embedded:"); ok {
		return "embedded:" + name
	}
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	if strings.HasPrefix(file, "/") {
		b.WriteString("file://")
	}
	file = strings.TrimPrefix(file, "./")
	for i := range len(file) {
		c := file[i]
		if 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("-._~/", c) >= 0 {
			b.WriteByte(c)
		} else {
			b.WriteString("%" + string(hex[c>>4]) + string(hex[c&15]))
		}
	}
	return b.String()
}
