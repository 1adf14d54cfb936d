package main

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// yamlToJSON writes a profile that package policy has read or written as JSON, keys in their order.
func yamlToJSON(text []byte) ([]byte, error) {
	file, err := parser.ParseBytes(text, 0)
	if err != nil {
		return nil, err
	}
	var flat, out bytes.Buffer
	if err := appendJSON(&flat, file.Docs[0].Body); err != nil {
		return nil, err
	}
	if err := json.Indent(&out, flat.Bytes(), "", "  "); err != nil {
		return nil, err
	}
	out.WriteByte('\n')
	return out.Bytes(), nil
}

func appendJSON(b *bytes.Buffer, n ast.Node) error {
	switch n := n.(type) {
	case *ast.MappingNode:
		return appendList(b, "{}", len(n.Values), func(i int) error { return appendEntry(b, n.Values[i]) })
	case *ast.MappingValueNode:
		return appendList(b, "{}", 1, func(int) error { return appendEntry(b, n) })
	case *ast.SequenceNode:
		return appendList(b, "[]", len(n.Values), func(i int) error { return appendJSON(b, n.Values[i]) })
	case *ast.LiteralNode:
		return appendValue(b, n.Value.GetValue())
	case ast.ScalarNode:
		return appendValue(b, n.GetValue())
	}
	return fmt.Errorf("profile: %s has no JSON", n.Type())
}

func appendEntry(b *bytes.Buffer, e *ast.MappingValueNode) error {
	key, ok := e.Key.(ast.ScalarNode)
	if !ok {
		return fmt.Errorf("profile: %s is no key", e.Key.Type())
	}
	if err := appendValue(b, fmt.Sprint(key.GetValue())); err != nil {
		return err
	}
	b.WriteByte(':')
	return appendJSON(b, e.Value)
}

func appendList(b *bytes.Buffer, brackets string, n int, item func(int) error) error {
	b.WriteByte(brackets[0])
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		if err := item(i); err != nil {
			return err
		}
	}
	b.WriteByte(brackets[1])
	return nil
}

func appendValue(b *bytes.Buffer, v any) error {
	text, err := json.Marshal(v)
	b.Write(text)
	return err
}
