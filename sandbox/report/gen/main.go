// Command gen writes the JSON Schema of the report, from its Go types and their comments. It runs in the directory
// sandbox/report.
package main

import (
	"bytes"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"log"
	"os"
	"path/filepath"
	"reflect"
	"strings"

	"github.com/google/jsonschema-go/jsonschema"

	"cordon/sandbox/report"
)

const file = "report.schema.json"

func main() {
	log.SetFlags(0)
	data, err := Schema(".", "../../policy")
	if err != nil {
		log.Fatal(err)
	}
	if err := os.WriteFile(file, data, 0o644); err != nil {
		log.Fatal(err)
	}
}

type schema = jsonschema.Schema

// generator maps "Type.Field" to the comment of the field.
type generator map[string]string

// Schema returns the JSON Schema of report.Report. dirs are the directories that contain its source.
func Schema(dirs ...string) ([]byte, error) {
	g := generator{}
	for _, dir := range dirs {
		if err := g.read(dir); err != nil {
			return nil, err
		}
	}
	s := g.of(reflect.TypeFor[report.Report]())
	s.Schema = "https://json-schema.org/draft/2020-12/schema"
	s.Title = "cordon report"
	s.Description = "What happened in a run: cordon run --report FILE. Keys may be added; what is there keeps its meaning as long as version does. " +
		"What the kernel does not tell is absent."
	s.Properties["version"].Enum = []any{1}
	limits := []any{report.LimitOOM, report.LimitTimeout, report.LimitCPUTime, report.LimitOutput, report.LimitPIDs, report.LimitFileSize}
	s.Properties["limit"].Enum = limits
	s.Properties["limits"].Items.Properties["limit"].Enum = limits
	data, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	if err := json.Indent(&out, data, "", "\t"); err != nil {
		return nil, err
	}
	out.WriteByte('\n')
	return out.Bytes(), nil
}

// read collects the comments of all struct fields. A comment beside a field has precedence over one above it.
func (g generator) read(dir string) error {
	names, err := filepath.Glob(dir + "/*.go")
	if err != nil {
		return err
	}
	for _, name := range names {
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		if err != nil {
			return err
		}
		ast.Inspect(f, func(n ast.Node) bool {
			t, ok := n.(*ast.TypeSpec)
			if !ok {
				return true
			}
			if s, ok := t.Type.(*ast.StructType); ok {
				g.fields(t.Name.Name, s)
			}
			return false
		})
	}
	return nil
}

func (g generator) fields(name string, s *ast.StructType) {
	for _, f := range s.Fields.List {
		text := f.Comment.Text()
		if text == "" {
			text = f.Doc.Text()
		}
		for _, n := range f.Names {
			g[name+"."+n.Name] = strings.Join(strings.Fields(text), " ")
		}
	}
}

// of returns the schema of a type as encoding/json writes it.
func (g generator) of(t reflect.Type) *schema {
	switch t.Kind() {
	case reflect.Pointer:
		return g.of(t.Elem()) // a nil pointer is omitted
	case reflect.Struct:
		s := &schema{Type: "object", Properties: map[string]*schema{}}
		g.add(s, t)
		return s
	case reflect.Slice:
		return &schema{Type: "array", Items: g.of(t.Elem())}
	case reflect.Bool:
		return &schema{Type: "boolean"}
	case reflect.Int, reflect.Int64:
		return &schema{Type: "integer"}
	case reflect.Uint64:
		zero := 0.0
		return &schema{Type: "integer", Minimum: &zero}
	case reflect.String:
		return &schema{Type: "string"}
	}
	log.Fatalf("%s: a kind of type that reports do not have yet", t)
	return nil
}

// add adds the fields of a struct to a schema. Fields of embedded structs count as its own.
func (g generator) add(s *schema, t reflect.Type) {
	for i := range t.NumField() {
		f := t.Field(i)
		key, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous:
			g.add(s, f.Type)
			continue
		case !f.IsExported(), key == "-":
			continue
		case key == "":
			log.Fatalf("%s.%s has no json tag", t.Name(), f.Name)
		}
		p := g.of(f.Type)
		p.Description = g[t.Name()+"."+f.Name]
		s.Properties[key] = p
		s.PropertyOrder = append(s.PropertyOrder, key)
		if !strings.Contains(options, "omitempty") {
			s.Required = append(s.Required, key)
		}
	}
}
