package attach

import (
	"reflect"
	"testing"

	"cordon/policy"
	"cordon/sandbox/internal/sandboxtest"
)

// wired returns an Attached in which every field is set.
func wired(t testing.TB) *Attached {
	t.Helper()
	a := &Attached{}
	fillValue(t, reflect.ValueOf(a).Elem(), 0)
	return a
}

// fillValue sets every field of a value, and fails at a kind that pack does not know.
func fillValue(t testing.TB, v reflect.Value, n int) {
	t.Helper()
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(int64(-1 - n))
	case reflect.Uint8:
		v.SetUint(255)
	case reflect.Uint32:
		v.SetUint(1<<32 - 1)
	case reflect.Uint64:
		v.SetUint(policy.Unlimited)
	case reflect.Float64:
		v.SetFloat(0.1)
	case reflect.String:
		v.SetString("text\x00\n" + string(rune('a'+n)))
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fillValue(t, v.Index(0), n+1)
		fillValue(t, v.Index(1), n+2)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fillValue(t, v.Elem(), n)
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				fillValue(t, v.Field(i), n)
			}
		}
	default:
		t.Fatalf("%s: a kind that is not packed", v.Type())
	}
}

func TestWire(t *testing.T) {
	for _, p := range []string{"", "default", "strict", "container"} {
		want := wired(t)
		if p != "" {
			want.Profile = sandboxtest.Shipped(t, p)
		}
		b := pack(want)
		var got Attached
		if err := unpack(b, &got); err != nil || string(pack(&got)) != string(b) {
			t.Errorf("%s: %v, or another value", p, err)
		}
		if p == "" && !reflect.DeepEqual(&got, want) {
			t.Errorf("%+v, want %+v", &got, want)
		}
		for n := range b {
			if unpack(b[:n], &Attached{}) == nil {
				t.Fatalf("%s: %d bytes of %d are taken", p, n, len(b))
			}
		}
		if unpack(append(b, 0), &Attached{}) == nil {
			t.Errorf("%s: a byte more is taken", p)
		}
	}
	b := pack(&Space{})
	if err := unpack(b, &Attached{}); err == nil || err.Error() != "it is of another version of cordon" {
		t.Error(err)
	}
}

func FuzzWire(f *testing.F) {
	f.Add(pack(wired(f)))
	f.Add(pack(&Attached{Profile: &policy.Profile{}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		var a, again Attached
		if unpack(b, &a) != nil {
			return
		}
		if err := unpack(pack(&a), &again); err != nil {
			t.Fatal(err)
		}
	})
}
