package view

import (
	"fmt"
	"time"

	"malcolm/certs"
	"malcolm/cmd/malcolm/human"
	"malcolm/transfer/fetch"
)

// An Info shows what Info does and finds.
type Info struct {
	text    *getText
	json    *getJSON // nil: no events are written
	pace    time.Duration
	reports reports
}

// NewInfo returns a view of a run that is about to start.
func NewInfo(on Terminal, r Run) *Info {
	i := &Info{text: &getText{Terminal: on, run: r}, pace: on.Pace(r.Interval)}
	if on.JSON {
		i.json = newGetJSON(on, r.Targets)
	}
	return i
}

// Ask begins to ask for the status at the run's interval, since indexing may
// take long.
func (i *Info) Ask(status func() fetch.Snapshot) {
	i.reports.begin(i.pace, func() {
		now := status()
		if i.json != nil {
			i.json.progress(now)
		}
		if now.Phase == fetch.PhaseAsking {
			i.text.progress(now)
		}
	})
}

// Event shows what happened.
func (i *Info) Event(e fetch.Event) {
	i.reports.show(func() {
		if i.json != nil {
			i.json.event(e)
		}
		if full, ok := e.(fetch.Full); ok { // the result tells everything else
			i.text.event(full)
		}
	})
}

// Ended shows the result of a run; nil: it has none. The vote is shown if it is
// why the run failed. The status is not asked for any more.
func (i *Info) Ended(r *fetch.InfoResult, err error) {
	i.reports.end()
	if i.json != nil {
		i.json.ended(Outcome{Err: err})
	}
	if r == nil {
		return
	}
	i.text.Emit(infoOf(r))
	for _, line := range infoLines(r) {
		i.text.Result(line)
	}
}

// An infoEvent is the event of info.
type infoEvent struct {
	head
	Name     string       `json:"name"`
	Kind     string       `json:"kind"` // file, tree; empty without a majority
	Bytes    int64        `json:"bytes"`
	Checksum string       `json:"checksum"` // of the majority; empty without one
	Servers  []infoServer `json:"servers"`
}

type infoServer struct {
	Address  string  `json:"address"`
	ID       string  `json:"id"`
	State    string  `json:"state"`
	Reason   string  `json:"reason"`
	Name     string  `json:"name"`
	Kind     string  `json:"kind"` // file, tree; empty: it has offered nothing
	Bytes    int64   `json:"bytes"`
	Modified string  `json:"modified"` // empty: it has offered nothing
	Checksum string  `json:"checksum"`
	RTT      float64 `json:"rtt"`
	// Transport is what carried the offer.
	Transport string `json:"transport"`
	Source    string `json:"source"` // server, mirror
}

// infoOf returns the event of a result.
func infoOf(r *fetch.InfoResult) infoEvent {
	e := infoEvent{head: is("info"), Servers: []infoServer{}}
	if len(r.Vote.Groups) > 0 && r.Vote.Winner >= 0 {
		won := r.Vote.Groups[r.Vote.Winner]
		e.Name, e.Kind, e.Bytes = jsonText(r.Vote.Name), jsonKind(won.Tree), won.Size
		e.Checksum = human.Checksum(won.Tree, won.Checksum)
	}
	for _, s := range r.Servers {
		v := infoServer{
			Address: s.Target.String(), ID: idOf(s.ID), State: stateName(s.State), Reason: reasonOf(s.Err), RTT: seconds(s.RTT),
			Transport: overTo(s.Target, s.Transport), Source: sourceKind(s.Target),
		}
		if s.Offered {
			v.Name, v.Kind, v.Bytes, v.Modified = jsonText(s.Name), jsonKind(s.Tree), s.Size, modified(s.ModTime)
			v.Checksum = human.Checksum(s.Tree, s.Checksum)
		}
		e.Servers = append(e.Servers, v)
	}
	return e
}

// modified is a modification time in a form that machines read too. Years
// outside of RFC 3339's range are cut to it.
func modified(t time.Time) string {
	t = t.UTC()
	switch {
	case t.Year() < 0:
		t = time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC)
	case t.Year() > 9999:
		t = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
	}
	return t.Format(time.RFC3339)
}

// infoLines is a result in words: each offered file with the servers that offer
// it, then the servers that offer nothing.
func infoLines(r *fetch.InfoResult) (lines []string) {
	told := make([]bool, len(r.Servers))
	for i, g := range r.Vote.Groups {
		line := fmt.Sprintf("%s, %s: %s", sizeOf(g.Tree, g.Size), proofOf(g.Tree, g.Checksum), standing(g, r.Vote))
		if i == r.Vote.Winner {
			line += ", the majority"
		}
		lines = append(lines, line)
		for _, j := range g.Servers {
			if s := r.Servers[j]; s.ID == (certs.ServerID{}) { // a mirror, by its file of values
				told[j] = true
				lines = append(lines, "    "+offerLine(s))
			}
		}
		for _, id := range g.IDs {
			lines = append(lines, "  server ID "+certs.ServerID(id).String())
			for j, s := range r.Servers {
				if s.ID == certs.ServerID(id) && s.Offered && s.Tree == g.Tree && s.Checksum == g.Checksum && s.Size == g.Size {
					told[j] = true
					lines = append(lines, "    "+offerLine(s))
				}
			}
		}
	}
	for j, s := range r.Servers {
		switch {
		case told[j]:
		case s.Offered: // after the vote
			lines = append(lines, fmt.Sprintf("late: %s, %s", sizeOf(s.Tree, s.Size), proofOf(s.Tree, s.Checksum)),
				"  server ID "+s.ID.String(), "    "+offerLine(s))
		case s.Target.IsMirror() && s.Err == nil:
			lines = append(lines, fmt.Sprintf("%s: a mirror, which sends bytes and does not vote", s.Target))
		case s.Err != nil:
			lines = append(lines, fmt.Sprintf("%s: %s", s.Target, s.Err.Error()))
		default:
			lines = append(lines, fmt.Sprintf("%s: %s", s.Target, s.State))
		}
	}
	return lines
}

// offerLine is one server's offer.
func offerLine(s fetch.InfoServer) string {
	name := "no name"
	if s.Name != "" {
		name = human.Quote(s.Name)
	}
	return fmt.Sprintf("%-21s  %-4s  %s  modified %s  %s", s.Target, overTo(s.Target, s.Transport), formatRTT(s.RTT), modified(s.ModTime), name)
}

// formatRTT writes a round trip in milliseconds.
func formatRTT(d time.Duration) string {
	return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond))
}
