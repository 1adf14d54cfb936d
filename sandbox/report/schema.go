package report

import _ "embed"

//go:generate go run ./gen

//go:embed report.schema.json
var reportSchema string

// ReportSchema returns the JSON Schema of a report.
func ReportSchema() []byte { return []byte(reportSchema) }
