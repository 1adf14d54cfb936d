package sandbox

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"cordon/policy"
	"cordon/sandbox/internal/sandboxtest"
	"cordon/sandbox/report"
)

// strictSchema returns the report's schema, changed so that it allows only the keys that it names.
func strictSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(report.ReportSchema()))
	if err != nil {
		t.Fatal(err)
	}
	closeObjects(doc)
	const schemaURL = "mem:///report.json" // no path: the library does not find one with a space in it again
	c := jsonschema.NewCompiler()
	if err := c.AddResource(schemaURL, doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile(schemaURL)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func closeObjects(v any) {
	switch v := v.(type) {
	case map[string]any:
		if v["type"] == "object" && v["properties"] != nil {
			v["additionalProperties"] = false
		}
		for _, x := range v {
			closeObjects(x)
		}
	case []any:
		for _, x := range v {
			closeObjects(x)
		}
	}
}

// TestReportSchema compares reports of real runs with the schema. A report must have every key that the schema
// requires, and no other keys. It must not say 0 for something that was not counted.
func TestReportSchema(t *testing.T) {
	schema := strictSchema(t)
	for _, c := range []*Cmd{
		shell(t, "exit 3"),
		shell(t, "kill -9 $$"),
		shell(t, "cat "+publicDir(t)+"/none; keyctl 2>/dev/null; unshare -U true; exit 1"),
		chatty(t, "yes", 10),
		rlimited(shell(t, "echo long >/tmp/f"), "fsize", 1),
		{Profile: sandboxtest.Shipped(t, "strict"), Args: []string{"true"}},
	} {
		c.Profile.OnDenial = policy.DenialReport
		c.Profile.Missing = append(c.Profile.Missing, policy.MissingLayer{Layer: policy.LayerLandlock}) // an old kernel has no scopes
		_, report := output(t, c)
		data, err := json.Marshal(report)
		if err != nil {
			t.Fatal(err)
		}
		v, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(v); err != nil {
			t.Errorf("%q: %v\n%s", c.Args, err, data)
		}
		keys := v.(map[string]any)
		for _, key := range []string{"peak_memory_bytes", "peak_pids", "throttled_ns", "oom_kills", "memory_stall_ns"} {
			if _, there := keys[key]; there {
				t.Errorf("%s was not counted: %s", key, data)
			}
		}
		if _, there := keys["minor_faults"]; !there {
			t.Errorf("no page faults: %s", data)
		}
	}
	for _, wrong := range []string{`{}`, `{"version": 2}`, `{"version":1,"profile":"","args":[],"exit":0,"wall_ns":1,"user_ns":1,"system_ns":1,"enforced":[],"limit":"x"}`} {
		v, err := jsonschema.UnmarshalJSON(bytes.NewReader([]byte(wrong)))
		if err != nil {
			t.Fatal(err)
		}
		if schema.Validate(v) == nil {
			t.Errorf("passes: %s", wrong)
		}
	}
}
