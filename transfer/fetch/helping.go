package fetch

import (
	"slices"
	"time"
)

// helpItself lets idle connections of a server ask for parts of the ranges that
// come on its other connections.
func (s *Session) helpItself(v *server) {
	d := s.download
	if v.state != StateServing || v.trouble.judging || len(v.conns.list) < 2 {
		return
	}
	for _, c := range v.conns.list {
		if c.retired || c.fetches > 0 {
			continue
		}
		f := d.mostLacking(v)
		if f == nil {
			return
		}
		c.fetches++
		d.helpers[c]++
		parted, way, post := f.parted, c.way, d.post
		done := func() { post(func() { s.helped(v, c) }) }
		d.beside(func() { parted.help(way, done) })
	}
}

// mostLacking returns the fetch of a server that has the most bytes not asked
// for yet; nil: all bytes are asked for.
func (d *download) mostLacking(v *server) (most *fetch) {
	var lacks int64
	for _, f := range d.fetches {
		if f.server != v || f.parted == nil || f.ctx.Err() != nil {
			continue
		}
		if n := f.parted.lacks(); n > lacks || n == lacks && n > 0 && f.ID < most.ID {
			most, lacks = f, n
		}
	}
	return most
}

// helped runs in the loop when a connection has nothing more to do for the
// range of another one.
func (s *Session) helped(v *server, c *connection) {
	s.download.leaveHelper(c)
	v.conns.closeRetired(c)
	s.dispatch(time.Now())
}

func (d *download) leaveHelper(c *connection) {
	c.fetches--
	if d.helpers[c]--; d.helpers[c] == 0 {
		delete(d.helpers, c)
	}
}

// leaveHelpers ends what connections do for ranges of others when a download is
// over.
func (s *Session) leaveHelpers() {
	d := s.download
	for _, v := range s.roster.servers {
		for _, c := range slices.Clone(v.conns.list) {
			c.fetches -= d.helpers[c]
			delete(d.helpers, c)
			v.conns.closeRetired(c)
		}
	}
}
