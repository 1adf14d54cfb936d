package filter

// CheckRule reports what is wrong with a rule on any architecture that has the call: its call, its expression (an
// *Error with the column) or its action.
func CheckRule(r Rule) error {
	c := &compiler{spec: &Spec{Rules: []Rule{r}}, arch: AMD64, abi: AMD64}
	c.settle()
	if e := c.readRule(0); e != nil {
		e.From = r.From
		return e
	}
	return nil
}

// ParseExpr checks an expression over the arguments of call; the error is an *Error with the column.
func ParseExpr(call, expr string) error {
	id := callID(call)
	if id == noCall {
		return unknownCall(call, "")
	}
	if _, err := parseExpr(&conds{}, expr, id, AMD64); err != nil {
		return err
	}
	return nil
}
