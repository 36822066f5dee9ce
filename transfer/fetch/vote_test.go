package fetch

import (
	"slices"
	"testing"

	"malcolm/transfer/source"
	"malcolm/transfer/source/sourcetest"
	"malcolm/transfer/vote"
)

// A server that has another file and no part in the vote is named when the vote
// is over. The vote itself names the others.
func TestLeftOutAtTheClose(t *testing.T) {
	var told []Event
	var sources []source.Source
	for i := range 6 {
		sources = append(sources, &sourcetest.Source{Place: source.Target{Host: "h", Port: uint16(i + 1)}})
	}
	s := Open(t.Context(), Servers{Sources: sources}, Watch{Events: func(e Event) { told = append(told, e) }})
	defer s.Close()
	s.download = newDownload(s, &vote.Group{Size: 5, Checksum: [32]byte{'A'}})
	servers := s.roster.servers
	for i, content := range "AABBAB" {
		v := servers[i]
		v.state, v.contact = StateAnswered, &contact{down: make(chan struct{}, 1), stop: func() {}}
		v.offer.Size, v.offer.Checksum = 5, [32]byte{byte(content)}
	}
	servers[4].state, servers[5].state = StateLost, StateLost
	s.admitAll(vote.Result{Answered: []int{0, 2, 4, 5}})
	want := []Event{Joined{Target: servers[1].target}, LeftOut{Target: servers[3].target, Checksum: [32]byte{'B'}, Size: 5}}
	if !slices.Equal(told, want) {
		t.Errorf("told %+v, want %+v", told, want)
	}
	for i, state := range []State{StateServing, StateServing, StateLeftOut, StateLeftOut, StateLost, StateLeftOut} {
		if got := servers[i].state; got != state {
			t.Errorf("server %d is %v, want %v", i, got, state)
		}
	}
}
