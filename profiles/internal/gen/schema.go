package gen

// Schema is the JSON Schema of the language.
func Schema() ([]byte, error) { return []byte("{}\n"), nil }

// Reference is the language's reference with its generated part renewed.
func Reference(old []byte) ([]byte, error) { return old, nil }
