package fetch

import (
	"bytes"
	"context"
	"errors"
	"io"
	"iter"
	"slices"
	"time"

	"malcolm/transfer/manifest"
	"malcolm/transfer/source"
	"malcolm/wire"
)

// The modification times of a tree are a list beside its listing. Replicas
// differ in them, so they have no part in the vote: the list is that which most
// servers of the majority name.

// A timesList is what a server says of its list of times.
type timesList struct {
	checksum [32]byte
	size     int64 // in bytes
}

func timesOf(o source.Offer) timesList { return timesList{o.Times, o.TimesSize} }

// remoteTimes returns the modification times of what is to be copied of a tree;
// nil: no server gives those that most of the majority's servers name.
func (s *Session) remoteTimes() (*wire.Times, error) {
	d := s.download
	voted := func(v *server) bool { return v.votes() && v.offer.SameFile(d.offer) }
	list, ok := s.likedTimes(voted)
	if !ok {
		return nil, nil
	}
	all := d.all
	for _, v := range s.roster.byRank() {
		c := v.conns.pick()
		if c == nil || !voted(v) || timesOf(v.offer) != list {
			continue
		}
		way := c.way
		times, err := obtain(s.loop, func(ctx context.Context) (wire.Times, error) { return fetchTimes(ctx, way, list, all) })
		switch {
		case err == nil:
			return timesAmong(&times, all, d.tree.Entries()), nil
		case s.loop.ctx.Err() != nil:
			return nil, err
		case source.WhatOf(err) == source.Wrong:
			s.leave(v, StateWrong, err)
		}
	}
	return nil, nil
}

// wantedTimes is remoteTimes if the user wants them. It tells when nobody gives
// them.
func (s *Session) wantedTimes(disk Disk) (*wire.Times, error) {
	if !disk.RemoteTime {
		return nil, nil
	}
	times, err := s.remoteTimes()
	if err == nil && times == nil {
		s.emit(NoModTime{})
	}
	return times, err
}

// likedTimes returns the list that most of some servers name. In a tie the
// first one on the command line wins.
func (s *Session) likedTimes(of func(*server) bool) (best timesList, ok bool) {
	votes := make(map[timesList]int)
	var order []timesList
	for _, v := range s.roster.servers {
		if of(v) {
			votes[timesOf(v.offer)]++
			order = append(order, timesOf(v.offer))
		}
	}
	if len(order) == 0 {
		return best, false
	}
	best = order[0]
	for _, list := range order {
		if votes[list] > votes[best] {
			best = list
		}
	}
	return best, true
}

// fetchTimes fetches the list of times of a tree with all these entries, beside
// the loop, and checks it. The error is a [*source.Fault].
func fetchTimes(ctx context.Context, way source.Conn, list timesList, all []wire.Entry) (times wire.Times, err error) {
	b, err := fetchList(ctx, way, list)
	if err != nil {
		return times, err
	}
	if times, err = wire.ParseTimes(b, len(all)); err != nil {
		return times, wrongList("list of times", err)
	}
	left := len(times.Directories)
	for range directories(all) {
		left--
	}
	if left > 0 {
		return times, wrongList("list of times", errManyDirectories)
	}
	for _, list := range [][]time.Time{times.Entries, times.Directories} {
		for i, t := range list {
			if !isStorable(t) {
				list[i] = time.Time{}
			}
		}
	}
	return times, nil
}

var errManyDirectories = errors.New("it has more directories than the tree")

// directories yields those of some entries; see [wire.Directories].
func directories(entries []wire.Entry) iter.Seq[string] {
	return wire.Directories(len(entries), func(i int) *wire.Entry { return &entries[i] })
}

// timesAmong returns the times of some entries, and of the directories they lie
// in, from those of all. Both are in order.
func timesAmong(times *wire.Times, all, some []wire.Entry) *wire.Times {
	among := &wire.Times{Entries: make([]time.Time, 0, len(some))}
	i := 0
	for at := range some {
		for all[i].Path != some[at].Path {
			i++
		}
		among.Entries = append(among.Entries, times.Entries[i])
	}
	next, stop := iter.Pull(directories(all))
	defer stop()
	left := times.Directories
	for path := range directories(some) {
		for len(left) > 0 {
			of, _ := next()
			t := left[0]
			if left = left[1:]; of == path {
				among.Directories = append(among.Directories, t)
				break
			}
		}
	}
	return among
}

// fetchList fetches a list that a server names in its offer, which must be as
// it says.
func fetchList(ctx context.Context, way source.Conn, list timesList) ([]byte, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stalled := &source.Fault{What: source.NoAnswer, Words: "no answer in " + proofTime.String()}
	progress := time.AfterFunc(proofTime, func() { cancel(stalled) })
	defer progress.Stop()
	b, err := readTimes(ctx, way, list, progress)
	if err != nil {
		if context.Cause(ctx) == stalled {
			return nil, stalled
		}
		return nil, err
	}
	_, sum, err := manifest.Build(ctx, bytes.NewReader(b), int64(len(b)), manifest.BuildOptions{Workers: 1})
	if err == nil && sum != list.checksum {
		err = errOtherChecksum
	}
	if err != nil {
		return nil, wrongList("list", err)
	}
	return b, nil
}

var errOtherChecksum = errors.New("it does not have the checksum that was named")

// readTimes reads all bytes of a list of times.
func readTimes(ctx context.Context, way source.Conn, list timesList, progress *time.Timer) ([]byte, error) {
	body, err := way.Range(ctx, []source.Span{{Checksum: list.checksum, Length: list.size}})
	if err != nil {
		return nil, err
	}
	defer body.Close()
	b := make([]byte, 0, min(list.size, 1<<20))
	for int64(len(b)) < list.size {
		b = slices.Grow(b, 1)
		n, err := body.Read(b[len(b):cap(b)])
		progress.Reset(proofTime)
		b = b[:len(b)+n]
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
	}
	return b, nil
}
