package https

// A stream is a whole file that a mirror sends in place of a range: it is read
// from its start, part by part.
type stream struct {
	asked *asked // whose answer it is
	at    int64  // the next byte
}

// resume goes on with the stream of a mirror that sends no ranges, if the part
// lies ahead. Else the file is asked for once more.
func (c *conn) resume(b *body, p part) bool {
	s := c.stream
	if c.stream = nil; s == nil {
		return false
	}
	a, ahead := s.asked, p.from-s.at
	if p.path != a.part.path || ahead < 0 {
		c.drop(a.link)
		return false
	}
	a.b, a.part, a.ahead, a.length, a.link.failed = b, p, ahead, p.to-p.from, nil
	b.use(a.link)
	b.asked = a
	if f := a.skip(); f != nil {
		b.settle()
		if s := c.stream; s != nil && !b.isWoken() {
			c.stream = nil
			c.drop(s.asked.link)
		}
		return false
	}
	return true
}
