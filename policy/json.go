package policy

import (
	"bytes"
	"encoding/json"
)

// JSON writes a profile in YAML as JSON, its keys in their order.
func JSON(file string, data []byte) ([]byte, error) {
	doc, err := readYAML(file, data)
	if err != nil {
		return nil, Errors{err}
	}
	var flat, out bytes.Buffer
	if doc.root == nil {
		flat.WriteString("null")
	} else {
		appendJSON(&flat, doc.root)
	}
	if err := json.Indent(&out, flat.Bytes(), "", "  "); err != nil {
		return nil, err
	}
	out.WriteByte('\n')
	return out.Bytes(), nil
}

func appendJSON(b *bytes.Buffer, n *node) {
	open, last := byte('['), byte(']')
	switch {
	case n.kind == mapNode:
		open, last = '{', '}'
	case n.kind == scalarNode && n.scalar == nullScalar:
		b.WriteString("null")
		return
	case n.kind == scalarNode && n.scalar != strScalar && n.scalar != oddScalar:
		b.WriteString(n.text)
		return
	case n.kind == scalarNode:
		appendText(b, n.text)
		return
	}
	b.WriteByte(open)
	for i, it := range n.items {
		if i > 0 {
			b.WriteByte(',')
		}
		if it.key != nil {
			appendText(b, it.key.text)
			b.WriteByte(':')
		}
		appendJSON(b, it.val)
	}
	b.WriteByte(last)
}

func appendText(b *bytes.Buffer, s string) {
	text, _ := json.Marshal(s) // a string can always be marshalled
	b.Write(text)
}
