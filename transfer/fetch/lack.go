package fetch

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"malcolm/transfer/content"
	"malcolm/transfer/schedule"
	"malcolm/transfer/source"
	"malcolm/wire"
)

// A server may have another version of the tree than the one that was voted
// for, or change its own. Then it lacks some of the files. It says so for each
// span, and sends the others. So it is simply asked, and what it lacks is
// fetched from others.

// Lacking says, once a server, that it does not have all files of the tree, or
// cannot read some. Others are asked for these.
type Lacking struct {
	Target source.Target
	Path   string // of the first of them
	Err    error
}

func (Lacking) event() {}

// A GoneError says that no server has a file of the tree any longer.
type GoneError struct {
	Path string
	Err  error // of the server that was asked last
}

func (e *GoneError) Error() string {
	return fmt.Sprintf("no server has the file %q any longer", e.Path)
}

// lacking is what a server did not send of a range, since it does not have the
// files.
type lacking struct {
	files []int
	err   error // of the last one
}

func (l *lacking) Error() string { return l.err.Error() }

func (l *lacking) Unwrap() error { return l.err }

// isLack reports whether an error says that one file of a tree does not come,
// although the others may.
func (f *rangeRun) isLack(err error) bool {
	if f.content.Files() == 1 {
		return false
	}
	failed, ok := errors.AsType[*source.FailedSpan](err)
	if !ok {
		return false
	}
	what := failed.Fault.What
	return what == source.Changed || what == source.Lost || what == source.Absent
}

// add notes that the file of a chunk does not come, and returns the chunk of
// the range that comes next.
func (l *lacking) add(c *content.Content, r schedule.Range, chunk int, err error) (next int) {
	file := c.Place(chunk).File
	l.files, l.err = append(l.files, file), err
	return min(c.FirstChunk(file+1), r.First+r.Count)
}

// or returns err if it is worse than a lack, else the lack as an error.
func (l *lacking) or(err error) error {
	if err == nil && len(l.files) > 0 {
		return l
	}
	return err
}

// mostLacking is how many files a server may lack without having sent one.
const mostLacking = 256

// lacks runs in the loop when a server does not have some files.
func (s *Session) lacks(v *server, l *lacking) {
	d := s.download
	if v.state != StateServing {
		return
	}
	if v.share.lacks == 0 {
		s.emit(Lacking{Target: v.target, Path: d.pathOf(l.files[0]), Err: l.err})
	}
	for _, file := range l.files {
		v.share.lacks++
		d.schedule.Lack(v.index, d.content.FirstChunk(file), d.content.FileChunks(file))
		if d.lackers == nil {
			d.lackers = make(map[int]map[*server]bool)
		}
		if d.lackers[file] == nil {
			d.lackers[file] = make(map[*server]bool)
		}
		d.lackers[file][v] = true
		if s.isGone(d.lackers[file]) {
			s.loop.fail(&GoneError{Path: d.pathOf(file), Err: l.err})
			return
		}
	}
	if v.share.lacks >= mostLacking && v.share.bytes == 0 {
		s.leave(v, StateChanged, l.err)
	}
}

// isGone reports whether a file that some servers lack can come from no other
// server either.
func (s *Session) isGone(lackers map[*server]bool) bool {
	return !s.roster.any(func(v *server) bool {
		return !lackers[v] && !v.left && (v.state == StateServing || v.state == StateLost || v.state.isAwaited())
	})
}

// mayHelp reports whether the files of a tree are copied and a server offers a
// tree. It may have some of them.
func (s *Session) mayHelp(v *server) bool {
	return s.download.tree != nil && v.offer.Kind == wire.KindTree
}

// invite lets servers with another version of the tree take part, for the files
// that are the same in both.
func (s *Session) invite() {
	for _, v := range s.roster.servers {
		if v.state == StateLeftOut && v.conns.pick() != nil && s.mayHelp(v) {
			v.state = StateServing
			s.presence.Serves(v.index)
			s.emit(Joined{Target: v.target, Other: true})
		}
	}
}

// joinedAnew forgets what a server did not have: it is back, and may have it
// now.
func (d *download) joinedAnew(v *server) {
	for _, lackers := range d.lackers {
		delete(lackers, v)
	}
}

// reportLacking fills in what servers did not have, in the reports of all of
// them.
func (d *download) reportLacking(reports []ServerReport) {
	for _, file := range slices.Sorted(maps.Keys(d.lackers)) {
		path := d.pathOf(file)
		for v := range d.lackers[file] {
			r := &reports[v.index]
			r.Lacked = append(r.Lacked, path)
		}
	}
}
