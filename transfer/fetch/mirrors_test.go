package fetch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"malcolm/transfer/manifest"
	"malcolm/transfer/pace"
	"malcolm/transfer/source"
	"malcolm/transfer/source/described"
	"malcolm/transfer/source/sourcetest"
	"malcolm/transfer/vote"
	"malcolm/wire"
)

// at returns the address of a mirror.
func at(n int) source.Target {
	host := fmt.Sprintf("mirror%d.example", n)
	return source.Target{Host: host, Port: 443, URL: "https://" + host + "/data.bin?secret"}
}

// pausing has a connection answer each range after a time.
func pausing(after time.Duration) func(*sourcetest.Conn) {
	return func(c *sourcetest.Conn) {
		next := c.OnRange
		c.OnRange = func(ctx context.Context, spans []source.Span) (source.Body, error) {
			if err := pace.Sleep(ctx, after); err != nil {
				return nil, err
			}
			return next(ctx, spans)
		}
	}
}

func mirror(n int, data []byte, change func(*sourcetest.Conn)) *sourcetest.Source {
	return sourcetest.Mirror(at(n), [][]byte{data}, change)
}

// valuesOf returns the file of values of a file.
func valuesOf(data []byte) []byte {
	values, sum := hashes(data)
	f := wire.ValuesFile{Offer: wire.Offer{Name: "data.bin", Size: int64(len(data)), Checksum: sum, ModTime: time.Unix(1, 0)}}
	if values.Len() > 1 {
		f.Values = values.Bytes()
	}
	return f.Append(nil)
}

// withValues returns a mirror with a file of values beside it; nil: it has no
// such file.
func withValues(n int, data, values []byte) source.Source {
	return described.New(mirror(n, data, pausing(10*time.Millisecond)), at(n).Host, func(context.Context) ([]byte, error) {
		if values == nil {
			return nil, &source.Fault{What: source.BytesOnly, Words: "there is no such file"}
		}
		return bytes.Clone(values), nil
	})
}

// streamed asks sources for a file, and returns what it told.
func streamed(t *testing.T, b Ballot, sources ...source.Source) (got []byte, r *Result, told []Event, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	s := Open(ctx, Servers{Sources: sources}, Watch{Events: func(e Event) { told = append(told, e) }})
	defer s.Close()
	var out bytes.Buffer
	r, err = s.Stream(b, Stream{Out: &out})
	return out.Bytes(), r, told, err
}

func has[E Event](told []Event) (n int) {
	for _, e := range told {
		if _, ok := e.(E); ok {
			n++
		}
	}
	return n
}

// A mirror is connected beside the servers and asked nothing while they vote.
func TestMirrorWaitsForTheVote(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		data := file(40*chunk, 1)
		var asked, connected time.Time
		m := mirror(0, data, func(c *sourcetest.Conn) {
			if connected.IsZero() {
				connected = time.Now()
			}
			next := c.OnStat
			c.OnStat = func(ctx context.Context, ask source.Ask, f func(int64, int64)) (source.Offer, error) {
				if ask.Want == nil {
					t.Error("the mirror was asked what it has")
				}
				if asked.IsZero() {
					asked = time.Now()
				}
				return next(ctx, ask, f)
			}
			pausing(50 * time.Millisecond)(c)
		})
		server := sourcetest.Holder(place(1), data, func(c *sourcetest.Conn) {
			next := c.OnStat
			c.OnStat = func(ctx context.Context, ask source.Ask, f func(int64, int64)) (source.Offer, error) {
				time.Sleep(10 * time.Second)
				return next(ctx, ask, f)
			}
			pausing(50 * time.Millisecond)(c)
		})
		begun := time.Now()
		got, r, told, err := streamed(t, Ballot{}, m, server)
		if err != nil || !bytes.Equal(got, data) {
			t.Fatal(err)
		}
		if connected != begun || asked.Sub(begun) < 10*time.Second {
			t.Errorf("connected after %v and asked after %v", connected.Sub(begun), asked.Sub(begun))
		}
		if r.Servers[0].Bytes == 0 || r.Servers[1].Bytes == 0 {
			t.Errorf("%+v, want bytes of both", r.Servers)
		}
		for _, e := range told {
			if v, ok := e.(Voted); ok && (len(v.Result.Failed) > 0 || v.Result.Total != 1) {
				t.Errorf("the vote counts the mirror: %+v", v.Result)
			}
		}
	})
}

// A mirror that never connects holds up no vote, and no run.
func TestMirrorThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		data := file(4*chunk, 1)
		hung := mirror(0, data, nil)
		hung.Dial = func(ctx context.Context) (source.Conn, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		begun := time.Now()
		got, _, _, err := streamed(t, Ballot{}, hung, sourcetest.Holder(place(1), data, nil))
		if err != nil || !bytes.Equal(got, data) || time.Since(begun) > time.Second {
			t.Errorf("%d bytes, %v after %v", len(got), err, time.Since(begun))
		}
	})
}

// Dead servers and live mirrors: there is no majority, and nobody answered.
func TestMirrorsBesideDeadServers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		data := file(4*chunk, 1)
		dead := &sourcetest.Source{Place: place(1), Dial: func(context.Context) (source.Conn, error) {
			return nil, &source.Fault{What: source.NoPort, Words: "connection refused"}
		}}
		_, sum := hashes(data)
		for _, b := range []Ballot{{}, {Checksum: &sum, Whole: &Whole{Sum: sum}}} {
			_, _, _, err := streamed(t, b, mirror(0, data, nil), dead)
			e, ok := errors.AsType[*NobodyAnsweredError](err)
			if !ok || len(e.Servers) != 1 || e.Mirrors != 1 || KindOf(err) != KindNetwork {
				t.Errorf("%#v, want that the server did not answer", err)
			}
		}
	})
}

// A mirror with one wrong byte is named, and out; the copy is right.
func TestMirrorSendsWrongBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		data := file(40*chunk, 1)
		bad := bytes.Clone(data)
		for c := range 40 {
			bad[c*chunk+7]++
		}
		got, r, told, err := streamed(t, Ballot{}, mirror(0, bad, pausing(10*time.Millisecond)),
			sourcetest.Holder(place(1), data, pausing(10*time.Millisecond)))
		if err != nil || !bytes.Equal(got, data) {
			t.Fatal(err)
		}
		if has[ChunkRefused](told) != 1 || r.Servers[0].State != StateWrong {
			t.Errorf("%d refusals, and the mirror is %v", has[ChunkRefused](told), r.Servers[0].State)
		}
	})
}

// A mirror that dies comes back and sends on.
func TestMirrorDiesAndComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		data := file(40*chunk, 1)
		var dials atomic.Int64
		m := mirror(0, data, func(c *sourcetest.Conn) {
			n := dials.Add(1)
			var ranges atomic.Int64
			next := c.OnRange
			c.OnRange = func(ctx context.Context, spans []source.Span) (source.Body, error) {
				time.Sleep(100 * time.Millisecond)
				if n <= 2 && ranges.Add(1) > 1 {
					why := &source.Fault{What: source.Lost, Words: "reset"}
					c.End(why)
					return nil, why
				}
				return next(ctx, spans)
			}
		})
		got, r, told, err := streamed(t, Ballot{}, m, sourcetest.Holder(place(1), data, pausing(time.Second)))
		if err != nil || !bytes.Equal(got, data) {
			t.Fatal(err)
		}
		if has[Back](told) == 0 || r.Servers[0].State != StateServing {
			t.Errorf("the mirror is %v; told %v", r.Servers[0].State, told)
		}
	})
}

// A mirror has one range at a time on each of its two connections.
func TestMirrorHasTwoConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		data := file(80*chunk, 1)
		var dials atomic.Int64
		m := mirror(0, data, func(c *sourcetest.Conn) {
			dials.Add(1)
			pausing(200 * time.Millisecond)(c)
		})
		got, _, _, err := streamed(t, Ballot{}, m, sourcetest.Holder(place(1), data, pausing(3*time.Second)))
		if err != nil || !bytes.Equal(got, data) || dials.Load() != 2 {
			t.Errorf("%v, %d connections, want 2", err, dials.Load())
		}
	})
}

// Hundred mirrors, of which some die and some lie, and one server.
func TestHundredMirrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		data := file(90*chunk+5, 1)
		bad := bytes.Clone(data)
		for c := range 90 {
			bad[c*chunk]++
		}
		var sources []source.Source
		for i := range 100 {
			switch i % 10 {
			case 3:
				sources = append(sources, mirror(i, bad, pausing(100*time.Millisecond)))
			case 7:
				m := mirror(i, data, nil)
				m.Dial = func(context.Context) (source.Conn, error) {
					return nil, &source.Fault{What: source.NoHost, Words: "no such host"}
				}
				sources = append(sources, m)
			default:
				sources = append(sources, mirror(i, data, pausing(100*time.Millisecond)))
			}
		}
		got, _, _, err := streamed(t, Ballot{}, append(sources, sourcetest.Holder(place(1), data, pausing(100*time.Millisecond)))...)
		if err != nil || !bytes.Equal(got, data) {
			t.Error(err)
		}
	})
}

// Whatever mirrors send, what lands is what the server has.
func TestLyingMirrorsChangeNothing(t *testing.T) {
	for seed := range uint64(30) {
		synctest.Test(t, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 0))
			data := file(1+rng.IntN(30*chunk), seed)
			sources := []source.Source{sourcetest.Holder(place(0), data, pausing(time.Duration(rng.IntN(300))*time.Millisecond))}
			for i := range 1 + rng.IntN(5) {
				bad := bytes.Clone(data)
				for range 1 + rng.IntN(50) {
					bad[rng.IntN(len(bad))] ^= byte(1 << rng.IntN(8))
				}
				pause, fails := time.Duration(rng.IntN(300))*time.Millisecond, rng.IntN(3) == 0
				sources = append(sources, mirror(i, bad, func(c *sourcetest.Conn) {
					pausing(pause)(c)
					next := c.OnRange
					c.OnRange = func(ctx context.Context, spans []source.Span) (source.Body, error) {
						if fails {
							return sourcetest.NewBody(io.MultiReader(bytes.NewReader(bad[:min(100, len(bad))]))), nil
						}
						return next(ctx, spans)
					}
				}))
			}
			rng.Shuffle(len(sources), func(i, j int) { sources[i], sources[j] = sources[j], sources[i] })
			got, _, _, err := streamed(t, Ballot{}, sources...)
			if err != nil || !bytes.Equal(got, data) {
				t.Errorf("seed %d: %d bytes, %v", seed, len(got), err)
			}
		})
	}
}

// Without a server, mirrors vote by their files of values, one vote a host.
func TestMirrorsWithValues(t *testing.T) {
	data, other := file(20*chunk, 1), file(20*chunk, 2)
	_, sum := hashes(data)
	right, wrong := valuesOf(data), valuesOf(other)
	for name, test := range map[string]struct {
		mirrors []source.Source
		ballot  Ballot
		kind    Kind // when it fails
		votes   int  // when it succeeds
	}{
		"one host":                {mirrors: []source.Source{withValues(0, data, right)}, votes: 1},
		"two hosts":               {mirrors: []source.Source{withValues(0, data, right), withValues(1, data, right)}, votes: 2},
		"two hosts that disagree": {mirrors: []source.Source{withValues(0, data, right), withValues(1, other, wrong)}, kind: KindVote},
		"two against one":         {mirrors: []source.Source{withValues(0, data, right), withValues(1, other, wrong), withValues(2, data, right)}, votes: 2},
		"the checksum decides": {
			mirrors: []source.Source{withValues(0, other, wrong), withValues(1, data, right), withValues(2, other, wrong)},
			ballot:  Ballot{Checksum: &sum}, votes: 1,
		},
		"one without values":     {mirrors: []source.Source{withValues(0, data, nil), withValues(1, data, right)}, votes: 1},
		"too few for the quorum": {mirrors: []source.Source{withValues(0, data, right)}, ballot: Ballot{Quorum: 2}, kind: KindVote},
		"nobody has values":      {mirrors: []source.Source{withValues(0, data, nil), mirror(1, data, nil)}, kind: KindVote},
		"a broken file":          {mirrors: []source.Source{withValues(0, data, right[:len(right)-1]), withValues(1, data, right)}, votes: 1},
		"a page instead":         {mirrors: []source.Source{withValues(0, data, []byte("<html>")), withValues(1, data, right)}, votes: 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				got, r, told, err := streamed(t, test.ballot, test.mirrors...)
				if test.votes == 0 {
					if KindOf(err) != test.kind || len(got) > 0 {
						t.Errorf("%d bytes, %v, want an error of kind %d", len(got), err, test.kind)
					}
					return
				}
				if err != nil || !bytes.Equal(got, data) || r.Checksum != sum {
					t.Fatalf("%d bytes, %v", len(got), err)
				}
				several := test.votes > 1 || test.ballot.Checksum != nil // have values, all at one address
				if n := has[OneAddress](told); n > 0 != several {
					t.Errorf("told %d times that hosts with a vote have one address", n)
				}
				for _, e := range told {
					if v, ok := e.(Voted); ok {
						g := v.Result.Groups[v.Result.Winner]
						if g.Votes != test.votes || len(g.IDs) > 0 {
							t.Errorf("%+v, want %d votes and no ID", g, test.votes)
						}
					}
				}
			})
		})
	}
}

// Nothing that proves the bytes: nothing is fetched, and that is said.
func TestMirrorsWithoutProof(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		data := file(4*chunk, 1)
		m := mirror(0, data, func(c *sourcetest.Conn) {
			c.OnRange = func(context.Context, []source.Span) (source.Body, error) {
				t.Error("the mirror was asked for a range")
				return nil, errTest
			}
		})
		_, _, _, err := streamed(t, Ballot{}, m)
		if _, ok := errors.AsType[*NoProofError](err); !ok || KindOf(err) != KindVote {
			t.Errorf("%v, want that nothing proves it", err)
		}
	})
}

// With a checksum only, the whole is proved at the end.
func TestMirrorsWithChecksumOnly(t *testing.T) {
	data := file(20*chunk+3, 1)
	bad := bytes.Clone(data)
	bad[11*chunk]++
	for name, test := range map[string]struct {
		data   []byte
		sha256 bool
		right  bool
	}{
		"BLAKE3":         {data, false, true},
		"SHA-256":        {data, true, true},
		"BLAKE3, wrong":  {bad, false, false},
		"SHA-256, wrong": {bad, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				whole := wholeOf(data, test.sha256)
				dir := t.TempDir()
				s := Open(t.Context(), Servers{Sources: []source.Source{
					withValues(0, test.data, nil), withValues(1, test.data, nil), withValues(2, test.data[:chunk], nil),
				}}, Watch{})
				defer s.Close()
				r, err := s.Get(Ballot{Whole: &whole}, Output{Dir: dir})
				_, sum := hashes(data)
				if test.right {
					if err != nil || r.Checksum != sum || !bytes.Equal(read(t, filepath.Join(dir, "data.bin")), data) {
						t.Errorf("%+v, %v", r, err)
					}
					return
				}
				if _, ok := errors.AsType[*UnprovedError](err); !ok || KindOf(err) != KindIntegrity || r.Path != "" {
					t.Errorf("%+v, %v, want that it is not what was asked for", r, err)
				}
			})
		})
	}
}

// What else was asked for is checked beside the checksum that proves the file.
func TestProvedAtTheEndAndRead(t *testing.T) {
	data := file(20*chunk+3, 1)
	right, wrong := sha256Sum(data), sha256Sum(nil)
	for name, test := range map[string]struct {
		ofSHA256 bool
		disk     Disk
		reads    int
		fails    bool
	}{
		"BLAKE3":                 {false, Disk{}, 0, false},
		"BLAKE3, recheck":        {false, Disk{Recheck: true}, 1, false},
		"BLAKE3, SHA-256":        {false, Disk{SHA256: &right}, 1, false},
		"BLAKE3, wrong SHA-256":  {false, Disk{SHA256: &wrong}, 1, true},
		"SHA-256, recheck":       {true, Disk{Recheck: true, SHA256: &right}, 2, false},
		"SHA-256, wrong SHA-256": {true, Disk{SHA256: &wrong}, 2, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var told []Event
				s := Open(t.Context(), Servers{Sources: []source.Source{withValues(0, data, nil)}},
					Watch{Events: func(e Event) { told = append(told, e) }})
				defer s.Close()
				whole := wholeOf(data, test.ofSHA256)
				r, err := s.Get(Ballot{Whole: &whole}, Output{Dir: t.TempDir(), Disk: test.disk})
				if e, ok := errors.AsType[*FinishedError](err); ok != test.fails || ok && *e.SHA256 != right || !ok && err != nil {
					t.Errorf("%+v, %v", r, err)
				}
				if n := has[ReadingBack](told); n != test.reads {
					t.Errorf("read %d times from the disk, want %d", n, test.reads)
				}
			})
		})
	}
}

func wholeOf(data []byte, ofSHA256 bool) Whole {
	if ofSHA256 {
		return Whole{Sum: sha256Sum(data), SHA256: true}
	}
	_, sum := hashes(data)
	return Whole{Sum: sum}
}

// A run that is resumed takes what is there, and proves all of it.
func TestResumeProvedAtTheEnd(t *testing.T) {
	for _, ofSHA256 := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			data := file(40*chunk, 1)
			whole := wholeOf(data, ofSHA256)
			dir := t.TempDir()
			ctx, cancel := context.WithCancel(t.Context())
			s := Open(ctx, Servers{Sources: []source.Source{withValues(0, data, nil)}}, Watch{})
			go func() {
				time.Sleep(100 * time.Millisecond)
				cancel()
			}()
			r, err := s.Get(Ballot{Whole: &whole}, Output{Dir: dir})
			s.Close()
			if err == nil || r.Fetched == 0 {
				t.Fatalf("%+v, %v, want a run that is cut", r, err)
			}
			s = Open(t.Context(), Servers{Sources: []source.Source{withValues(0, data, nil)}}, Watch{})
			defer s.Close()
			again, err := s.Get(Ballot{Whole: &whole}, Output{Dir: dir, Resume: true, Disk: Disk{Recheck: true}})
			if err != nil || again.Resumed == 0 || again.Fetched+r.Fetched > int64(len(data))+4*chunk {
				t.Errorf("%+v, %v, want it resumed", again, err)
			}
			if !bytes.Equal(read(t, filepath.Join(dir, "data.bin")), data) {
				t.Error("the file differs")
			}
		})
	}
}

// What an unproved run left is never taken for checked.
func TestUnprovedLeftoverIsNotTrusted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		data := file(20*chunk, 1)
		bad := bytes.Clone(data)
		for c := range 20 {
			bad[c*chunk]++
		}
		whole := wholeOf(data, false)
		dir := t.TempDir()
		s := Open(t.Context(), Servers{Sources: []source.Source{withValues(0, bad, nil)}}, Watch{})
		_, err := s.Get(Ballot{Whole: &whole}, Output{Dir: dir})
		s.Close()
		if _, ok := errors.AsType[*UnprovedError](err); !ok {
			t.Fatal(err)
		}
		s = Open(t.Context(), Servers{Sources: []source.Source{withValues(0, data, valuesOf(data))}}, Watch{})
		defer s.Close()
		r, err := s.Get(Ballot{}, Output{Dir: dir, Resume: true})
		if err != nil || r.Resumed > 0 || !bytes.Equal(read(t, filepath.Join(dir, "data.bin")), data) {
			t.Errorf("%+v, %v", r, err)
		}
	})
}

// Mirrors with equal halves of sizes decide nothing.
func TestSizesWithoutMajority(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		data := file(4*chunk, 1)
		whole := wholeOf(data, false)
		_, _, _, err := streamed(t, Ballot{Whole: &whole}, mirror(0, data, nil), mirror(1, data[:chunk], nil))
		if e, ok := errors.AsType[*UndecidedError](err); !ok || e.Result.Reason != vote.NoMajority {
			t.Errorf("%v, want no majority", err)
		}
	})
}

// Files of a directory come from mirrors; what one lacks, others send.
func TestMirrorsOfTree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		files := [][]byte{file(3*chunk, 1), file(100, 2), file(2*chunk+1, 3)}
		var entries []wire.Entry
		var values []byte
		for i, data := range files {
			v, sum := hashes(data)
			if v.Len() > 1 {
				values = append(values, v.Bytes()...)
			}
			entries = append(entries, wire.Entry{Path: fmt.Sprintf("d/%d", i), Size: int64(len(data)), Checksum: sum})
		}
		listing, err := wire.AppendListing(nil, entries)
		if err != nil {
			t.Fatal(err)
		}
		f := wire.ValuesFile{
			Offer:   wire.Offer{Kind: wire.KindTree, Name: "tree", Size: int64(len(listing)), Checksum: manifest.Sum(listing)},
			Listing: listing, Values: values,
		}
		path := func(ask source.Ask) {
			if ask.Want == nil || ask.Want.Path == nil {
				return
			}
			for i := range entries {
				if p, size, ok := ask.Want.Path(entries[i].Checksum); !ok || p != entries[i].Path || size != entries[i].Size {
					t.Errorf("%q, %d, %v: want %q", p, size, ok, entries[i].Path)
				}
			}
		}
		tree := func(n int, files [][]byte) *sourcetest.Source {
			return sourcetest.Mirror(at(n), append([][]byte{{1}}, files...), func(c *sourcetest.Conn) {
				pausing(20 * time.Millisecond)(c)
				next := c.OnStat
				c.OnStat = func(ctx context.Context, ask source.Ask, f func(int64, int64)) (source.Offer, error) {
					path(ask)
					return next(ctx, ask, f)
				}
			})
		}
		encoded := f.Append(nil)
		first := described.New(tree(0, files[:2]), "mirror0.example", func(context.Context) ([]byte, error) { return encoded, nil })
		dir := t.TempDir()
		s := Open(t.Context(), Servers{Sources: []source.Source{first, tree(1, files)}}, Watch{})
		defer s.Close()
		r, err := s.Get(Ballot{}, Output{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		for i, data := range files {
			if !bytes.Equal(read(t, filepath.Join(dir, "tree", "d", fmt.Sprint(i))), data) {
				t.Errorf("file %d differs", i)
			}
		}
		if !slices.ContainsFunc(r.Servers, func(s ServerReport) bool { return s.Target.IsMirror() && s.Bytes > 0 }) {
			t.Errorf("%+v", r.Servers)
		}
	})
}

// A session of mirrors copies another file, too.
func TestMirrorsOfSeveralFiles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		data := file(10*chunk, 1)
		s := Open(t.Context(), Servers{Sources: []source.Source{
			mirror(0, data, pausing(10*time.Millisecond)), sourcetest.Holder(place(1), data, pausing(10*time.Millisecond)),
		}}, Watch{})
		defer s.Close()
		for range 3 {
			if r := fetchAll(t, s, data); r.Servers[0].State != StateServing {
				t.Errorf("the mirror is %v", r.Servers[0].State)
			}
		}
	})
}

// A file that is there is compared by the values of mirrors, and mended from
// them.
func TestMirrorsVerifyAndRepair(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		data := file(10*chunk, 1)
		path := filepath.Join(t.TempDir(), "data.bin")
		bad := bytes.Clone(data)
		bad[3*chunk]++
		write(t, path, bad)
		s := Open(t.Context(), Servers{Sources: []source.Source{withValues(0, data, valuesOf(data)), mirror(1, data, nil)}}, Watch{})
		defer s.Close()
		if r, err := s.Verify(Ballot{}, Local{Path: path}); r == nil || len(r.Bad) != 1 {
			t.Errorf("%+v, %v, want one wrong chunk", r, err)
		}
		if r, err := s.Repair(Ballot{}, Local{Path: path}, Mend{}); err != nil || r.Fetched != chunk || !bytes.Equal(read(t, path), data) {
			t.Errorf("%+v, %v, want one chunk fetched", r, err)
		}
		r, err := s.Info(Ballot{})
		if err != nil || len(r.Servers) != 2 || !r.Servers[0].Offered || r.Servers[1].Offered {
			t.Errorf("%+v, %v", r, err)
		}
	})
}
