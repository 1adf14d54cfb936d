package yaml

import (
	"bytes"
	"encoding/json"
)

// JSON writes the document as JSON, with its keys in the same order.
func (d *Document) JSON() ([]byte, error) {
	var flat, out bytes.Buffer
	if d.Root == nil {
		flat.WriteString("null")
	} else {
		appendJSON(&flat, d.Root)
	}
	if err := json.Indent(&out, flat.Bytes(), "", "  "); err != nil {
		return nil, err
	}
	out.WriteByte('\n')
	return out.Bytes(), nil
}

func appendJSON(b *bytes.Buffer, n *Node) {
	open, last := byte('['), byte(']')
	switch {
	case n.Kind == MapNode:
		open, last = '{', '}'
	case n.Kind == ScalarNode && n.Scalar == NullScalar:
		b.WriteString("null")
		return
	case n.Kind == ScalarNode && n.Scalar != StrScalar && n.Scalar != OddScalar:
		b.WriteString(n.Text)
		return
	case n.Kind == ScalarNode:
		appendText(b, n.Text)
		return
	}
	b.WriteByte(open)
	for i, it := range n.Items {
		if i > 0 {
			b.WriteByte(',')
		}
		if it.Key != nil {
			appendText(b, it.Key.Text)
			b.WriteByte(':')
		}
		appendJSON(b, it.Val)
	}
	b.WriteByte(last)
}

func appendText(b *bytes.Buffer, s string) {
	text, _ := json.Marshal(s) // a string can always be marshalled
	b.Write(text)
}
