package gen

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"

	"github.com/google/jsonschema-go/jsonschema"

	"cordon/policy"
	"cordon/policy/filter"
)

type schema = jsonschema.Schema

// Schema returns the JSON Schema of the language, indented.
func Schema() ([]byte, error) {
	s := object(policy.Language(), "")
	s.Schema = "https://json-schema.org/draft/2020-12/schema"
	s.Title = "cordon profile"
	s.Description = "What a sandboxed program may see and do."
	s.Defs = definitions()
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

// removable lists the sections that have a key remove:.
var removable = []string{"env", "capabilities", "syscalls", "landlock", "limits"}

func object(keys []policy.Key, section string) *schema {
	s := &schema{Type: "object", Properties: map[string]*schema{}, AdditionalProperties: &schema{Not: &schema{}}}
	if slices.Contains(removable, section) {
		s.Properties["remove"] = removals(section)
		s.PropertyOrder = append(s.PropertyOrder, "remove")
	}
	if section == "" {
		lists := &schema{Type: "object", Properties: map[string]*schema{}, AdditionalProperties: &schema{Not: &schema{}},
			Description: "What is taken away from the inherited lists of these sections, by exact value."}
		for _, name := range []string{"mounts", "hide", "missing"} {
			lists.Properties[name] = removals(name)
			lists.PropertyOrder = append(lists.PropertyOrder, name)
		}
		s.Properties["remove"] = lists
		s.PropertyOrder = append(s.PropertyOrder, "remove")
	}
	for _, k := range keys {
		s.Properties[k.Name] = value(k)
		s.PropertyOrder = append(s.PropertyOrder, k.Name)
	}
	return s
}

func removals(section string) *schema {
	item := &schema{Type: "string"}
	if section == "syscalls" {
		item = anyOf(item, ref("rule"))
	}
	return &schema{Type: "array", Items: item, Description: "What is taken away from the inherited lists, by exact value."}
}

// value returns the schema of a key's value.
func value(k policy.Key) *schema {
	s := single(k)
	switch {
	case k.List && k.Name == "hide":
		empty := &schema{Type: "object", Properties: map[string]*schema{"path": s, "as": {Enum: []any{"empty"}}},
			Required: []string{"path", "as"}, AdditionalProperties: &schema{Not: &schema{}}}
		s = &schema{Type: "array", Items: anyOf(s, empty, ref("remove"))}
	case k.List && (k.Name == "mounts" || k.Name == "missing"):
		s = &schema{Type: "array", Items: anyOf(s, ref("remove"))}
	case k.List:
		s = &schema{Type: "array", Items: s}
	case k.Dict:
		s = &schema{Type: "object", AdditionalProperties: s, PropertyNames: names(k)}
	}
	s.Description = strings.ReplaceAll(k.Doc, "`", "")
	return s
}

func names(k policy.Key) *schema {
	switch k.Type {
	case "rlimit":
		return &schema{Enum: enum(policy.RlimitNames())}
	case "size":
		return ref("size")
	case "io limit":
		return ref("host-path")
	}
	return &schema{Pattern: `^[!-)+-<>-~]+$`}
}

func single(k policy.Key) *schema {
	switch {
	case k.Forms != nil:
		return forms(k.Forms)
	case k.Keys != nil && k.Other != "":
		return anyOf(&schema{Type: "string", Pattern: k.Other}, object(k.Keys, k.Path))
	case k.Keys != nil:
		return object(k.Keys, k.Path)
	case k.Type == "word" && boolean(k.Words):
		return booleans(k.Words)
	case k.Type == "word" || k.Type == "layer":
		return &schema{Type: "string", Enum: enum(k.Words)}
	case k.Type == "integer":
		return &schema{Type: "integer", Minimum: number(k.Min), Maximum: number(k.Max)}
	}
	return ref(strings.ReplaceAll(k.Type, " ", "-"))
}

func boolean(words []string) bool { return words[0] == "true" || words[0] == "false" }

func booleans(words []string) *schema {
	if len(words) == 1 {
		return &schema{Type: "boolean", Enum: []any{words[0] == "true"}}
	}
	return &schema{Type: "boolean"}
}

func forms(list []policy.Form) *schema {
	s := &schema{}
	for _, f := range list {
		o := object(f.Keys, "form")
		o.Description = f.Doc
		o.Required = []string{f.Keys[0].Name}
		if f.Keys[0].Name == "symlink" {
			o.Required = append(o.Required, "to")
		}
		s.OneOf = append(s.OneOf, o)
	}
	return s
}

func ref(name string) *schema { return &schema{Ref: "#/$defs/" + name} }

func anyOf(list ...*schema) *schema { return &schema{AnyOf: list} }

func number(n int64) *float64 {
	f := float64(n)
	return &f
}

func enum(words []string) []any {
	out := make([]any, len(words))
	for i, w := range words {
		out[i] = w
	}
	return out
}

// timeSpan matches a time span: 90s, 1h30m, 2d.
const timeSpan = `([0-9]+d|[0-9]+(\.[0-9]+)?(ns|us|ms|s|m|h))([0-9]+(\.[0-9]+)?(ns|us|ms|s|m|h))*`

func pattern(p string) *schema { return &schema{Type: "string", Pattern: p} }

// definitions returns the types of single values.
func definitions() map[string]*schema {
	most := 64
	path := pattern(`^(/|~/|\./|~$|\.$)`)
	path.Not = &schema{Pattern: `(^|/)\.\.(/|$)`}
	hostname := pattern(`^[A-Za-z0-9_][A-Za-z0-9._-]*$`)
	hostname.MaxLength = &most
	name := pattern(`^[a-z0-9_][a-z0-9._-]*$`)
	name.MaxLength = &most
	text := &schema{Type: "string"}
	none := &schema{Not: &schema{}}
	rule := &schema{
		Type: "object", Properties: map[string]*schema{"else": ref("action"), "quiet": {Type: "boolean"}}, AdditionalProperties: &schema{Type: "string"},
		PropertyNames: anyOf(&schema{Enum: []any{"else", "quiet"}}, ref("system-call")), MinProperties: new(int),
	}
	*rule.MinProperties = 1
	return map[string]*schema{
		"text": text, "content": text, "link-text": {Type: "string", MinLength: rule.MinProperties},
		"name": name, "profile": anyOf(name, path), "version": {Type: "integer", Enum: []any{1}},
		"number": {Type: "number", ExclusiveMinimum: number(0)},
		"size":   anyOf(&schema{Type: "integer", Minimum: number(0)}, pattern(`^(0|[1-9][0-9]*)(\.[0-9]{1,6})?([KMGT]iB|[kMGT]B|B)?$`)),
		"time":   pattern(`^` + timeSpan + `$`),
		"offset": pattern(`^-?` + timeSpan + `$`),
		"mode":   pattern(`^[0-7]{3,5}$`),
		"id":     anyOf(&schema{Type: "integer", Minimum: number(0), Maximum: number(4294967294)}, &schema{Enum: []any{"keep"}}),
		"path":   path, "host-path": path, "upper": anyOf(&schema{Enum: []any{"tmp", "none"}}, path),
		"host-name": hostname, "namespace": pattern(`^(new|host|/.*)$`), "pattern": pattern(`^(/|~$|~/|\*\*/)`),
		"variable":   pattern(`^[!-)+-<>-~]*\*?$`),
		"capability": {Type: "string", Enum: enum(policy.CapabilityNames())},
		"architecture": {Type: "string", Enum: enum([]string{"native", "amd64", "x86_64", "arm64", "aarch64", "riscv64",
			"i386", "386", "x86", "arm", "x32"})},
		"system-call":    {Type: "string", Enum: enum(slices.Concat(filter.Groups(), filter.Calls()))},
		"action":         pattern(`^(allow|log|kill|kill-thread|trap|errno\([A-Z0-9]+\))$`),
		"rule":           rule,
		"processors":     anyOf(&schema{Type: "integer", Minimum: number(0)}, pattern(`^[0-9]+(-[0-9]+)?(,[0-9]+(-[0-9]+)?)*$`)),
		"cgroup":         pattern(`^(auto|systemd|/.*|[-A-Za-z0-9_.:@\\]+\.slice)$`),
		"io-limit":       pattern(`^[ ,]*([rw](bps|iops)=[0-9.]+([KMGT]iB|[kMGT]B|B)?[ ,]*)+$`),
		"endpoint":       pattern(`^\S+$`),
		"published-port": pattern(`^(\S+:)?[0-9]{1,5}$`),
		"rlimit":         anyOf(&schema{Type: "integer", Minimum: number(0)}, &schema{Type: "string", MinLength: rule.MinProperties}),
		"remove": {Type: "object", Properties: map[string]*schema{"remove": text}, Required: []string{"remove"},
			AdditionalProperties: none},
	}
}
