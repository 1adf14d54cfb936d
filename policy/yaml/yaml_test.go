package yaml

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	reference "gopkg.in/yaml.v3"
)

// shipped returns the texts of the shipped profiles.
func shipped(t testing.TB) (texts []string) {
	files, err := filepath.Glob("../../profiles/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal("no shipped profiles", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, string(text))
	}
	return texts
}

// other reads a file with an independent YAML reader.
func other(data []byte) (root *reference.Node, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v", r)
		}
	}()
	var doc reference.Node
	dec := reference.NewDecoder(strings.NewReader(string(data)))
	if err := dec.Decode(&doc); err != nil {
		if err.Error() == "EOF" {
			return nil, nil
		}
		return nil, err
	}
	var more reference.Node
	if err := dec.Decode(&more); err == nil || err.Error() != "EOF" {
		return nil, errors.New("more than a document")
	}
	if len(doc.Content) == 0 {
		return nil, nil
	}
	return doc.Content[0], nil
}

var tags = map[string]ScalarType{"!!str": StrScalar, "!!int": IntScalar, "!!float": FloatScalar, "!!bool": BoolScalar, "!!null": NullScalar}

// differs says how the results of two readers differ; it returns "" if they mean the same.
func differs(n *Node, o *reference.Node) string {
	switch {
	case n == nil || o == nil:
		if n == nil && (o == nil || o.Tag == "!!null") {
			return ""
		}
		return fmt.Sprintf("%+v, and the other %+v", n, o)
	case n.Kind == MapNode && o.Kind == reference.MappingNode && len(o.Content) == 2*len(n.Items):
		for i, it := range n.Items {
			if d := differs(it.Key, o.Content[2*i]) + differs(it.Val, o.Content[2*i+1]); d != "" {
				return d
			}
		}
		return ""
	case n.Kind == SeqNode && o.Kind == reference.SequenceNode && len(o.Content) == len(n.Items):
		for i, it := range n.Items {
			if d := differs(it.Val, o.Content[i]); d != "" {
				return d
			}
		}
		return ""
	case n.Kind == ScalarNode && o.Kind == reference.ScalarNode:
		known := n.Style != 0 || n.Scalar == OddScalar
		if n.Text == o.Value && (known && (n.Style == 0 || o.Tag == "!!str") || tags[o.Tag] == n.Scalar) {
			return ""
		}
	}
	return fmt.Sprintf("line %d: %s %q, and the other %s %q", n.Line, n.What(), n.Text, o.Tag, o.Value)
}

// broken lists files that no reader may accept.
var broken = []string{
	"mounts: [{bind: ./.git mode: ro, optional: true}]",
	"mounts:\n  - {bind: ./.git mode: ro, optional: true}",
	"mounts:\n  - {bind: ./.git\n     mode: ro, optional: true}",
	"mounts:\n  - bind: ./.git mode: ro",
	"mounts:\n  - bind: ./.git\n     mode: ro",
	"mounts:\n  - bind: ./.git\n   mode: ro",
	"mounts:\n  - bind: ./.git\n  mode: ro",
	"mounts:\n  - {bind: ./.git, mode: ro, optional: true",
	"mounts:\n  - {bind: ./.git, mode: ro, optional: true]",
	"mounts: [{bind: /a}",
	"name: a\ufffe",
	"# \uffff\nname: a",
	"mounts: [{bind: /a}]]",
	"mounts: [{bind: /a}}",
	"mounts: [{bind: /a}] {bind: /b}",
	"hide: [/a, , /b]",
	"hide: [, /a]",
	"hide: [/a\nname: b",
	"hide: [/a\n  /b: c\n",
	"hide: [\"/a\" \"/b\"]",
	"hide: ['/a' /b]",
	"hide: [/a] /b",
	"hide: \"/a",
	"hide: '/a",
	"hide: \"/a\" b",
	"hide: '/a'b",
	"hide: [\"\\q\"]",
	"hide: [\"\\xZZ\"]",
	"hide: [\"\\ud800\"]",
	"hide:\n\t- /a",
	"hide:\n  - /a\n\t- /b",
	"hide:\n  - /a\n - /b",
	"hide:\n  - /a\n    - /b: c",
	"hide:\n  - /a\n  name: b",
	"hide: - /a",
	"hide: /a\n - /b: c",
	"name: a\n tty: none",
	"name: a\n  tty: none",
	"name: a: b",
	" name: a\ntty: none",
	"{a: b}}",
	"{a: b} c",
	"a: b\n---\nc: d\n...\ne: f\n]",
	"a: b\n  c: d: e",
	"name: 'a': b",
	"name: a\ntty",
	"name: a\ntty none\n",
	"name a\ntty: none\n",
	"a: b\nc\nd: e",
	"a: *x",
	"a: %x",
	"a: @x",
	"a: `x",
	"hide: [@keyring]",
	"a: |x\n  b",
	"a: |0\n  b",
	"a: |-+\n  b",
	"a: > b\n  c",
	"a: |\n\tb",
	"{a: b",
	"{a: b, c: d: e}",
	"---\na: b\n--- c: d: e",
	"a: b\x00",
	"a: \x01",
	"a: \xff",
	"a: \xc3(",
	"]",
	"}",
	"- a\nb: c",
	"a: b\n- c",
	"a:\n  b: c\n d: e",
	"\"a\nb\": c",
	"a\n b: c",
	": a: b",
	"a:\n - b\n  - c: d",
	"a: [b: c: d]",
	"a: {b: [c}]",
	"a: 'b\n---\n'",
	"a: \"b\n...\n\"",
}

// strict lists files that some readers accept. This reader refuses them and asks for a clearer spelling.
var strict = []string{
	"a: &x b", "a: [b?c]", "---\n---\n",
	"a:\tb", "a: b\tc", "hide: [/a#b, #c\n/d]#e", "a: !!str b", "a: &x b\nc: d", "<<: {a: b}", "%YAML 1.1\n---\na: b",
	"? a\n: b", "{a}", "{a, b: c}", "a: b\n---\nc: d", "a: b\n...\n---\nc: d", "--- {a: b}", "a: ?b", "a: :b", "a: b\n  - c",
	"a: \"b\\\n  c\"", "a: b\u0085c: d", "a: b\u2028c", "a: b\rc: d", "a: \"b\nc\"", "a: [?b]", "{? a: b}", "{[a]: b}", "{a: b}: c", "[a]: b", "\ufeffa: \ufeffb",
	"a: 'b\n\tc'",
}

// same lists files that mean the same to every reader.
var same = []string{
	"", "# a\n", "---\n", "---\na: b\n", "a: b\n...\n", "a: b\r\nc: d\r\n", "\ufeffa: b", "a:\n", "a: # b\n", "a:   b   # c\n", "a: b#c\n",
	"a: b\t# c\n", "{\"a\":1,\"b\":[true,null,\"c\\u00e9\\n\"]}", "a: [b, c,]\n", "a: {b: c,}\n", "a: [\n  b,\n  # c\n  d\n]\n", "a: {b: , c: d}\n",
	"a:\n- b\n- c\n", "a:\n  - b\n  - c: d\n    e: f\n  -\n    g: h\n  - - i\n    - j\nk: l\n", "a:\n  - {b: c}\n\n  # d\n  - [e]\n",
	"a: 'it''s # b: c'\n", "a: \"b\\tc\\x41\\u00e4\\U0001F600\\\\\\\"\"\n", "a: 'b\n\n  c\n  d'\n", "a: \"b  \n   c\"\n", "a: b\n  c\n\n  d\ne: f\n",
	"a:\n  b c\n  d\ne: f\n", "a: |\n  b\n   c\n\n  d\n\n\ne: f\n", "a: |-\n  b\n\n", "a: |+\n  b\n\n", "a: |+\n  b", "a: |\n  b", "a: |2\n   b\n  c\n",
	"a: >\n  b\n  c\n\n  d\n   e\n  f\n\n   g\n\n\n  h\n", "a: >-\n  b\n  c\n", "a: >+\n  b\n\n\nc: d\n", "a: |\n\n\n  b\n", "a: |\n", "a: |+\n\n\nb: c", "a: >\n\n  b\n",
	"a:\n  - |\n    b\n  - >-\n    c\n    d\n", "a: -b\nc: -1\nd: 1.5\ne: ~\nf: null\ng: true\n", "a: yes\nb: 0755\nc: 1_000\nd: .inf\ne: 0x1f\nf: 2026-01-31\ng: 1:30\n",
	"\"a b\": c\n'd': e\n", "a : b\n", "a: http://b:c/d?e#f\n", "a: [http://b:c/d#f]\n", "a: [b: c, d, \"e\":f, {g: h}]\n", "a: [b: [c: d]]\n", "a: [b: ]\n", "a: b, c [d] {e}\n", "a:\n\n\n  b: c\n\n\n  d: e\n",
}

func TestYAMLBroken(t *testing.T) {
	for _, text := range broken {
		if d, err := Read("f", []byte(text)); err == nil {
			t.Errorf("%q is read as %+v", text, d.Root)
		} else if err.Line == 0 || err.Msg == "" {
			t.Errorf("%q: %v has no place", text, err)
		}
		if o, err := other([]byte(text)); err == nil {
			t.Errorf("%q is accepted by the other reader: %+v", text, o)
		}
	}
	for _, text := range strict {
		if d, err := Read("f", []byte(text)); err == nil {
			t.Errorf("%q is read as %+v", text, d.Root)
		}
	}
}

func TestYAMLMeansTheSame(t *testing.T) {
	for _, text := range append(same, shipped(t)...) {
		d, err := Read("f", []byte(text))
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		o, oerr := other([]byte(text))
		if oerr != nil {
			t.Errorf("%q: the other reader: %v", text, oerr)
		} else if diff := differs(d.Root, o); diff != "" {
			t.Errorf("%q: %s", text, diff)
		}
	}
}

// FuzzYAML checks that everything that this reader accepts means the same to another reader.
func FuzzYAML(f *testing.F) {
	for _, text := range shipped(f) {
		f.Add([]byte(text))
	}
	for _, list := range [][]string{broken, strict, same} {
		for _, text := range list {
			f.Add([]byte(text))
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		defer time.AfterFunc(5*time.Second, func() { panic(fmt.Sprintf("hangs on %q", data)) }).Stop()
		d, err := Read("f", data)
		if err != nil || d.Root != nil && d.Root.Kind == ScalarNode {
			return
		}
		o, oerr := other(data)
		if oerr != nil {
			t.Fatalf("%q: the other reader: %v", data, oerr)
		}
		if diff := differs(d.Root, o); diff != "" {
			t.Fatalf("%q: %s", data, diff)
		}
	})
}
