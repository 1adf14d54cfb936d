package gen

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"cordon/policy"
)

// The generated part of the reference is between these two lines.
const (
	beginMark = "<!-- keys: generated from the table of keys by go generate ./profiles -->\n"
	endMark   = "<!-- end of keys -->\n"
)

// Reference returns a document in which the part between the marks is generated anew.
func Reference(old []byte) ([]byte, error) {
	head, rest, ok := bytes.Cut(old, []byte(beginMark))
	_, tail, ok2 := bytes.Cut(rest, []byte(endMark))
	if !ok || !ok2 {
		return nil, errors.New("no marks around the keys")
	}
	var b bytes.Buffer
	b.Write(head)
	b.WriteString(beginMark)
	b.WriteString("\n")
	writeReference(&b)
	b.WriteString(endMark)
	b.Write(tail)
	return b.Bytes(), nil
}

func writeReference(b *bytes.Buffer) {
	keys := policy.Language()
	b.WriteString("### At the top\n\n")
	table(b, keys)
	for _, k := range keys {
		switch {
		case k.Forms != nil:
			for _, f := range k.Forms {
				fmt.Fprintf(b, "### `%s:` {%s: …}: %s\n\n", k.Name, f.Keys[0].Name, f.Doc)
				table(b, f.Keys)
			}
		case k.Keys != nil:
			fmt.Fprintf(b, "### `%s:`\n\n%s\n\n", k.Name, k.Doc)
			table(b, k.Keys)
		}
		for _, sub := range k.Keys {
			if sub.Keys != nil {
				fmt.Fprintf(b, "### `%s.%s:` as a mapping\n\n", k.Name, sub.Name)
				table(b, sub.Keys)
			}
		}
	}
}

func table(b *bytes.Buffer, keys []policy.Key) {
	b.WriteString("| key | value | default | example | flag | |\n|---|---|---|---|---|---|\n")
	for _, k := range keys {
		fmt.Fprintf(b, "| `%s` | %s | %s | %s | %s | %s |\n", k.Name, cell(typeOf(k)), cell(k.Default), code(k.Example), flagOf(k), cell(k.Doc))
	}
	b.WriteString("\n")
}

func typeOf(k policy.Key) string {
	t := k.Type
	switch {
	case k.Other != "" && k.Name == "time":
		t = "time namespace"
	case k.Forms != nil && k.List:
		t = "mount"
	case k.Forms != nil:
		t = "mapping"
	case k.Other != "" && k.Name == "landlock":
		t = "`off` or mapping"
	case k.Other != "" && k.Name == "cache":
		t = "`off`, `project`, `overlay` or mapping"
	case k.Other != "":
		t = "`none`, `host` or mapping"
	case k.Keys != nil:
		t = "mapping"
	case k.Type == "word" || k.Type == "layer":
		t = "`" + strings.Join(k.Words, "` `") + "`"
	case k.Type == "integer":
		t = fmt.Sprintf("%d to %d", k.Min, k.Max)
	}
	switch {
	case k.List:
		return "list of " + t
	case k.Dict:
		return "mapping of names to " + t
	}
	return t
}

func flagOf(k policy.Key) string {
	if k.Flag == "" {
		return ""
	}
	return "`--" + k.Flag + "`"
}

func code(s string) string {
	if s == "" {
		return ""
	}
	return "`" + cell(s) + "`"
}

func cell(s string) string { return strings.ReplaceAll(s, "|", `\|`) }
