package fetch

import (
	"bytes"
	"context"
	"errors"
	"io"
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

// remoteTimes returns the modification times of a tree's entries; nil: no
// server gives those that most of the majority's servers name.
func (s *Session) remoteTimes() ([]time.Time, error) {
	d := s.download
	voted := func(v *server) bool { return v.votes() && v.offer.SameFile(d.offer) }
	list, ok := s.likedTimes(voted)
	if !ok {
		return nil, nil
	}
	entries := len(d.all)
	for _, v := range s.roster.byRank() {
		c := v.conns.pick()
		if c == nil || !voted(v) || timesOf(v.offer) != list {
			continue
		}
		way := c.way
		times, err := obtain(s.loop, func(ctx context.Context) ([]time.Time, error) { return fetchTimes(ctx, way, list, entries) })
		switch {
		case err == nil:
			return timesAmong(times, d.all, d.tree.Entries()), nil
		case s.loop.ctx.Err() != nil:
			return nil, err
		case source.WhatOf(err) == source.Wrong:
			s.leave(v, StateWrong, err)
		}
	}
	return nil, nil
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

// fetchTimes fetches a list of times, beside the loop, and checks it. The error
// is a [*source.Fault].
func fetchTimes(ctx context.Context, way source.Conn, list timesList, entries int) ([]time.Time, error) {
	b, err := fetchList(ctx, way, list)
	if err != nil {
		return nil, err
	}
	times, err := wire.ParseTimes(b, entries)
	if err != nil {
		return nil, wrongList("list of times", err)
	}
	for i, t := range times {
		if !isStorable(t) {
			times[i] = time.Time{}
		}
	}
	return times, nil
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
