package profiles

// This file is for programs that start sandboxes.

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"

	"cordon/policy"
)

// Load returns the effective profile of one or more names and files, such as "default" and "./mine.yaml". It merges
// each of them over the earlier ones. Without a name Load uses DefaultName. It looks names up in the directories of
// DefaultSearch. The caller may change the profile, and should then check it with policy.Validate.
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

// Parse returns the effective profile of a text. Errors use file as the name of the text. A relative path in extends
// begins at the directory of file. As with Load, the caller may change the profile.
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

// unshare copies the memory behind the slices and pointers of a value, because all callers share the memory of the
// shipped profiles.
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
