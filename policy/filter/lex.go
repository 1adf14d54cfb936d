package filter

// token is a lexical element of Go's expression syntax.
type token uint8

const (
	tokEnd token = iota
	tokName
	tokInt
	tokLparen
	tokRparen
	tokComma
	tokNot    // !
	tokTilde  // ~
	tokOrOr   // ||
	tokAndAnd // &&
	tokEq
	tokNe
	tokLt
	tokLe
	tokGt
	tokGe
	tokAdd
	tokSub
	tokOr
	tokXor // ^
	tokMul
	tokQuo
	tokRem
	tokShl
	tokShr
	tokAnd
	tokAndNot // &^
	tokBad
)

// precedence is Go's; 0 for what is no binary operator.
func (t token) precedence() int {
	switch {
	case t == tokOrOr:
		return 1
	case t == tokAndAnd:
		return 2
	case t >= tokEq && t <= tokGe:
		return 3
	case t >= tokAdd && t <= tokXor:
		return 4
	case t >= tokMul && t <= tokAndNot:
		return 5
	}
	return 0
}

// next reads the token at p.pos into p.tok, with its text and where it begins.
func (p *parser) next() {
	for p.pos < len(p.src) && isSpace(p.src[p.pos]) {
		p.pos++
	}
	p.start = p.pos
	if p.pos == len(p.src) {
		p.tok, p.text = tokEnd, ""
		return
	}
	switch ch := p.src[p.pos]; {
	case isLetter(ch), isDigit(ch):
		p.word()
		p.tok = tokName
		if isDigit(ch) {
			p.tok = tokInt
		}
	default:
		p.tok = p.operator(ch)
	}
	p.text = p.src[p.start:p.pos]
}

func (p *parser) word() {
	for p.pos < len(p.src) && (isLetter(p.src[p.pos]) || isDigit(p.src[p.pos])) {
		p.pos++
	}
}

// operators of two characters come before their first character alone.
var operators = [...]struct {
	text string
	tok  token
}{
	{"--", tokBad}, {"++", tokBad}, {"<-", tokBad}, // Go's tokens: what is written so is no expression there either
	{"||", tokOrOr}, {"&&", tokAndAnd}, {"==", tokEq}, {"!=", tokNe}, {"<=", tokLe}, {">=", tokGe}, {"<<", tokShl}, {">>", tokShr}, {"&^", tokAndNot},
	{"<", tokLt}, {">", tokGt}, {"+", tokAdd}, {"-", tokSub}, {"|", tokOr}, {"^", tokXor}, {"*", tokMul}, {"/", tokQuo}, {"%", tokRem}, {"&", tokAnd},
	{"!", tokNot}, {"~", tokTilde}, {"(", tokLparen}, {")", tokRparen}, {",", tokComma},
}

func (p *parser) operator(ch byte) token {
	for _, o := range operators {
		if o.text[0] != ch {
			continue
		}
		if len(o.text) == 1 || p.pos+1 < len(p.src) && p.src[p.pos+1] == o.text[1] {
			p.pos += len(o.text)
			return o.tok
		}
	}
	p.pos++
	for p.pos < len(p.src) && p.src[p.pos]&0xc0 == 0x80 { // the rest of a UTF-8 sequence
		p.pos++
	}
	return tokBad
}

func isSpace(c byte) bool  { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }
func isDigit(c byte) bool  { return '0' <= c && c <= '9' }
func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' || c == '_' }
