package filter

// natives are the ABIs for which there are filters.
var natives = [...]Arch{AMD64, ARM64, RISCV64}

// CheckRule reports what is wrong with a rule on every architecture: its call, its expression (an *Error with the
// column) or its action. A rule that only some can have, such as one about PROT_MTE, is wrong where it is compiled for
// another.
func CheckRule(r Rule) error {
	var first *Error
	for _, arch := range natives {
		c := &compiler{spec: &Spec{Rules: []Rule{r}}, arch: arch, abi: arch}
		c.settle()
		e := c.readRule(0)
		if e == nil {
			return nil
		}
		if first == nil {
			first = e
		}
	}
	first.From = r.From
	return first
}

// ParseExpr checks an expression over the arguments of call, as CheckRule does; the error is an *Error with the column.
func ParseExpr(call, expr string) error {
	id := callID(call)
	if id == noCall {
		return unknownCall(call, "")
	}
	var first *Error
	for _, arch := range natives {
		_, err := parseExpr(&conds{}, expr, id, arch)
		if err == nil {
			return nil
		}
		if first == nil {
			first = err
		}
	}
	return first
}
