package transfer

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"malcolm/transfer/fetch"
	"malcolm/transfer/serve"
	"malcolm/transfer/source"
	"malcolm/transfer/source/malcolm"

	"malcolm/certs"
	"malcolm/transfer/vote"
)

// A server whose first try failed has its vote: it answers while a third one is
// indexing, so the vote is still open.
func TestAnswerBehindAFailureCounts(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		data, lie := file(3*chunk, 1), file(3*chunk, 2)
		honest := w.holders(data)[0]
		liar := w.serve(newSource(lie), 1, 1, serve.Config{})
		src := newSource(data)
		src.indexing = func() error { src.block(); return nil }
		third := w.serve(src, 2, 1, serve.Config{}) // indexes for a while, then dies
		honest.links[0].set(func(l *link) { l.hole = true })
		time.AfterFunc(6*time.Second, func() { honest.links[0].set(func(l *link) { l.hole = false }) })
		time.AfterFunc(30*time.Second, func() { third.links[0].set(func(l *link) { l.hole = true }) })
		o := w.get(getConfig{Targets: targetsOf(honest, liar, third)})
		err := fails[*fetch.UndecidedError](o, fetch.KindVote)
		if err.Result.Reason != vote.NoMajority || !slices.Equal(err.Result.Answered, []int{0, 1}) || !slices.Equal(err.Result.Failed, []int{2}) {
			t.Errorf("vote = %+v, want one against one", err.Result)
		}
		if _, eaten := honest.links[0].dropped(); eaten == 0 || len(events[fetch.NotReached](o)) == 0 {
			t.Error("the first try has not failed")
		}
	})
}

// Of two servers, one answers at its second try and the other fails. The answer
// decides.
func TestAnswerBehindAFailureIsEnough(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		data := file(3*chunk, 1)
		a := w.holders(data)[0]
		src := newSource(data)
		src.indexing = func() error { src.block(); return nil }
		b := w.serve(src, 1, 1, serve.Config{})
		a.links[0].set(func(l *link) { l.hole = true })
		time.AfterFunc(6*time.Second, func() { a.links[0].set(func(l *link) { l.hole = false }) })
		time.AfterFunc(30*time.Second, func() { b.links[0].set(func(l *link) { l.hole = true }) })
		w.get(getConfig{Targets: targetsOf(a, b)}).has("data.bin", data)
	})
}

// In a refusingNetwork, the port of one server is closed for its first tries.
type refusingNetwork struct {
	*world
	addr netip.AddrPort
	left *atomic.Int64
}

func refusing(w *world, s *server, tries int64) refusingNetwork {
	t := s.targets[0]
	n := refusingNetwork{w, netip.AddrPortFrom(netip.MustParseAddr(t.Host), t.Port), new(atomic.Int64)}
	n.left.Store(tries)
	return n
}

func (n refusingNetwork) Open(remote netip.AddrPort) (net.PacketConn, error) {
	if remote == n.addr && n.left.Add(-1) >= 0 {
		return nil, errors.New("connection refused")
	}
	return n.world.Open(remote)
}

// A failed first try does not count until the second one has failed: the server
// is waited for.
func TestSecondTryBeforeTheVote(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		data, lie := file(3*chunk, 1), file(3*chunk, 2)
		servers := w.holders(data, lie, data)
		begun := time.Now()
		o := w.get(getConfig{Targets: targetsOf(servers...), Network: refusing(w, servers[0], 1)})
		o.has("data.bin", data)
		voted, when := only[fetch.Voted](o)
		if len(voted.Result.Answered) != 3 || when.Sub(begun) > 250*time.Millisecond {
			t.Errorf("vote = %+v after %v, want all three heard soon", voted.Result, when.Sub(begun))
		}
		none[fetch.NotReached](o)
	})
}

// A vote with one server down is over when that server has failed twice.
func TestDownServerDelaysNothing(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		data := file(3*chunk, 1)
		servers := w.holders(data, data)
		begun := time.Now()
		o := w.get(getConfig{Targets: targetsOf(servers...), Network: refusing(w, servers[1], 1000)})
		o.has("data.bin", data)
		if _, when := only[fetch.Voted](o); when.Sub(begun) > 250*time.Millisecond {
			t.Errorf("the vote took %v, want a second try and no more", when.Sub(begun))
		}
		only[fetch.NotReached](o)
	})
}

// Three ports of a liar, under any keys, do not close the vote against two
// hosts that are connected and indexing.
func TestPortsDoNotCloseTheVote(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		data, lie := file(3*chunk, 1), file(3*chunk, 2)
		liar := w.serve(newSource(lie), 0, 3, serve.Config{})
		var honest []*server
		for i := range 2 {
			src := newSource(data)
			src.indexing = slowly(time.Second) // 3 s in all
			honest = append(honest, w.serve(src, i+1, 1, serve.Config{}))
		}
		o := w.get(getConfig{Targets: append(targetsOf(liar), targetsOf(honest...)...)})
		o.has("data.bin", data)
		voted, _ := only[fetch.Voted](o)
		if r := voted.Result; r.Groups[r.Winner].Votes != 2 || r.Total != 3 || len(r.Silent) > 1 {
			t.Errorf("vote = %+v, want two hosts against one", r)
		}
	})
}

// One host of four lies, under another key at each port.
func TestKeysAreNoVotes(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, w *world) {
		good, bad := file(3*chunk, 1), file(3*chunk, 2)
		var targets []source.Target
		for i := range 3 {
			targets = append(targets, w.serve(newSource(good), i, 4, serve.Config{}).targets...)
		}
		targets = append(targets, w.manyKeys(newSource(bad), 4)...)
		for quorum, ok := range map[int]bool{0: true, 3: true, 4: false} {
			o := w.get(getConfig{Targets: targets, Quorum: quorum})
			if ok {
				o.has("data.bin", good)
			} else if err := fails[*fetch.UndecidedError](o, fetch.KindVote); err.Result.Reason != vote.TooFewVotes {
				t.Errorf("quorum %d: %+v", quorum, err.Result)
			}
		}
	})
}

// manyKeys starts n processes on n ports of one new host, each under its own
// key.
func (w *world) manyKeys(src *heldFile, n int) (targets []source.Target) {
	targets = w.nextTargets(n)
	for _, target := range targets {
		id, err := certs.Generate()
		if err != nil {
			w.t.Fatal(err)
		}
		s := &server{w: w, src: src, targets: []source.Target{target}, cfg: serve.Config{Source: src, Identity: id, Name: "data.bin"}}
		s.links = append(s.links, w.link(target))
		w.servers = append(w.servers, s)
		s.start()
	}
	return targets
}

// Ports of one host are voters of their own if their IDs are pinned.
func TestPinnedIDsVote(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		good, bad := file(3*chunk, 1), file(3*chunk, 2)
		targets := w.nextTargets(3)
		var pins certs.Pins
		for i, target := range targets {
			src := newSource([][]byte{bad, good, good}[i])
			s := &server{w: w, src: src, targets: []source.Target{target}, cfg: serve.Config{Source: src, Identity: testIDs[i], Name: "data.bin"}}
			s.links = append(s.links, w.link(target))
			w.servers = append(w.servers, s)
			s.start()
			pins = append(pins, certs.Pin{ID: testIDs[i].ID()})
		}
		cfg := getConfig{Targets: targets, Quorum: 2, Trust: malcolm.Trust{Pins: pins}}
		if got := mostVotes(cfg); got != 3 {
			t.Errorf("at most %d votes, want 3", got)
		}
		o := w.get(cfg)
		o.has("data.bin", good)
		if voted, _ := only[fetch.Voted](o); voted.Result.Total != 3 {
			t.Errorf("vote = %+v, want three votes", voted.Result)
		}
		if got := mostVotes(getConfig{Targets: targets}); got != 1 {
			t.Errorf("at most %d votes without pins, want 1", got)
		}
	})
}

// A names is a network with names, each of which may have several addresses.
type names struct {
	*world
	of map[string][]string
}

func (n names) Resolve(ctx context.Context, host string) (addrs []netip.Addr, err error) {
	if n.of[host] == nil {
		time.Sleep(time.Millisecond) // so that other names are first at their servers
		return n.world.Resolve(ctx, host)
	}
	for _, a := range n.of[host] {
		addrs = append(addrs, netip.MustParseAddr(a))
	}
	return addrs, nil
}

// A lying host has a name that leads to honest servers as well, and is the
// first there. It takes no vote from them.
func TestNamesTakeNoVotes(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		good, bad := file(3*chunk, 1), file(3*chunk, 2)
		honest := []*server{w.serve(newSource(good), 0, 1, serve.Config{}), w.serve(newSource(good), 1, 1, serve.Config{})}
		liar := w.manyKeys(newSource(bad), 3)
		// At port 9001 the name leads to the honest ones, at 9002 and
		// 9003 to the liar.
		oneHost := names{w, map[string][]string{"several": {honest[0].targets[0].Host, honest[1].targets[0].Host, liar[0].Host}}}
		targets := []source.Target{{Host: "several", Port: 9001}, {Host: "several", Port: 9002}, {Host: "several", Port: 9003}}
		for _, s := range honest {
			targets = append(targets, s.targets...)
			s.links[0].set(func(l *link) { l.delay = 5 * time.Millisecond })
		}
		o := w.get(getConfig{Targets: targets, Network: oneHost})
		o.has("data.bin", good)
		if voted, _ := only[fetch.Voted](o); voted.Result.Groups[0].Votes != 2 || voted.Result.Total != 3 {
			t.Errorf("vote = %+v, want both honest hosts heard", voted.Result)
		}
		only[fetch.Duplicate](o)
	})
}

// A server that is refused under one name is used under another, if the record
// of the first is stale.
func TestRefusedUnderOneName(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		data := file(3*chunk, 1)
		s := w.serve(newSource(data), 0, 1, serve.Config{})
		known, _ := knownServers(t)
		if _, err := known.Record("old:9001", testIDs[3].ID(), time.Now()); err != nil {
			t.Fatal(err)
		}
		network := names{w, map[string][]string{"old": {s.targets[0].Host}, "new": {s.targets[0].Host}}}
		o := w.get(getConfig{Targets: []source.Target{{Host: "old", Port: 9001}, {Host: "new", Port: 9001}}, Network: network, Trust: malcolm.Trust{Known: known}})
		o.has("data.bin", data)
		if r := o.Servers[0]; r.State != fetch.StateRefused {
			t.Errorf("report = %+v, want the old name refused", r)
		}
		none[fetch.Duplicate](o)
	})
}

// An identity that is refused at the second address of a host is the host's
// error, even if nobody answers at the first. It is not tried again.
func TestRefusedAtSecondAddress(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		data := file(3*chunk, 1)
		servers := w.holders(data, data)
		servers[0].links[0].set(func(l *link) { l.hole = true })
		network := names{w, map[string][]string{"both": {servers[0].targets[0].Host, servers[1].targets[0].Host}}}
		o := w.get(getConfig{Targets: []source.Target{{Host: "both", Port: 9001}}, Network: network, Trust: malcolm.Trust{Pins: certs.Pins{{ID: testIDs[3].ID()}}}})
		var refused *certs.TrustError
		if err := fails[*fetch.NobodyAnsweredError](o, fetch.KindIdentity); !errors.As(err.Servers[0].Err, &refused) || err.Servers[0].State != fetch.StateRefused {
			t.Errorf("report = %+v, want the identity refused", err.Servers[0])
		}
	})
}
