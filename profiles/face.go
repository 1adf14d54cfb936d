package profiles

// What a program calls that starts sandboxes.

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"

	"cordon/policy"
)

// Load returns the effective profile of one or more names and files, the later over the earlier: "default", "./mine.yaml".
// Without a name it is DefaultName. Names are looked up as DefaultSearch has them. The profile is the caller's, who may
// change it; policy.Validate checks it then.
func Load(names ...string) (*policy.Profile, error) {
	if len(names) == 0 {
		names = []string{DefaultName}
	}
	p, err := DefaultSearch(os.Getenv).Load(names, nil)
	if err != nil {
		return nil, err
	}
	unshare(reflect.ValueOf(p).Elem())
	return p, nil
}

// Parse returns the effective profile of a text. file is its name in errors, and says from where a relative path in extends
// starts. The profile is the caller's, as that of Load.
func Parse(file string, data []byte) (*policy.Profile, error) {
	s := DefaultSearch(os.Getenv)
	own, err := s.own(&Source{Name: strings.TrimSuffix(filepath.Base(file), ".yaml"), File: file, Data: data, layer: -1})
	if err != nil {
		return nil, err
	}
	p, err := policy.Extend(own, func(ref string) (*policy.Profile, error) {
		src, err := s.resolve(ref)
		if err != nil {
			return nil, err
		}
		return s.own(src)
	})
	if err != nil {
		return nil, err
	}
	if err := policy.Validate(p); err != nil {
		return nil, err
	}
	unshare(reflect.ValueOf(p).Elem())
	return p, nil
}

// unshare gives a value memory of its own behind its slices and pointers: that of the shipped profiles is everybody's.
func unshare(v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Field(i); f.CanSet() {
				unshare(f)
			}
		}
	case reflect.Slice:
		if v.IsNil() {
			return
		}
		own := reflect.MakeSlice(v.Type(), v.Len(), v.Len())
		reflect.Copy(own, v)
		for i := range own.Len() {
			unshare(own.Index(i))
		}
		v.Set(own)
	case reflect.Pointer:
		if v.IsNil() {
			return
		}
		own := reflect.New(v.Type().Elem())
		own.Elem().Set(v.Elem())
		unshare(own.Elem())
		v.Set(own)
	}
}
