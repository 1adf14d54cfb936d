package main

import (
	"encoding/json"
	"testing"

	"cordon/policy"
	"cordon/sandbox/doctor"
)

func TestDiagnosisText(t *testing.T) {
	d := diagnosis{
		Checks: []doctor.Finding{
			{Name: "kernel", State: doctor.OutcomeOK, Found: "6.18.1", For: "everything"},
			{Name: "userns", State: doctor.OutcomeMissing, Found: "clone: EPERM", For: "every sandbox", Cause: "a\x1bb", Remedy: "sysctl -w x=1"},
		},
		Profiles: []started{{Name: "default", Why: "userns: EPERM", Remedy: "see above"}, {Name: "strict", Starts: true}},
	}
	want := `ok       kernel         6.18.1
missing  userns         clone: EPERM
                        for: every sandbox
                        cause: a\x1bb
                        remedy: sysctl -w x=1

refuses  default        userns: EPERM
                        remedy: see above
starts   strict
`
	if got := d.text(); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
}

// TestDiagnosisCode checks that only the result for the default profile decides the exit code.
func TestDiagnosisCode(t *testing.T) {
	for _, tt := range []struct {
		profiles []started
		code     int
	}{
		{nil, 1},
		{[]started{{Name: "default", Starts: true}, {Name: "strict"}}, 0},
		{[]started{{Name: "default"}, {Name: "strict", Starts: true}}, 1},
	} {
		if got := (diagnosis{Profiles: tt.profiles}).code(); got != tt.code {
			t.Errorf("%+v: %d, want %d", tt.profiles, got, tt.code)
		}
	}
}

func TestFloorIsNotTried(t *testing.T) {
	if s := tryProfile("base"); s.Starts || s.Why != "it allows no program to run: it is there for others to extend" {
		t.Errorf("%+v", s)
	}
	if floor(&policy.Profile{Syscalls: policy.Syscalls{Default: "allow"}}) {
		t.Error("a profile that allows everything is taken for a floor")
	}
}

// TestDoctorJSON runs `cordon doctor` on this machine. The output must contain every check and every shipped profile,
// and agree with the exit code.
func TestDoctorJSON(t *testing.T) {
	home(t)
	u, out, text := newTestUI()
	code := u.main([]string{"doctor", "--json"})
	var d diagnosis
	if err := json.Unmarshal([]byte(out.String()), &d); err != nil || text.Len() > 0 {
		t.Fatalf("%v, stderr %q", err, text)
	}
	if code != d.code() || len(d.Checks) < 20 || len(d.Profiles) < 5 || d.Version != 1 {
		t.Errorf("code %d, %d checks, %d profiles, version %d", code, len(d.Checks), len(d.Profiles), d.Version)
	}
}
