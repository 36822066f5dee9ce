package transfer

import (
	"math"
	"slices"
	"sync"
	"testing"
	"time"

	"malcolm/transfer/fetch"
	"malcolm/transfer/hostile"
	"malcolm/transfer/source"
	"malcolm/transport"
	"malcolm/wire"
)

// longestWait is the longest wait that a refusal can ask for: 49 days.
const longestWait = wire.MaxWait * time.Millisecond

// A spanLog is what a server was asked for, in order.
type spanLog struct {
	mu    sync.Mutex
	spans []wire.Span
}

// add returns how many spans came before.
func (l *spanLog) add(spans []wire.Span) (before int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	before = len(l.spans)
	l.spans = append(l.spans, spans...)
	return before
}

func (l *spanLog) all() []wire.Span {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.spans)
}

// failsInTheMiddle makes a server fail the first span that it is asked for
// after half of its bytes, with a refusal.
func failsInTheMiddle(l *spanLog, r wire.Refusal) func(m *hostile.Server) {
	return func(m *hostile.Server) {
		m.OnRanges = func(st transport.Stream, spans []wire.Span) {
			if l.add(spans) > 0 {
				m.SendRanges(st, spans)
				return
			}
			hostile.SendBytes(st, m.Bytes(spans)[:spans[0].Length/2])
			st.Write(wire.FailedSpan{Refusal: r}.Append(nil))
		}
	}
}

// A server fails a span in the middle of a chunk and serves on. Unless its file
// changed, the bytes that came are kept, and it goes on behind them after the
// wait that it asks for.
func TestFailedSpanGoesOn(t *testing.T) {
	t.Parallel()
	data := file(4*chunk, 1)
	for _, test := range []struct {
		name    string
		refusal wire.Refusal
		pause   time.Duration
	}{
		{"unreadable", wire.Refusal{Status: wire.StatusUnreadable}, 0},
		{"stopping", wire.Refusal{Status: wire.StatusStopping}, 0},
		{"busy", wire.Refusal{Status: wire.StatusBusy, Text: "\x1b[2J"}, 0},
		{"busy for a while", wire.Refusal{Status: wire.StatusBusy, Wait: 20 * time.Second}, 20 * time.Second},
		{"busy for 49 days", wire.Refusal{Status: wire.StatusBusy, Wait: longestWait}, time.Minute},
		{"unknown status", wire.Refusal{Status: math.MaxUint64 >> 2}, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			overEither(t, func(t *testing.T, w *world) {
				var log spanLog
				m := w.malicious(data, 0, failsInTheMiddle(&log, test.refusal))
				o := w.get(getConfig{Targets: []source.Target{m.Target}, Connections: 1})
				o.has("data.bin", data)
				none[fetch.Lost](o)
				if o.Duplicate+o.Refetched != 0 || o.Fetched != o.Size {
					t.Errorf("%d bytes came twice, %d were fetched again", o.Duplicate, o.Refetched)
				}
				asked := log.all()
				if failed := asked[0].Offset + asked[0].Length/2; !slices.ContainsFunc(asked[1:], func(s wire.Span) bool { return s.Offset == failed }) {
					t.Errorf("asked for %+v, want that it goes on at %d", asked, failed)
				}
				if o.Elapsed < test.pause || o.Elapsed > test.pause+5*time.Second {
					t.Errorf("took %v, want a pause of %v", o.Elapsed, test.pause)
				}
				if got, _ := only[fetch.Decision](o); got.What != fetch.Retried || got.Target != m.Target || !as[*wire.Refusal](got.Err) {
					t.Errorf("decision %+v, want that it is asked again later", got)
				}
			})
		})
	}
}

// A server whose span fails is not waited for while others have the bytes.
func TestFailedSpanIsFetchedFromOthers(t *testing.T) {
	withoutRace(t)
	t.Parallel()
	data := file(6*chunk+5, 1)
	for _, test := range []struct {
		status wire.Status
		state  fetch.State
	}{
		{wire.StatusUnreadable, fetch.StateServing},
		{wire.StatusStopping, fetch.StateServing},
		{wire.StatusBusy, fetch.StateServing},
		{77, fetch.StateServing},
		{wire.StatusChanged, fetch.StateChanged},
		{wire.StatusOutOfRange, fetch.StateWrong},
		{wire.StatusMalformed, fetch.StateWrong},
		{wire.StatusNotFound, fetch.StateWrong},
		{wire.StatusDenied, fetch.StateWrong},
	} {
		t.Run(test.status.String(), func(t *testing.T) {
			overEither(t, func(t *testing.T, w *world) {
				var log spanLog
				m := w.malicious(data, 0, failsInTheMiddle(&log, wire.Refusal{Status: test.status, Wait: longestWait}))
				honest := w.holders(data)[0]
				o := w.get(getConfig{Targets: append(targetsOf(honest), m.Target)})
				o.has("data.bin", data)
				if len(log.all()) == 0 {
					t.Fatal("nothing was asked of it")
				}
				if o.Elapsed > 3*time.Second {
					t.Errorf("took %v, want no waiting for 49 days", o.Elapsed)
				}
				if r := o.report(m.Target); r.State != test.state || r.BadChunks > 0 {
					t.Errorf("report = %+v, want %s", r, test.state)
				}
				if r := o.report(honest.targets[0]); r.State != fetch.StateServing {
					t.Errorf("report of the honest one = %+v, want serving", r)
				}
			})
		})
	}
}

// A server that asks for a wait of 49 days in reply to open or stat is tried
// again after a minute, or before patience ends.
func TestRefusalFor49Days(t *testing.T) {
	t.Parallel()
	data := file(2*chunk, 1)
	refuse := func(st transport.Stream) { hostile.Refuse(st, wire.StatusBusy, longestWait, "") }
	for _, inOpen := range []bool{false, true} {
		for _, patience := range []time.Duration{20 * time.Second, 10 * time.Minute} {
			overBoth(t, func(t *testing.T, w *world) {
				m := w.malicious(data, 0, func(m *hostile.Server) {
					m.OnOpen = func(st transport.Stream, _ wire.Open) bool {
						if inOpen && m.Opens.Load() == 1 {
							refuse(st)
							return false
						}
						m.SendOpened(st)
						return true
					}
					m.OnStat = func(st transport.Stream, n int) {
						if !inOpen && n == 0 {
							refuse(st)
						} else {
							m.SendOffer(st, m.Offer)
						}
					}
				})
				o := w.get(getConfig{Targets: []source.Target{m.Target}, Patience: patience})
				o.has("data.bin", data)
				wait := min(time.Minute, patience/10*9)
				if o.Elapsed < wait || o.Elapsed > wait+5*time.Second || m.Opens.Load() != 2 {
					t.Errorf("in open: %t: took %v and %d opens, want a wait of %v", inOpen, o.Elapsed, m.Opens.Load(), wait)
				}
			})
		}
	}
}

// A load is what a server is asked for at a time, as it sees it: a client that
// keeps its limits never seems to have more under way.
type load struct {
	mu                       sync.Mutex
	streams, flight, longest int64
	mostStreams, mostFlight  int64
}

func (l *load) change(streams, flight int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.streams += streams
	l.flight += flight
	l.mostStreams, l.mostFlight = max(l.mostStreams, l.streams), max(l.mostFlight, l.flight)
	if streams > 0 {
		l.longest = max(l.longest, flight)
	}
}

// A client keeps the limits that a server announces, the least that are allowed
// too, and uses most of what it may.
func TestAnnouncedLimitsAreKept(t *testing.T) {
	withoutRace(t)
	t.Parallel()
	const least = wire.LeastLongest
	data := file(40<<20, 1)
	for _, test := range []struct {
		name   string
		limits wire.Limits
	}{
		{"16 MiB", wire.Limits{Streams: 8, Flight: least, Longest: least}},
		{"two requests of 16 MiB", wire.Limits{Streams: 8, Flight: 2*least + 1, Longest: least}},
		{"one stream", wire.Limits{Streams: 1, Flight: 4 * least, Longest: least}},
	} {
		t.Run(test.name, func(t *testing.T) {
			overEither(t, func(t *testing.T, w *world) {
				var l load
				m := w.malicious(data, 0, func(m *hostile.Server) {
					m.Limits = test.limits
					m.OnRanges = func(st transport.Stream, spans []wire.Span) {
						b := m.Bytes(spans)
						l.change(1, int64(len(b)))
						for len(b) > 0 {
							n := min(len(b), 64<<10)
							if _, err := st.Write(hostile.Frame(wire.StatusOK, b[:n])); err != nil {
								break
							}
							l.change(0, int64(-n))
							b = b[n:]
						}
						l.change(-1, int64(-len(b)))
					}
				})
				w.link(m.Target).set(func(l *link) { l.rate = 100 << 20 })
				o := w.get(getConfig{Targets: []source.Target{m.Target}, Connections: 1})
				o.has("data.bin", data)
				t.Logf("%d streams, %d bytes under way, %d in one request", l.mostStreams, l.mostFlight, l.longest)
				if l.mostStreams > int64(test.limits.Streams) || l.mostFlight > test.limits.Flight || l.longest > test.limits.Longest {
					t.Errorf("%d streams, %d bytes under way, %d in one request, want at most %+v", l.mostStreams, l.mostFlight, l.longest, test.limits)
				}
			})
		})
	}
}
