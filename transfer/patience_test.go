package transfer

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"malcolm/transfer/fetch"
	"malcolm/transfer/hostile"
	"malcolm/transfer/localfile"
	"malcolm/transfer/serve"
	"malcolm/transfer/source"

	"malcolm/transfer/admission"
	"malcolm/transport"
	"malcolm/wire"
)

// A reader may pause for longer than the patience and the server's idle
// timeout. The server may restart meanwhile.
func TestReaderPausesBeyondTheTimeouts(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name     string
		patience time.Duration
		pause    func(s *server)
	}{
		{"longer than the server's idle limit", 0, func(*server) { time.Sleep(40 * time.Minute) }},
		{"with a restart in the middle", time.Minute, func(s *server) {
			time.Sleep(3 * time.Minute)
			s.kill()
			time.Sleep(2 * time.Minute)
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) {
				data, out := file(12*chunk, 1), &sink{}
				s := w.holders(data)[0]
				out.write = func([]byte) error {
					if out.Len() == 4*chunk {
						test.pause(s)
					}
					return nil
				}
				o := w.stream(getConfig{Targets: s.targets, Patience: test.patience}, out, 2*chunk)
				streamed(t, o, out, data)
				none[fetch.Lost](o)
				none[fetch.Waiting](o)
			})
		})
	}
}

// The check of a part file may take longer than the server's idle timeout,
// whether something is missing or not.
func TestResumeChecksForHours(t *testing.T) {
	withoutRace(t)
	t.Parallel()
	for _, whole := range []bool{false, true} {
		bubble(t, func(t *testing.T, w *world) {
			data := file(64*chunk, 1)
			targets := w.holders(data)[0].targets
			var dir string
			if whole {
				ctx, cancel := context.WithCancelCause(context.Background())
				dir = w.getUnder(ctx, getConfig{Targets: targets, Recheck: true, Events: func(e fetch.Event) {
					if _, ok := e.(fetch.ReadingBack); ok {
						cancel(errInterrupted)
					}
				}}).dir
			} else {
				dir = w.interrupted(0.9, getConfig{Targets: targets}).dir
			}
			o := w.get(getConfig{
				Targets: targets, Dir: dir, Resume: true,
				open: plainDir(func([]byte, int64) error { time.Sleep(45 * time.Second); return nil }),
			})
			o.has("data.bin", data)
			none[fetch.Lost](o)
			if o.Resumed == 0 || whole != (o.Fetched == 0) || o.Elapsed < admission.DefaultIdleTime {
				t.Errorf("kept %d bytes, fetched %d in %v, want a check longer than %v", o.Resumed, o.Fetched, o.Elapsed, admission.DefaultIdleTime)
			}
		})
	}
}

// The comparison of a local file may take as long. What differs is fetched
// after it.
func TestRepairComparesForHours(t *testing.T) {
	withoutRace(t)
	t.Parallel()
	bubble(t, func(t *testing.T, w *world) {
		data := file(40*chunk, 1)
		s := w.holders(data)[0]
		l := w.localFile(corrupted(t, data, 7))
		begun := time.Now()
		var compared atomic.Bool
		o := l.repair(context.Background(), getConfig{
			Targets: s.targets,
			read: func(f localfile.File) localfile.File {
				return brokenFile{f, func(p []byte, off int64) (int, error) {
					if !compared.Load() {
						time.Sleep(2 * time.Minute)
					}
					return f.ReadAt(p, off)
				}}
			},
		}, func() {
			compared.Store(true)
			if took := time.Since(begun); took < admission.DefaultIdleTime {
				t.Errorf("the comparison took %v, want longer than %v", took, admission.DefaultIdleTime)
			}
		})
		o.has(localName, data)
	})
}

// A chunk may take longer than the patience. Slow bytes are not silence, and
// short losses do not add up.
func TestChunkThatTakesLongerThanPatience(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		data := file(4*chunk, 1)
		s := w.holders(data)[0]
		slow(16<<10, s)
		time.AfterFunc(30*time.Second, s.kill)
		// A second connection may just be open, and need not be lost
		// then.
		o := w.get(getConfig{Targets: s.targets, Patience: 15 * time.Second, Connections: 1})
		o.has("data.bin", data)
		only[fetch.Lost](o)
	})
}

// The values of a file of at most one chunk are not asked for.
func TestSmallFileWithoutValues(t *testing.T) {
	for _, size := range []int{0, 1, chunk} {
		data := file(size, 1)
		bubble(t, func(t *testing.T, w *world) {
			m := w.malicious(data, 0, nil)
			targets := []source.Target{m.Target}
			if r, err := w.localFile(data).verify(getConfig{Targets: targets}); err != nil || !r.Right() {
				t.Errorf("verify: %+v, %v", r, err)
			}
			if o := w.localFile(file(5, 2)).repair(context.Background(), getConfig{Targets: targets}, nil); o.err != nil {
				t.Errorf("repair: %v", o.err)
			}
			w.get(getConfig{Targets: targets, Recheck: true}).has("data.bin", data)
			dir := t.TempDir()
			write(t, dir, "data.bin.part", []byte("x"))
			if _, err := DryRun(context.Background(), getConfig{Targets: targets, Dir: dir, Resume: true, Network: w}); err != nil {
				t.Errorf("dry run: %v", err)
			}
			if n := m.Lists.Load(); n > 0 {
				t.Errorf("%d bytes: asked %d times for what is known", size, n)
			}
		})
	}
}

// A server that opens no stream for the values, or trickles them, uses up
// patience.
func TestValuesHaveAnEnd(t *testing.T) {
	t.Parallel()
	noStream := func(m *hostile.Server) {
		withoutInline(m)
		m.Streams = 1
		m.OnStat = func(st transport.Stream, _ int) {
			m.SendOffer(st, m.Offer)
			m.Wait()
		}
	}
	trickle := func(every time.Duration) func(m *hostile.Server) {
		return func(m *hostile.Server) {
			withoutInline(m)
			m.OnValues = func(st transport.Stream, _ wire.ValuesRequest) {
				st.Write(hostile.Header(wire.StatusOK, uint64(len(m.Values.Bytes()))))
				for _, b := range m.Values.Bytes() {
					if _, err := st.Write([]byte{b}); err != nil {
						return
					}
					time.Sleep(every)
				}
			}
		}
	}
	for _, test := range []struct {
		name string
		bad  func(m *hostile.Server)
		min  time.Duration
		max  time.Duration
	}{
		{"no stream", noStream, 2 * time.Minute, 2*time.Minute + 5*time.Second},
		{"a byte every second", trickle(time.Second), 2 * time.Minute, 4 * time.Minute},
		{"a byte every 19 seconds", trickle(19 * time.Second), 2 * time.Minute, 4 * time.Minute},
	} {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) {
				m := w.malicious(file(100*chunk, 1), 0, test.bad)
				o := w.get(getConfig{Targets: []source.Target{m.Target}, Patience: 2 * time.Minute})
				if fetch.KindOf(o.err) != fetch.KindNetwork || o.Elapsed < test.min || o.Elapsed > test.max {
					t.Errorf("error %v after %v, want the end of patience between %v and %v", o.err, o.Elapsed, test.min, test.max)
				}
				if len(events[fetch.Silent](o))+len(events[fetch.Waiting](o)) == 0 {
					t.Error("nothing was said meanwhile")
				}
			})
		})
	}
}

// A lost server that comes back as something else, which is not tried again, is
// not waited for.
func TestServerThatReturnsAsAnotherIsNotAwaited(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		conns := make(chan transport.Conn, 10)
		m := w.malicious(file(3*chunk, 1), 0, func(m *hostile.Server) {
			m.OnConn = func(c transport.Conn) { conns <- c }
			m.OnStat = func(st transport.Stream, n int) {
				if n == 0 {
					m.SendOffer(st, m.Offer)
					return
				}
				st.Write([]byte{0, 1, 2, 3, 4, 5, 6, 7}) // no offer
			}
			m.OnRanges = func(transport.Stream, []wire.Span) {
				select {
				case c := <-conns:
					c.Close(uint64(wire.CloseStopping), "")
				default:
				}
			}
		})
		o := w.get(getConfig{Targets: []source.Target{m.Target}, Patience: 10 * time.Minute})
		fails[*fetch.NoServerLeftError](o, fetch.KindIntegrity)
		named(t, o, m, fetch.StateWrong)
		if o.Elapsed > 10*time.Second || m.Stats.Load() != 2 {
			t.Errorf("waited %v, %d stats, want no waiting for whom nobody tries", o.Elapsed, m.Stats.Load())
		}
	})
}

// Further connections that open and die are opened less and less often.
func TestFlappingConnections(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, w *world) {
		data := file(40*chunk, 1)
		var conns atomic.Int64
		m := w.malicious(data, 0, func(m *hostile.Server) {
			m.OnConn = func(c transport.Conn) {
				if conns.Add(1) > 1 {
					time.AfterFunc(60*time.Millisecond, func() { c.Close(uint64(wire.CloseLimit), "") })
				}
			}
		})
		w.link(m.Target).set(func(l *link) { l.rate, l.delay = 200<<10, 10*time.Millisecond })
		o := w.get(getConfig{Targets: []source.Target{m.Target}, Connections: 2})
		o.has("data.bin", data)
		if n := conns.Load(); n < 3 || n > 7 {
			t.Errorf("%d connections in %v, want pauses that double", n, o.Elapsed)
		}
	})
}

// Two hosts share a home directory, and so an ID. One sends wrong bytes and
// dies in the middle of a chunk. The other is not blamed.
func TestBlameOfOneServer(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		data := file(6*chunk, 1)
		bad := w.serve(newSource(data), 0, 1, serve.Config{})
		good := w.serve(newSource(data), 0, 1, serve.Config{})
		slow(60<<10, bad, good)
		o := w.get(getConfig{Targets: targetsOf(bad, good), Patience: 2 * time.Minute, Events: func(e fetch.Event) {
			if _, ok := e.(fetch.Started); ok {
				bad.src.flips()
				time.AfterFunc(2500*time.Millisecond, func() { bad.links[0].set(func(l *link) { l.hole = true }) })
			}
		}})
		o.has("data.bin", data)
		none[fetch.ChunkRefused](o)
		if r := o.report(good.targets[0]); r.State != fetch.StateServing || r.BadChunks > 0 {
			t.Errorf("report of the good one = %+v", r)
		}
		if _, eaten := bad.links[0].dropped(); eaten == 0 {
			t.Error("the bad one did not die")
		}
	})
}

// A further connection asks for a range at once, without a question what is
// offered. If that is refused, whatever the reason, the connection is given up,
// and the next one is tried later and later. The server keeps its first one.
func TestFurtherConnectionRefused(t *testing.T) {
	withoutRace(t)
	t.Parallel()
	for _, status := range []wire.Status{wire.StatusChanged, wire.StatusBusy, wire.StatusUnsupported} {
		t.Run(status.String(), func(t *testing.T) {
			overEither(t, func(t *testing.T, w *world) {
				data := file(40*chunk, 1)
				var refused atomic.Int64
				m := w.malicious(data, 0, func(m *hostile.Server) {
					m.OnRanges = func(st transport.Stream, spans []wire.Span) {
						if !st.First() {
							m.SendRanges(st, spans)
							return
						}
						refused.Add(1)
						hostile.Refuse(st, status, 0, "")
					}
				})
				w.link(m.Target).set(func(l *link) { l.rate, l.delay = 200<<10, 10*time.Millisecond })
				o := w.get(getConfig{Targets: []source.Target{m.Target}, Connections: 2})
				o.has("data.bin", data)
				none[fetch.Lost](o)
				if n := refused.Load(); n < 2 || n > 6 {
					t.Errorf("%d further connections in %v, want pauses that double", n, o.Elapsed)
				}
				if n := m.Stats.Load(); n != 1 {
					t.Errorf("%d stats, want that of the first connection", n)
				}
				told := 0
				for _, d := range events[fetch.Decision](o) {
					if d.What == fetch.NotGrown && d.Err != nil && d.Pause > 0 {
						told++
					}
				}
				if told != int(refused.Load()) {
					t.Errorf("told %d times of %d refusals", told, refused.Load())
				}
			})
		})
	}
}

// At the lowest limit of the rate no server takes its client for a stalled one.
func TestLowestLimit(t *testing.T) {
	withoutRace(t)
	t.Parallel()
	bubble(t, func(t *testing.T, w *world) {
		data := file(4*chunk, 1)
		servers := w.holders(data, data, data, data)
		o := w.get(getConfig{Targets: targetsOf(servers...), Limit: 1 << 10})
		o.has("data.bin", data)
		none[fetch.Lost](o)
		for _, d := range events[fetch.Decision](o) {
			if d.What == fetch.Retried {
				t.Errorf("%+v", d)
			}
		}
	})
}
