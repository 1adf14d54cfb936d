package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// printedPlan has the output of `cordon plan --json`.
type printedPlan struct {
	Clone string        `json:"clone"`
	Steps []printedStep `json:"steps"`
	Init  []printedStep `json:"init"`
}

type printedStep struct {
	Call string   `json:"call"`
	Args []string `json:"args"`
	To   string   `json:"to"`
	Or   string   `json:"or"`
}

// TestPlanIsWhatHappens compares the printed plan with what strace(1) sees of the child, init and the task. They must
// make the same calls in the same order with the same arguments, and no others.
func TestPlanIsWhatHappens(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("a tracer without CAP_SYS_PTRACE may not read the memory of a process that cannot be dumped")
	}
	if _, err := exec.LookPath("strace"); err != nil {
		if ci {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	dir, err := os.MkdirTemp(base, "plan-")
	if err != nil {
		t.Fatal(err)
	}
	ns := theirNamespaces(t)
	for name, args := range map[string][]string{
		"joined":         {"--host-user", "caller", "--ns", "user=" + ns + "user", "--ns", "mount=" + ns + "mnt", "--ns", "net=" + ns + "net", "true"},
		"default":        {"true"},
		"no reports":     {"--on-denial", "silent", "true"},
		"one program":    {"--exec", "once", "true"},
		"build":          {"-p", "build", "true"},
		"network":        {"--net", "host", "true"},
		"identity":       {"--uid", "1000", "--gid", "1000", "--hostname", "box", "true"},
		"capabilities":   {"--cap", "NET_BIND_SERVICE", "--uid", "0", "true"},
		"mounts":         {"--rw", dir, "--tmpfs", "/srv", "--hide", "/etc/hostname", "true"},
		"without limits": {"--missing", "landlock", "--workdir", "/", "true"},
	} {
		t.Run(name, func(t *testing.T) {
			work, err := os.MkdirTemp(dir, "run-")
			for _, own := range []string{"/.config/cordon/profiles", "/.local/state/cordon", "/.cache/cordon"} { // or the run makes them first
				err = errors.Join(err, os.MkdirAll(work+".home"+own, 0o700))
			}
			if err != nil {
				t.Fatal(err)
			}
			if name == "build" { // the first run makes the caches
				runCordon(t, work, append([]string{base + "/bin/cordon", "run"}, args...))
			}
			comparePlan(t, work, args)
		})
	}
}

func comparePlan(t *testing.T, dir string, args []string) {
	var want printedPlan
	out := runCordon(t, dir, append([]string{base + "/bin/cordon", "plan", "--json"}, args...))
	if err := json.Unmarshal(out, &want); err != nil {
		t.Fatal(err)
	}
	// Without Go's asynchronous preemption there are no signals between the calls.
	trace := filepath.Join(dir, "trace")
	runCordon(t, dir, append([]string{"strace", "-ff", "-v", "-s", "1000000", "-o", trace, base + "/bin/cordon", "run"}, args...))
	first, child, task := traces(t, trace)
	var clones []int
	for i, s := range want.Steps {
		if s.Call == "clone" {
			clones = append(clones, i)
		}
	}
	if len(clones) == 0 {
		t.Fatal("the plan does not fork")
	}
	fork, again := clones[len(clones)-1], -1
	c := &comparison{t: t, regs: map[string]string{}, files: map[string]string{}}
	if len(clones) == 2 { // one process takes over the other's work
		again = clones[0]
		if left := c.match("first child", want.Steps[:again+1], first); len(left) != 1 || !strings.HasPrefix(left[0], "exit_group(") {
			t.Errorf("the first child goes on: %q", left)
		}
	}
	rest := c.match("child", want.Steps[again+1:fork+1], child)
	initRegs, initFiles := clone(c.regs), clone(c.files)
	after := c.match("task", want.Steps[fork+1:], task)
	if len(after) == 0 || !strings.HasPrefix(want.Steps[len(want.Steps)-1].Call, "execve") {
		t.Error("the last step is not execve")
	}
	c.regs, c.files = initRegs, initFiles
	for _, line := range c.match("init", want.Init, rest) {
		if name, _, _ := strings.Cut(line, "("); name != "wait4" && name != "exit_group" && name != "restart_syscall" {
			t.Errorf("init does what is not in the plan: %s", line)
		}
	}
}

// theirNamespaces returns the namespace directory of a process that sleeps in its own namespaces until the test ends.
func theirNamespaces(t *testing.T) string {
	t.Helper()
	ready, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer ready.Close()
	c := exec.Command("unshare", "--user", "--map-root-user", "--mount", "--net", "sh", "-c", "echo; exec sleep 300")
	c.Stdout = w
	err = c.Start()
	w.Close()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Process.Kill(); _ = c.Wait() })
	if _, err := ready.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("/proc/%d/ns/", c.Process.Pid)
}

func clone(m map[string]string) map[string]string {
	c := map[string]string{}
	for k, v := range m {
		c[k] = v
	}
	return c
}

func runCordon(t *testing.T, dir string, argv []string) []byte {
	t.Helper()
	c := exec.Command(argv[0], argv[1:]...)
	c.Dir = dir
	c.Env = []string{"PATH=" + toolPath(), "HOME=" + dir + ".home", "GODEBUG=asyncpreemptoff=1"} // no profile shows the home
	var errs strings.Builder
	c.Stderr = &errs
	out, err := c.Output()
	if err != nil {
		t.Fatalf("%q: %v\n%s", argv, err, errs.String())
	}
	return out
}

// traces finds the trace files of the relevant processes. The task's file ends with the execve of the program. The
// child makes the task. If there is a first child, it makes the child.
func traces(t *testing.T, prefix string) (first, child, task []string) {
	t.Helper()
	files, err := filepath.Glob(prefix + ".*")
	if err != nil || len(files) < 3 {
		t.Fatalf("%d traces, %v", len(files), err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		text := string(b)
		switch lines := calls(text); {
		case strings.HasPrefix(text, "execve("), strings.HasPrefix(text, "gettid("): // the launcher and its threads
		case strings.Contains(text, "\nexecve(") || strings.Contains(text, "\nexecveat("):
			task = lines
		case strings.Contains(text, "flags=CLONE_PARENT|"):
			first = lines
		case strings.Contains(text, "\nwait4("):
			child = lines
		}
	}
	if child == nil || task == nil {
		t.Fatal("no trace of the child, or of the task")
	}
	return first, child, task
}

// calls removes the lines that are not calls: signals, exits, and calls that the kernel repeats after a stop.
func calls(trace string) []string {
	return slices.DeleteFunc(strings.Split(strings.TrimSpace(trace), "\n"), func(l string) bool {
		return strings.HasPrefix(l, "---") || strings.HasPrefix(l, "+++") || strings.Contains(l, "= ? ERESTART")
	})
}

// comparison remembers the numbers of the registers and of the launcher's files.
type comparison struct {
	t           *testing.T
	regs, files map[string]string
}

// match compares the lines with the plan, one step after the other, and returns the remaining lines.
func (c *comparison) match(who string, steps []printedStep, lines []string) []string {
	c.t.Helper()
	for i, s := range steps {
		if i >= len(lines) {
			c.t.Fatalf("%s, step %d: %s did not happen", who, i, s.Call)
		}
		if err := c.step(s, lines[i]); err != nil {
			c.t.Fatalf("%s, step %d: %v\nplan:   %s(%s)\nstrace: %.400s", who, i, err, s.Call, strings.Join(s.Args, ", "), lines[i])
		}
	}
	return lines[len(steps):]
}

// newerCalls maps calls that strace does not know yet to the names that strace prints.
var newerCalls = map[string]string{"open_tree_attr": "syscall_0x1d3"}

var resultOf = regexp.MustCompile(`\) += (\S+)( E[A-Z]+)?.*$`)

// sameNumber reports whether two arguments are the same number in different notations.
func sameNumber(a, b string) bool {
	m, err := strconv.ParseUint(a, 0, 64)
	n, err2 := strconv.ParseUint(b, 0, 64)
	return err == nil && err2 == nil && m == n
}

// markOwner is the last argument of FUTEX_WAKE_OP, as strace prints it, for the call that sets FUTEX_WAITERS: see
// plan.MarkOwner.
const markOwner = "FUTEX_OP_OPARG_SHIFT<<28|FUTEX_OP_OR<<28|0x1f<<12|FUTEX_OP_CMP_EQ<<24|0"

func (c *comparison) step(s printedStep, line string) error {
	name, rest, _ := strings.Cut(line, "(")
	at := resultOf.FindStringSubmatchIndex(rest)
	if at == nil {
		return fmt.Errorf("another call")
	}
	result := rest[at[2]:at[3]]
	if name == newerCalls[s.Call] { // strace does not know the call, and prints numbers
		n, err := strconv.ParseInt(result, 0, 64)
		c.regs[s.To] = strconv.FormatInt(n, 10)
		return err
	}
	if name != s.Call {
		return fmt.Errorf("another call")
	}
	got := splitArgs(rest[:at[0]])
	if s.Call == "clone" {
		if !strings.Contains(rest, s.Args[0]) {
			return fmt.Errorf("other flags")
		}
		return nil
	}
	want := slices.DeleteFunc(slices.Clone(s.Args), func(a string) bool { return a == "%nonce" }) // strace: five
	// strace omits arguments that the operation, or the type of node, does not use.
	for len(want) > len(got) && (want[len(want)-1] == "0" || want[len(want)-1] == "NULL") {
		want = want[:len(want)-1]
	}
	if len(want) != len(got) {
		return fmt.Errorf("%d arguments, not %d", len(got), len(want))
	}
	for i := range want {
		if got[i] == markOwner {
			got[i] = "0xa001f000"
		}
		if !c.argument(want[i], got[i]) && !sameNumber(want[i], got[i]) {
			return fmt.Errorf("argument %d is %.200s, not %.200s", i, got[i], want[i])
		}
	}
	if s.To != "" {
		c.regs[s.To] = result
		if m := received.FindStringSubmatch(rest); m != nil {
			c.regs[s.To] = m[1]
		}
	}
	return nil
}

// These patterns match a register, a file of the launcher, a buffer, and a filter.
var (
	register = regexp.MustCompile(`%[a-z]+[0-9]*`)
	file     = regexp.MustCompile(`\{[a-z][^={}]*\}`)
	pointer  = regexp.MustCompile(`filter=(\[.*\]|0x[0-9a-f]+|\.\.\.)\}`)
)

func (c *comparison) argument(want, got string) bool {
	if strings.Contains(want, "SCM_RIGHTS") {
		return strings.Contains(got, "SCM_RIGHTS")
	}
	if want == "owner" || want == "{owner}" {
		return strings.HasPrefix(got, "0x")
	}
	if want == `"..."` || want == "argv" || want == "sizeof(argv)" || strings.HasPrefix(want, "heap ") || want == "its length" {
		return true
	}
	want = register.ReplaceAllStringFunc(want, func(r string) string { return c.regs[r] })
	want = file.ReplaceAllStringFunc(want, func(f string) string {
		if c.files[f] == "" { // the first number counts; later ones must be the same
			c.files[f] = strings.TrimSuffix(strings.TrimPrefix(numbers.FindString(got), "parent_fd="), "}")
		}
		return c.files[f]
	})
	if strings.HasPrefix(want, "{") {
		want, got = strings.ReplaceAll(want, "O_RDONLY|", ""), strings.ReplaceAll(got, "O_RDONLY|", "")
	}
	if got == "SUID_DUMP_DISABLE" {
		got = "0"
	}
	want, got = pointer.ReplaceAllString(want, "filter=}"), pointer.ReplaceAllString(got, "filter=}")
	// If strace does not know a flag, the text ends with a number. Before that, it must be the same.
	if known, _, newer := strings.Cut(got, "|0x"); newer && strings.HasPrefix(got, "{") {
		return strings.HasPrefix(want, known)
	}
	return normal(want) == normal(got)
}

// normal sorts flags and removes comments, but changes nothing in quotes.
func normal(arg string) string {
	if strings.ContainsAny(arg, `"`) {
		return arg
	}
	return flags.ReplaceAllStringFunc(comment.ReplaceAllString(arg, ""), func(f string) string {
		names := strings.Split(f, "|")
		slices.Sort(names)
		return strings.Join(names, "|")
	})
}

var (
	flags   = regexp.MustCompile(`\w+(\|\w+)+`)
	comment = regexp.MustCompile(` /\* [^*]* \*/`) // strace's comment on a value without a name
)

// received matches a descriptor in a message.
var received = regexp.MustCompile(`cmsg_type=SCM_RIGHTS, cmsg_data=\[(\d+)\]`)

var numbers = regexp.MustCompile(`^[0-9]+$|parent_fd=[0-9]+\}`)

// splitArgs splits arguments at the commas that are not within strings, structures or arrays.
func splitArgs(s string) []string {
	var args []string
	depth, start, quoted := 0, 0, false
	for i := 0; i < len(s); i++ {
		switch ch := s[i]; {
		case quoted && ch == '\\':
			i++
		case ch == '"':
			quoted = !quoted
		case quoted:
		case ch == '{' || ch == '[':
			depth++
		case ch == '}' || ch == ']':
			depth--
		case ch == ',' && depth == 0:
			args = append(args, strings.TrimSpace(s[start:i]))
			start = i + 1
		}
	}
	if last := strings.TrimSpace(s[start:]); last != "" || len(args) > 0 {
		args = append(args, last)
	}
	return args
}
