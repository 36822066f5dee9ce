package fetch

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"malcolm/transfer/schedule"
	"malcolm/transfer/source"
	"malcolm/transfer/source/sourcetest"
)

// A partServer is one server over several connections.
type partServer struct {
	data  []byte
	asked []source.Span
	open  int // replies that nobody has closed
}

// A partReply is a body of a partServer. It can be cut off.
type partReply struct {
	r     *bytes.Reader
	pause time.Duration // before each byte can be read
	cut   int64         // bytes that come; less than 0: all
	err   error         // behind them
	open  *int
}

func (p *partReply) Wait() error {
	time.Sleep(p.pause)
	if p.cut == 0 {
		return p.err
	}
	return nil
}

func (p *partReply) Read(b []byte) (int, error) {
	if p.cut >= 0 {
		b = b[:min(int64(len(b)), p.cut)]
		if len(b) == 0 {
			return 0, p.err
		}
	}
	n, err := p.r.Read(b)
	if p.cut >= 0 {
		p.cut -= int64(n)
	}
	return n, err
}

func (p *partReply) Close() { *p.open-- }

// conn returns a connection whose replies change is told of.
func (s *partServer) conn(change func(*partReply)) *sourcetest.Conn {
	c := sourcetest.NewConn(source.Peer{})
	c.OnRange = func(_ context.Context, spans []source.Span) (source.Body, error) {
		span := spans[0]
		s.asked = append(s.asked, span)
		s.open++
		r := &partReply{r: bytes.NewReader(s.data[span.Offset : span.Offset+span.Length]), cut: -1, open: &s.open}
		if change != nil {
			change(r)
		}
		return r, nil
	}
	return c
}

// asksOnce fails the test unless the requests cover a span without overlap.
func (s *partServer) asksOnce(t *testing.T, offset, length int64) {
	t.Helper()
	spans := slices.Clone(s.asked)
	slices.SortFunc(spans, func(a, b source.Span) int { return int(a.Offset - b.Offset) })
	at := offset
	for _, span := range spans {
		if span.Offset != at {
			t.Fatalf("asked for %+v, want each byte once", spans)
		}
		at += span.Length
	}
	if at != offset+length {
		t.Fatalf("asked for %+v, want all", spans)
	}
}

var errCut = &source.Fault{What: source.Lost, Words: "cut off"}

// A span in parts is the same bytes, whichever connection asks for them.
func TestPartedBody(t *testing.T) {
	const from, length = 1000, 8*300 + 7
	data := file(5000, 1)
	want := data[from : from+length]
	for _, test := range []struct {
		name   string
		ahead  int64
		own    func(*partReply)
		helper func(*partReply) // nil: nobody helps
		err    error
		twice  bool // bytes may be asked for twice
	}{
		{name: "alone"},
		{name: "alone, ahead", ahead: 500},
		{name: "helped", helper: func(*partReply) {}},
		{name: "a slow helper", helper: func(p *partReply) { p.pause = time.Minute }},
		{name: "a lost helper", helper: func(p *partReply) { p.cut, p.err = 0, errCut }, twice: true},
		{name: "a helper that is lost in the middle", helper: func(p *partReply) { p.cut, p.err = 100, errCut }, twice: true},
		{name: "a helper that lies", helper: func(p *partReply) { p.cut, p.err = 100, &source.Fault{What: source.Wrong} }, err: &source.Fault{What: source.Wrong}},
		{name: "lost", own: func(p *partReply) { p.cut, p.err = 100, errCut }, err: errCut},
		{name: "short", own: func(p *partReply) { p.cut, p.err = 100, io.EOF }, err: io.ErrUnexpectedEOF},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &partServer{data: data}
				way := s.conn(test.own)
				b := newPartedBody(t.Context(), way, source.Span{Offset: from, Length: length}, schedule.Parts{Len: 300, Ahead: test.ahead})
				helped, left := 0, 0
				help := func() {
					if test.helper == nil || b.lacks() == 0 {
						return
					}
					other := s.conn(test.helper)
					helped++
					b.help(other, func() { left++ })
				}
				var got []byte
				var err error
				for err == nil {
					if err = b.Wait(); err != nil {
						break
					}
					buf := make([]byte, 128)
					var n int
					n, err = b.Read(buf)
					got = append(got, buf[:n]...)
					help()
				}
				b.Close()
				if s.open != 0 {
					t.Errorf("%d replies are open, want all closed", s.open)
				}
				if left != helped {
					t.Errorf("%d helpers were told that they have nothing more to do, want %d", left, helped)
				}
				if test.err != nil {
					if err == io.EOF || source.WhatOf(err) != source.WhatOf(test.err) || errors.Is(test.err, io.ErrUnexpectedEOF) != errors.Is(err, io.ErrUnexpectedEOF) {
						t.Errorf("error = %v, want %v", err, test.err)
					}
					return
				}
				if err != io.EOF || !bytes.Equal(got, want) {
					t.Errorf("got %d bytes, %v, want the span's %d", len(got), err, len(want))
				}
				if !test.twice {
					s.asksOnce(t, from, length)
				}
			})
		})
	}
}

// A body that is closed early ends what helpers ask for.
func TestPartedBodyClosedEarly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &partServer{data: file(5000, 1)}
		way := s.conn(nil)
		ctx, cancel := context.WithCancel(t.Context())
		b := newPartedBody(ctx, way, source.Span{Length: 4000}, schedule.Parts{Len: 300})
		slow := sourcetest.NewConn(source.Peer{})
		slow.OnRange = func(ctx context.Context, _ []source.Span) (source.Body, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		var left atomic.Int64
		other := s.conn(nil)
		b.help(other, func() { left.Add(1) })
		go b.help(slow, func() { left.Add(1) })
		synctest.Wait()
		cancel()
		b.Close()
		synctest.Wait()
		b.help(other, func() { left.Add(1) })
		if left.Load() != 3 || b.lacks() != 0 {
			t.Errorf("%d of 3 helpers were told, %d bytes are lacking", left.Load(), b.lacks())
		}
	})
}
