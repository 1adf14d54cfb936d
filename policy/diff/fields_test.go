package diff

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"cordon/policy"
)

// silentFields lists the fields of a profile that do not affect what a program may do.
var silentFields = []string{"Version", "Name", "About", "Extends", "Sources", "Remove", "Prebuilt"}

// TestDiffKnowsEveryField changes one field of a profile after the other. Each must make a difference. A new field that
// diff does not compare fails here.
func TestDiffKnowsEveryField(t *testing.T) {
	base := read(t, `version: 1
root: {dir: /srv/rootfs, mode: rw, enter: chroot}
mounts: [{tmpfs: /a}]
hide: [/h]
hostname: box
namespaces: {user: host, mount: host, pid: host, ipc: host, uts: host, cgroup: host, net: host, time: {monotonic: 1h, boottime: 1h}}
user: {uid: 5, gid: 5, host: caller, ranges: true}
env: {keep: [A], set: {B: c}}
capabilities: {keep: [CHOWN], ambient: [CHOWN]}
syscalls: {default: kill, unknown: kill, arches: [i386], allow: [read, write, mmap], deny: [write], rules: [{socket: family == AF_UNIX, else: errno(EAFNOSUPPORT)}], exec: once}
landlock: {read: [/r], write: [/r], execute: [/r], scope: [signal]}
network: {allow: ["a:1"], deny: ["b:2"], publish: ["8080:80"], tls: require-name, interface: none}
limits: {memory: 2GiB, memory-high: 1GiB, swap: 1GiB, oom-group: true, cpus: 2, cpu-weight: 5, cpuset: "1", pids: 5, io: {/d: "rbps=1 wbps=1 riops=1 wiops=1"},
  io-weight: 5, hugetlb: {2MiB: 2MiB}, cgroup: /c, wall: 5s, cpu-time: 5s, output: 5MiB, rlimits: {nofile: 5}}
process: {workdir: /w, umask: "0022", nice: 5, oom-score-adj: 5}
tty: broker
on-denial: report
cache: {mode: overlay, tools: [go], size: 1MiB}
missing: [time]
`)
	base.Lifted = []policy.Hide{{Pattern: "/lifted"}}
	eachField(reflect.ValueOf(base).Elem(), "", func(name string, v reflect.Value) {
		if slices.Contains(silentFields, name) || strings.HasPrefix(name, "Mounts") || strings.HasSuffix(name, ".Pos") {
			return
		}
		was := deepCopy(v)
		defer v.Set(was)
		before := deepCopy(reflect.ValueOf(*base)).Interface().(policy.Profile)
		another(v, name)
		got, err := Compare(&before, base, "amd64")
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if len(got) == 0 {
			t.Errorf("%s has another value (%v, was %v), and nothing is said", name, v, was)
		}
	})
}

// deepCopy returns a copy of v with its own lists.
func deepCopy(v reflect.Value) reflect.Value {
	out := reflect.New(v.Type()).Elem()
	out.Set(v)
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			out.Field(i).Set(deepCopy(v.Field(i)))
		}
	case reflect.Slice:
		if !v.IsNil() {
			out.Set(reflect.MakeSlice(v.Type(), v.Len(), v.Len()))
		}
		for i := range v.Len() {
			out.Index(i).Set(deepCopy(v.Index(i)))
		}
	}
	return out
}

// eachField calls f for every field that is not a struct. For a list of structs it uses the fields of the first item.
func eachField(v reflect.Value, name string, f func(string, reflect.Value)) {
	switch {
	case v.Kind() == reflect.Struct && strings.HasPrefix(v.Type().Name(), "Opt["):
		f(name, v)
	case v.Kind() == reflect.Struct && v.Type() != reflect.TypeFor[policy.Pos]():
		for i := range v.NumField() {
			eachField(v.Field(i), strings.TrimPrefix(name+"."+v.Type().Field(i).Name, "."), f)
		}
	case v.Kind() == reflect.Slice && v.Len() > 0 && v.Type().Elem().Kind() == reflect.Struct && name != "Sources":
		eachField(v.Index(0), name, f)
	case v.Type() != reflect.TypeFor[policy.Pos]():
		f(name, v)
	}
}

// otherWords has a different valid value for each field that holds a word.
var otherWords = map[string]string{"Root.Kind": "host", "Root.Enter": "", "User.Host": "", "Capabilities.Keep.Name": "KILL", "Capabilities.Ambient.Name": "KILL",
	"Syscalls.Default": "log", "Syscalls.Unknown": "log", "Syscalls.Allow.Name": "mmap", "Syscalls.Deny.Name": "mmap", "Syscalls.Rules.Call": "socketpair", "Syscalls.Rules.Expr": "family == AF_INET",
	"Syscalls.Rules.Else": "errno(ENOSYS)", "Syscalls.Exec": "", "Network.Mode": "host", "Network.Interface": "", "Limits.CPUSet": "0-1", "TTY": "inherit", "OnDenial": "", "Missing.Layer": "cgroup"}

// another sets v to a different value of its type.
func another(v reflect.Value, name string) {
	if strings.HasPrefix(v.Type().Name(), "Opt[") {
		v.SetZero()
		return
	}
	switch v.Kind() {
	case reflect.String:
		other, ok := otherWords[name]
		if !ok {
			other = v.String() + "x"
		}
		if strings.HasSuffix(name, ".Mode") && strings.HasPrefix(name, "Namespaces") {
			other = ""
		}
		v.SetString(other)
	case reflect.Bool:
		v.SetBool(!v.Bool())
	case reflect.Slice:
		v.Set(reflect.ValueOf([]string{"x32"}))
	case reflect.Uint64:
		v.SetUint(v.Uint() * 2)
	default:
		v.SetInt(v.Int() * 2)
	}
}
