package policy_test

import (
	"reflect"
	"strings"
	"testing"

	"cordon/policy"
	"cordon/policy/diff"
)

// TestDiffKnowsEveryKeyOfAMount checks that a difference in any key of a mount shows in a diff, and that every field of
// a mount belongs to a key.
func TestDiffKnowsEveryKeyOfAMount(t *testing.T) {
	fields := map[string]bool{"Kind": true, "Pos": true}
	for kind, keys := range policy.MountKeys {
		for _, k := range keys {
			old := policy.Mount{Kind: kind, Target: "/t", Source: "/s"}
			now := old
			ptr := k.At(&now)
			for j := range reflect.TypeFor[policy.Mount]().NumField() {
				if v := reflect.ValueOf(&now).Elem().Field(j); v.Addr().Pointer() == reflect.ValueOf(ptr).Pointer() {
					fields[reflect.TypeFor[policy.Mount]().Field(j).Name] = true
				}
			}
			v := reflect.ValueOf(ptr).Elem()
			switch {
			case k.Name == "hidepid":
				v.SetString("invisible")
			case k.Name == "unfit":
				v.SetString("refuse")
			case strings.HasPrefix(v.Type().Name(), "Opt[uint32"):
				v.Set(reflect.ValueOf(policy.Opt[uint32]{true, 0o700}))
			case strings.HasPrefix(v.Type().Name(), "Opt["):
				v.Set(reflect.ValueOf(policy.Opt[[]string]{true, []string{"/t/x"}}))
			case v.Kind() == reflect.Int64:
				v.SetInt(1 << 20)
			default:
				if v.Kind() == reflect.Bool {
					v.SetBool(!v.Bool())
				} else {
					v.SetString(v.String() + "x")
				}
			}
			got, err := diff.Compare(&policy.Profile{Mounts: []policy.Mount{old}}, &policy.Profile{Mounts: []policy.Mount{now}}, "amd64")
			if err != nil || len(got) == 0 {
				t.Errorf("%s: %s makes no difference: %v", kind, k.Name, err)
			}
		}
	}
	for i := range reflect.TypeFor[policy.Mount]().NumField() {
		if name := reflect.TypeFor[policy.Mount]().Field(i).Name; !fields[name] {
			t.Errorf("no key sets %s", name)
		}
	}
}
