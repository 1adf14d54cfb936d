package policy

import _ "embed"

//go:embed schema.json
var schema string

// Schema returns the JSON Schema of the language, for editors.
func Schema() []byte { return []byte(schema) }

// Key describes a key of the language, for the reference, the JSON Schema and completion.
type Key struct {
	Path    string // "limits.memory"; "mounts[bind].mode" for a key that only one form of an item has
	Name    string
	Type    string // one of the Type constants
	List    bool   // the value is a list of items of Type
	Dict    bool   // the value is a mapping from names to items of Type
	Words   []string
	Min     int64
	Max     int64
	Doc     string
	Default string
	Example string
	Flag    string // the flag that can set everything that the key can; "" if there is none
	Apart   string // why no flag can set the key
	Keys    []Key  // the keys of a section
	Forms   []Form // the forms of a value that may be one of several mappings
	Other   string // a pattern that a text must match to take the place of the mapping
}

// Form is one of the mappings that a root or a mount may be.
type Form struct {
	Doc  string
	Keys []Key // the first key identifies the form
}

// typeNames lists the names of the types in the reference.
var typeNames = [...]string{
	tSection: "section", tText: "text", tName: "name", tExtends: "profile", tVersion: "version", tBool: "bool",
	tWord: "word", tInt: "integer", tNumber: "number", tSize: "size", tDuration: "time", tOffset: "offset",
	tPerm: "mode", tID: "id", tPath: "path", tSource: "host path", tUpper: "upper", tLink: "link text",
	tContent: "content", tHostname: "host name", tNamespace: "namespace", tTime: "time namespace",
	tPattern: "pattern", tEnvPattern: "variable", tEnvName: "variable name", tCapability: "capability",
	tArch: "architecture", tCall: "system call", tAction: "action", tRule: "rule", tEndpoint: "endpoint", tPublish: "published port",
	tRlimit: "rlimit", tRlimitName: "rlimit name", tMount: "mount", tLayer: "layer", tCPUSet: "processors",
	tCgroup: "cgroup", tIOMax: "io limit",
}

// Language describes every key, in the canonical order.
func Language() []Key {
	out := make([]Key, len(language))
	for i := range language {
		out[i] = describe(&language[i], "")
		switch language[i].name {
		case "root":
			out[i].Forms = describeForms(rootForms, "root")
		case "mounts":
			out[i].Forms = describeForms(mountForms, "mounts")
		case "landlock":
			out[i].Other = "^off$"
		case "cache":
			out[i].Other = "^(off|project|overlay)$"
		case "network":
			out[i].Other = "^(none|host)$"
		case "namespaces":
			out[i].Other = "^none$"
			time := &out[i].Keys[len(out[i].Keys)-1]
			time.Keys, time.Other = describeAll(timeKeys, time.Path), "^(new|host|/.*)$"
		}
	}
	return out
}

func describeForms[T any](forms []form[T], path string) []Form {
	out := make([]Form, len(forms))
	for i := range forms {
		out[i] = Form{Doc: forms[i].doc, Keys: describeAll(forms[i].keys, path+"["+forms[i].keys[0].name+"]")}
	}
	return out
}

func describeAll[T any](keys []key[T], path string) []Key {
	out := make([]Key, len(keys))
	for i := range keys {
		out[i] = describe(&keys[i], path)
	}
	return out
}

func describe[T any](k *key[T], section string) Key {
	path := join(section, k.name)
	out := Key{
		Path: path, Name: k.name, Type: typeNames[k.typ], List: k.list, Dict: k.dict != 0, Words: k.words, Min: k.min,
		Max: k.max, Doc: k.doc, Default: k.def, Example: k.example, Flag: k.twin, Apart: k.apart,
	}
	if n := len(k.flags); n > 0 {
		out.Flag = k.flags[n-1].name
	}
	if k.keys != nil {
		out.Keys = describeAll(k.keys, path)
	}
	return out
}

// CapabilityNames lists the capabilities by number, without CAP_.
func CapabilityNames() []string { return append([]string(nil), capNames[:]...) }

// RlimitNames lists the rlimits, sorted.
func RlimitNames() []string { return append([]string(nil), rlimitNames[:]...) }

// Scalar is a key that holds one value of a profile.
type Scalar struct {
	Path string // "limits.memory"
	key  *key[Profile]
}

// Scalars yields every key that holds one value, in the canonical order.
func Scalars(yield func(Scalar) bool) {
	more := true
	eachScalar(func(section string, k *key[Profile]) {
		more = more && yield(Scalar{join(section, k.name), k})
	})
}

// At returns a pointer to the key's field in p.
func (s Scalar) At(p *Profile) any { return s.key.at(p) }

// Text returns the value in p as a file would contain it. If p sets no value, it returns the default.
func (s Scalar) Text(p *Profile) string {
	text, unset := s.key.value(s.key.at(p))
	if unset && s.key.typ != tNamespace {
		return s.key.def
	}
	return text
}
