package fetch

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/netip"
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"malcolm/transfer/source"
	"malcolm/transfer/source/sourcetest"
	"malcolm/wire"
)

func place(n int) source.Target {
	return source.Target{Host: "host" + string(rune('a'+n)), Port: uint16(9001 + n)}
}

// A session copies several files over the same connections.
func TestSessionOutlivesADownload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		data := file(5*chunk+7, 1)
		var dialled atomic.Int64
		var sources []source.Source
		for i := range 3 {
			s := sourcetest.Holder(place(i), data, func(*sourcetest.Conn) { dialled.Add(1) })
			sources = append(sources, s)
		}
		s := Open(context.Background(), Servers{Sources: sources}, Watch{Map: true})
		defer s.Close()
		dir := t.TempDir()
		for _, name := range []string{"one", "two"} {
			r, err := s.Get(Ballot{}, Output{Dir: dir, Name: name})
			if err != nil || r.Fetched != int64(len(data)) {
				t.Fatalf("%s: %+v, %v", name, r, err)
			}
			if !bytes.Equal(read(t, filepath.Join(dir, name)), data) {
				t.Errorf("%s differs", name)
			}
		}
		var out bytes.Buffer
		if _, err := s.Stream(Ballot{}, Stream{Out: &out}); err != nil || !bytes.Equal(out.Bytes(), data) {
			t.Errorf("stream: %v", err)
		}
		if r, err := s.Verify(Ballot{}, Local{Path: filepath.Join(dir, "two")}); err != nil || !r.Right() {
			t.Errorf("verify: %+v, %v", r, err)
		}
		if n := dialled.Load(); n != 3 {
			t.Errorf("dialled %d times, want once each", n)
		}
		for _, v := range s.roster.servers {
			if len(v.conns.list) != 1 || v.conns.list[0].fetches != 0 {
				t.Errorf("server %d: connections %+v, want one at rest", v.index, v.conns.list)
			}
		}
	})
}

// A session goes on after a run that failed.
func TestSessionOutlivesAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		data := file(5*chunk+7, 1)
		var dialled atomic.Int64
		var sources []source.Source
		for i := range 3 {
			sources = append(sources, sourcetest.Holder(place(i), data, func(*sourcetest.Conn) { dialled.Add(1) }))
		}
		s := Open(context.Background(), Servers{Sources: sources}, Watch{})
		defer s.Close()
		reader, writer := io.Pipe()
		reader.CloseWithError(errTest)
		if _, err := s.Stream(Ballot{}, Stream{Out: writer}); !errors.Is(err, errTest) {
			t.Fatalf("error = %v, want that of the output", err)
		}
		if r, err := s.Info(Ballot{}); err != nil || len(r.Vote.Answered) != 3 {
			t.Errorf("asked behind it: %+v, %v", r, err)
		}
		var out bytes.Buffer
		if _, err := s.Stream(Ballot{}, Stream{Out: &out}); err != nil || !bytes.Equal(out.Bytes(), data) {
			t.Errorf("the run behind it: %d bytes, %v", out.Len(), err)
		}
		if n := dialled.Load(); n != 3 {
			t.Errorf("dialled %d times, want once each", n)
		}
	})
}

// Servers whose addresses only a proxy knows are not taken for one.
func TestAddressesAreNotKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		data := file(3*chunk, 1)
		var sources []source.Source
		for i := range 2 {
			sources = append(sources, sourcetest.Holder(place(i), data, func(c *sourcetest.Conn) { c.Is.Addr = netip.AddrPort{} }))
		}
		s := Open(context.Background(), Servers{Sources: sources}, Watch{Events: func(e Event) {
			switch e.(type) {
			case Duplicate, OneAddress:
				t.Errorf("told of %T %+v", e, e)
			}
		}})
		defer s.Close()
		if _, err := s.Stream(Ballot{}, Stream{Out: io.Discard}); err != nil {
			t.Error(err)
		}
	})
}

// A mirror never votes, whatever it holds, and its bytes are checked like
// anyone's.
func TestMirrorHasNoVote(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		data, other := file(6*chunk, 1), file(6*chunk, 2)
		var served [3]atomic.Int64
		holder := func(n int, data []byte) *sourcetest.Source {
			change := func(c *sourcetest.Conn) {
				next := c.OnRange
				c.OnRange = func(ctx context.Context, spans []source.Span) (source.Body, error) {
					time.Sleep(100 * time.Millisecond)
					served[n].Add(spans[0].Length)
					return next(ctx, spans)
				}
			}
			if n > 0 {
				return sourcetest.Mirror(place(n), [][]byte{data}, change)
			}
			return sourcetest.Holder(place(n), data, change)
		}
		honest, mirror, liar := holder(0, data), holder(1, data), holder(2, other)
		s := Open(context.Background(), Servers{Sources: []source.Source{mirror, liar, honest}}, Watch{})
		defer s.Close()
		var out bytes.Buffer
		r, err := s.Stream(Ballot{}, Stream{Out: &out})
		if err != nil || !bytes.Equal(out.Bytes(), data) {
			t.Fatalf("%+v, %v", r, err)
		}
		if served[1].Load() == 0 {
			t.Error("the mirror served nothing")
		}
		if got := r.Servers[1].State; got != StateWrong {
			t.Errorf("the mirror with other bytes is %v, want it refused", got)
		}
	})
}

// A mirror's values of a file are neither taken nor asked for: only its own
// checksum proves them.
func TestMirrorHasNoValues(t *testing.T) {
	for _, inline := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			data, other := file(6*chunk, 1), file(6*chunk, 2)
			wrong, _ := hashes(other)
			mirror := sourcetest.Holder(place(0), data, func(c *sourcetest.Conn) {
				stat := c.OnStat
				c.OnStat = func(ctx context.Context, ask source.Ask, indexing func(done, total int64)) (source.Offer, error) {
					o, err := stat(ctx, ask, indexing)
					if o.Values = (wire.Values{}); inline {
						o.Values = wrong
					}
					return o, err
				}
				c.OnValues = func(context.Context, source.Offer, func(int)) (wire.Values, error) {
					t.Error("the mirror was asked for values")
					return wrong, nil
				}
			})
			mirror.Mirror = true
			honest := sourcetest.Holder(place(1), data, func(c *sourcetest.Conn) {
				stat := c.OnStat
				c.OnStat = func(ctx context.Context, ask source.Ask, indexing func(done, total int64)) (source.Offer, error) {
					time.Sleep(time.Second) // the mirror is first
					o, err := stat(ctx, ask, indexing)
					o.Values = wire.Values{}
					return o, err
				}
			})
			s := Open(context.Background(), Servers{Sources: []source.Source{mirror, honest}}, Watch{})
			defer s.Close()
			var out bytes.Buffer
			r, err := s.Stream(Ballot{}, Stream{Out: &out})
			if err != nil || !bytes.Equal(out.Bytes(), data) {
				t.Errorf("%+v, %v", r, err)
			}
		})
	}
}

// Mirrors alone decide nothing.
func TestMirrorsAloneDecideNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mirror := sourcetest.Holder(place(0), file(chunk, 1), nil)
		mirror.Mirror = true
		s := Open(context.Background(), Servers{Sources: []source.Source{mirror}}, Watch{})
		defer s.Close()
		_, err := s.Info(Ballot{})
		if _, ok := errors.AsType[*NoProofError](err); !ok {
			t.Errorf("error = %v, want that nothing proves their bytes", err)
		}
	})
}
