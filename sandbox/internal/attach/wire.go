package attach

// This file encodes values for another process of the same program. encoding/json would take 3 ms to analyse a
// profile's type before it decodes the first profile, which is half the time of a launch. The encoding contains no
// names. It begins with a number that is computed from the names and kinds of all fields. By this number both processes
// check that they have the same type. Numbers are varints; texts and lists begin with their length.

import (
	"encoding/binary"
	"errors"
	"hash/fnv"
	"math"
	"reflect"
	"strconv"
)

// pack encodes the value that v points to: structs of exported fields, lists, texts, numbers, and pointers to these.
func pack(v any) []byte {
	value := reflect.ValueOf(v).Elem()
	return packValue(binary.LittleEndian.AppendUint64(make([]byte, 0, 8<<10), shape(value.Type())), value)
}

// unpack decodes a result of pack into the value that v points to. The length of b limits the memory that it uses.
func unpack(b []byte, v any) error {
	value := reflect.ValueOf(v).Elem()
	if len(b) < 8 || binary.LittleEndian.Uint64(b) != shape(value.Type()) {
		return errors.New("it is of another version of cordon")
	}
	u := unpacker{rest: b[8:]}
	u.value(value)
	if u.bad || len(u.rest) != 0 {
		return errors.New("it is damaged")
	}
	return nil
}

// shape returns a number that is computed from the fields of a type's structs. Different types have different numbers.
func shape(t reflect.Type) uint64 {
	h := fnv.New64a()
	_, _ = h.Write(appendShape(nil, t)) // a hash never returns an error
	return h.Sum64()
}

func appendShape(b []byte, t reflect.Type) []byte {
	b = append(b, byte(t.Kind()))
	switch t.Kind() {
	case reflect.Slice, reflect.Pointer:
		return appendShape(b, t.Elem())
	case reflect.Struct:
		b = strconv.AppendInt(b, int64(t.NumField()), 10)
		for i := range t.NumField() {
			if f := t.Field(i); f.IsExported() {
				b = appendShape(append(append(b, f.Name...), ' '), f.Type)
			}
		}
	}
	return b
}

func packValue(b []byte, v reflect.Value) []byte {
	switch v.Kind() {
	case reflect.Bool:
		if v.Bool() {
			return append(b, 1)
		}
		return append(b, 0)
	case reflect.Int, reflect.Int64:
		return binary.AppendVarint(b, v.Int())
	case reflect.Uint8, reflect.Uint32, reflect.Uint64:
		return binary.AppendUvarint(b, v.Uint())
	case reflect.Float64:
		return binary.AppendUvarint(b, math.Float64bits(v.Float()))
	case reflect.String:
		return append(binary.AppendUvarint(b, uint64(v.Len())), v.String()...)
	case reflect.Slice:
		b = binary.AppendUvarint(b, uint64(v.Len()))
		for i := range v.Len() {
			b = packValue(b, v.Index(i))
		}
		return b
	case reflect.Pointer:
		if v.IsNil() {
			return append(b, 0)
		}
		return packValue(append(b, 1), v.Elem())
	case reflect.Struct:
		t := v.Type()
		for i := range t.NumField() {
			if t.Field(i).IsExported() {
				b = packValue(b, v.Field(i))
			}
		}
		return b
	}
	panic("sandbox: pack: " + v.Kind().String()) // a kind of field that pack does not know; TestWire finds it
}

type unpacker struct {
	rest []byte
	bad  bool
}

// number reads a number. It fails if the number is larger than limit.
func (u *unpacker) number(limit uint64) uint64 {
	n, size := binary.Uvarint(u.rest)
	if size <= 0 || n > limit {
		u.bad, u.rest = true, nil
		return 0
	}
	u.rest = u.rest[size:]
	return n
}

func (u *unpacker) signed() int64 {
	n, size := binary.Varint(u.rest)
	if size <= 0 {
		u.bad, u.rest = true, nil
		return 0
	}
	u.rest = u.rest[size:]
	return n
}

// length reads the number of items that follow. Each item takes at least one byte.
func (u *unpacker) length() int {
	n := u.number(uint64(len(u.rest)))
	if n > uint64(len(u.rest)) { // check again, because the number itself has taken bytes
		u.bad, u.rest = true, nil
		return 0
	}
	return int(n)
}

func (u *unpacker) value(v reflect.Value) {
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(u.number(1) == 1)
	case reflect.Int, reflect.Int64:
		v.SetInt(u.signed())
	case reflect.Uint8:
		v.SetUint(u.number(math.MaxUint8))
	case reflect.Uint32:
		v.SetUint(u.number(math.MaxUint32))
	case reflect.Uint64:
		v.SetUint(u.number(math.MaxUint64))
	case reflect.Float64:
		v.SetFloat(math.Float64frombits(u.number(math.MaxUint64)))
	case reflect.String:
		n := u.length()
		v.SetString(string(u.rest[:n]))
		u.rest = u.rest[n:]
	case reflect.Slice:
		u.list(v)
	case reflect.Pointer:
		if u.number(1) == 1 {
			v.Set(reflect.New(v.Type().Elem()))
			u.value(v.Elem())
		}
	case reflect.Struct:
		t := v.Type()
		for i := 0; i < t.NumField() && !u.bad; i++ {
			if t.Field(i).IsExported() {
				u.value(v.Field(i))
			}
		}
	}
}

func (u *unpacker) list(v reflect.Value) {
	n := u.length()
	if n == 0 {
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), n, n))
	for i := 0; i < n && !u.bad; i++ {
		u.value(v.Index(i))
	}
}
