package wire

import "slices"

// WithCongestion returns the tail of a reply to open, which says with which
// congestion control the server sends over TCP. A name that may not be said, as
// the empty one, is left out.
func (t Tail) WithCongestion(name string) Tail {
	if !isCongestion([]byte(name)) {
		return t
	}
	return slices.Insert(slices.Clone(t), 0, Extra{Type: tailCongestion, Data: []byte(name)})
}

// Congestion returns the name of the congestion control with which the server
// sends over TCP; empty: it does not say. The name is the peer's: compare it,
// and quote it before a person sees it.
func (o Opened) Congestion() string {
	for _, e := range o.Tail {
		if e.Type == tailCongestion && isCongestion(e.Data) {
			return string(e.Data)
		}
	}
	return ""
}

// isCongestion reports whether bytes are a name in the reply to open.
func isCongestion(name []byte) bool {
	bad := func(c byte) bool { return c < '!' || c > '~' }
	return len(name) > 0 && len(name) <= maxCongestionLen && !slices.ContainsFunc(name, bad)
}
