package policy

import _ "embed"

//go:embed schema.json
var schema string

// Schema is the JSON Schema of the language, for editors.
func Schema() []byte { return []byte(schema) }
