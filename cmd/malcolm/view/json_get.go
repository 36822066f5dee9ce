package view

import (
	"errors"
	"math"
	"strings"
	"time"

	"malcolm/certs"
	"malcolm/cmd/malcolm/human"
	"malcolm/transfer/fetch"
	"malcolm/transfer/source"
	"malcolm/transfer/vote"
)

// A getJSON writes what Get does as events.
type getJSON struct {
	out Printer
	ids map[source.Target]certs.ServerID
	// over is what carries the connection to each server, or the last one.
	over map[source.Target]source.Transport
	// indexing has the servers that said they are hashing.
	indexing map[source.Target]bool
	twice    map[source.Target]bool // used under another name
	tree     bool                   // a directory was voted for
	checksum [32]byte               // that was voted for
}

// newGetJSON returns a watcher, and writes the event of a run that asks
// targets.
func newGetJSON(out Printer, targets []source.Target) *getJSON {
	out.Emit(startEvent{head: is("start"), Time: time.Now().Format(time.RFC3339), Servers: addresses(targets)})
	return &getJSON{out: out, ids: make(map[source.Target]certs.ServerID), over: make(map[source.Target]source.Transport),
		indexing: make(map[source.Target]bool), twice: make(map[source.Target]bool)}
}

func (g *getJSON) event(e fetch.Event) {
	switch e := e.(type) {
	case fetch.Connected:
		g.ids[e.Target], g.over[e.Target] = e.ID, e.Transport
		g.server(e.Target, "connected", "")
	case fetch.NotReached:
		g.notReached(e)
	case fetch.Full:
		g.server(e.Target, stateName(fetch.StateFull), reasonOf(e.Err))
	case fetch.Duplicate:
		g.twice[e.Target] = true
		g.server(e.Target, stateName(fetch.StateDuplicate), "is the same server as "+e.Of.String())
	case fetch.Contradicted:
		g.out.Emit(contradictedEvent{
			head: is("contradicted"), Address: e.Target.String(), ID: idOf(e.ID),
			Recorded: idOf(e.Record.ID), FirstSeen: e.Record.FirstSeen.Format(time.RFC3339), Updated: e.Updated,
		})
	case fetch.UDPBlocked:
		g.out.Emit(udpBlockedEvent{head: is("udp_blocked"), Address: e.Target.String(), Refused: e.Refused})
	case fetch.WayRefused:
		g.out.Emit(wayRefusedEvent{
			head: is("way_refused"), Address: e.Target.String(), ID: idOf(g.ids[e.Target]), OtherID: idOf(e.ID), Transport: overOf(e.Used),
		})
	case fetch.TransportChanged:
		g.over[e.Target] = e.Transport
		g.out.Emit(transportChangedEvent{
			head: is("transport_changed"), Address: e.Target.String(), ID: idOf(g.ids[e.Target]), Transport: overOf(e.Transport),
			Reason: transportReasons[e.Why], Rate: int64(e.Rate), Before: int64(e.Before),
		})
	case fetch.OneAddress:
		g.out.Emit(oneAddressEvent{head: is("one_address"), Hosts: e.Hosts[:], Address: e.Addr.String()})
	case fetch.Voted:
		won := &e.Result.Groups[e.Result.Winner]
		g.tree, g.checksum = won.Tree, won.Checksum
		g.voted(e)
	case fetch.SizeAgreed:
		g.sizeAgreed(e)
	case fetch.Listed:
		g.listed(e)
	case fetch.FileDone:
		g.out.Emit(fileOf(e))
	case fetch.Joined:
		g.joined(e)
	case fetch.Lacking:
		g.out.Emit(lackingEvent{
			head: is("lacking"), Address: e.Target.String(), ID: idOf(g.ids[e.Target]), jsonPath: pathOf(e.Path), Reason: reasonOf(e.Err),
		})
	case fetch.SetAside:
		g.out.Emit(setAsideEvent{head: is("set_aside"), Path: jsonText(e.Path), CutOff: e.CutOff})
	case fetch.LeftOut:
		g.server(e.Target, stateName(fetch.StateLeftOut), "has "+anotherThan(g.tree, e.Tree)+": "+human.Checksum(e.Tree, e.Checksum))
	case fetch.ChunkRefused:
		g.out.Emit(chunkRefusedEvent{head: is("chunk_refused"), refusal: refusalOf(e, g.ids[e.Target])})
	case fetch.Lost:
		g.out.Emit(serverLostEvent{
			head: is("server_lost"), Address: e.Target.String(), ID: idOf(g.ids[e.Target]),
			State: stateName(e.State), Reason: reasonOf(e.Err), Left: e.Left,
		})
	case fetch.Back:
		g.out.Emit(serverBackEvent{head: is("server_back"), Address: e.Target.String(), ID: idOf(g.ids[e.Target])})
	}
}

func (g *getJSON) notReached(e fetch.NotReached) {
	state := fetch.StateNotReached
	if source.IsRefused(e.Err) {
		state = fetch.StateRefused
	}
	g.server(e.Target, stateName(state), reasonOf(e.Err))
}

func (g *getJSON) joined(e fetch.Joined) {
	why := ""
	if e.Other {
		why = "has another version of the directory: it is asked for the files that are the same"
	}
	g.server(e.Target, stateName(fetch.StateServing), why)
}

func (g *getJSON) server(t source.Target, state, why string) {
	g.out.Emit(serverEvent{
		head: is("server"), Address: t.String(), Source: sourceKind(t), ID: idOf(g.ids[t]), State: state, Reason: why, Transport: overTo(t, g.over[t]),
	})
}

func (g *getJSON) listed(e fetch.Listed) {
	t := e.Totals
	g.out.Emit(listingEvent{
		head: is("listing"), Checksum: human.Checksum(g.tree, g.checksum), Files: t.Files, Directories: t.Directories, Links: t.Links,
		Bytes: t.Bytes, Distinct: e.Size,
	})
}

// voted tells of a vote and which servers take part.
func (g *getJSON) voted(e fetch.Voted) {
	targets, r := e.Targets, e.Result
	event := voteOf(targets, r)
	event.ChosenVotes = e.Choice
	g.out.Emit(event)
	for i, group := range r.Groups {
		state, why := fetch.StateServing, ""
		if i != r.Winner {
			state = fetch.StateLeftOut
			why = "has " + anotherThan(r.Groups[r.Winner].Tree, group.Tree) + ": " + human.Checksum(group.Tree, group.Checksum)
		}
		for _, s := range group.Servers {
			if !g.twice[targets[s]] {
				g.server(targets[s], stateName(state), why)
			}
		}
	}
}

// sizeAgreed tells that a fetch begins that is proved only at its end.
func (g *getJSON) sizeAgreed(e fetch.SizeAgreed) {
	won := e.Result.Groups[e.Result.Winner]
	kind := "blake3"
	if e.Whole.SHA256 {
		kind = "sha256"
	}
	event := unprovedEvent{head: is("unproved"), Size: won.Size, Sum: human.Hex(e.Whole.Sum), Kind: kind, Servers: []string{}, Untied: addresses(e.Untied)}
	for _, s := range won.Servers {
		event.Servers = append(event.Servers, e.Targets[s].String())
	}
	g.out.Emit(event)
	for i, group := range e.Result.Groups {
		state, why := fetch.StateServing, ""
		if i != e.Result.Winner {
			state, why = fetch.StateLeftOut, "has a file of another size"
		}
		for _, s := range group.Servers {
			g.server(e.Targets[s], stateName(state), why)
		}
	}
}

// voteOf returns the event of a vote, decided or not.
func voteOf(targets []source.Target, r vote.Result) voteEvent {
	e := voteEvent{head: is("vote"), Votes: r.Total, Groups: []voteGroup{}}
	if r.Winner >= 0 {
		won := &r.Groups[r.Winner]
		e.Name, e.Majority = jsonText(r.Name), human.Checksum(won.Tree, won.Checksum)
	}
	for _, group := range r.Groups {
		v := voteGroup{
			Kind: jsonKind(group.Tree), Checksum: human.Checksum(group.Tree, group.Checksum), Size: group.Size, Votes: group.Votes,
			Hosts: append([]string{}, group.Hosts...), IDs: []string{}, Servers: []string{},
		}
		for _, id := range group.IDs {
			v.IDs = append(v.IDs, certs.ServerID(id).String())
		}
		for _, s := range group.Servers {
			v.Servers = append(v.Servers, targets[s].String())
		}
		e.Groups = append(e.Groups, v)
	}
	return e
}

func (g *getJSON) progress(p fetch.Snapshot) {
	e := progressEvent{
		head: is("progress"), Phase: phaseNames[p.Phase], Bytes: p.Good, TotalBytes: p.Size,
		Files: p.Tree.FilesDone, TotalFiles: p.Tree.Totals.Files, Rate: wholeRate(p.Rate), Servers: []progressServer{},
	}
	for _, s := range p.Servers {
		g.over[s.Target] = s.Transport
		if s.State == fetch.StateIndexing && !g.indexing[s.Target] {
			g.indexing[s.Target] = true
			g.server(s.Target, stateName(s.State), "")
		}
		e.Servers = append(e.Servers, progressServer{
			Address: s.Target.String(), ID: idOf(s.ID), State: stateName(s.State), Bytes: s.Bytes,
			Rate: wholeRate(s.Rate), RTT: seconds(s.RTT), Connections: s.Conns, BadChunks: s.BadChunks,
			Transport: overTo(s.Target, s.Transport), Source: sourceKind(s.Target),
		})
	}
	g.out.Emit(e)
}

// phaseNames are the phases of a run in events.
var phaseNames = map[fetch.Phase]string{
	fetch.PhaseAsking: "asking", fetch.PhasePreparing: "preparing", fetch.PhaseReserving: "reserving", fetch.PhaseFetching: "fetching",
	fetch.PhaseReadingBack: "reading_back", fetch.PhaseFinishing: "finishing",
}

// ended tells the result of a run. Its error is another event.
func (g *getJSON) ended(o Outcome) {
	if e, ok := errors.AsType[*fetch.UndecidedError](o.Err); ok {
		g.out.Emit(voteOf(e.Targets, e.Result))
		for _, p := range e.Parts.Differ {
			g.out.Emit(pathVoteOf(e, p))
		}
	}
	switch {
	case o.Verified != nil:
		emitVerified(g.out, o.Path, o.Verified)
	case o.Got != nil && o.Err == nil && o.Late == nil: // else the event "error" has the path
		g.out.Emit(doneOf(o))
	}
}

// emitVerified tells which chunks of a file differ.
func emitVerified(on Printer, path string, r *fetch.VerifyResult) {
	for _, b := range r.Bad {
		on.Emit(mismatchEvent{head: is("mismatch"), Chunk: b.Chunk, Offset: b.Offset, Bytes: b.Length, Unreadable: b.Unreadable})
	}
	on.Emit(verifiedEvent{
		head: is("verified"), Path: jsonText(path), Right: r.Right(), Bytes: r.LocalSize,
		TotalBytes: r.Size, Checksum: human.Hex(r.Checksum), BadChunks: len(r.Bad),
	})
}

// doneOf is the receipt of a run: who supplied what, and who was refused.
func doneOf(o Outcome) doneEvent {
	r := o.Got
	e := doneEvent{
		head: is("done"), Path: jsonText(r.Path), Kind: jsonKind(r.Tree.Voted), Bytes: r.Size, Seconds: seconds(r.Elapsed),
		Checksum: human.Checksum(r.Tree.Voted, r.Checksum), ResumedBytes: r.Resumed, RefetchedBytes: r.Refetched,
		DuplicateBytes: r.Duplicate, Servers: []doneServer{}, Refused: []refusal{},
	}
	if r.Tree.Listed {
		t := r.Tree.Totals
		e.Files, e.Directories, e.Links, e.Bytes = t.Files, t.Directories, t.Links, t.Bytes
	}
	if m := o.Mended; m != nil {
		e.Replaced, e.Made, e.Removed, e.Extra = m.Replaced, m.Made, m.Removed, len(m.Extra)
	}
	if r.Tree.Chosen != [32]byte{} {
		e.Chosen = human.Checksum(r.Tree.Voted, r.Tree.Chosen)
	}
	ids := make(map[source.Target]certs.ServerID)
	for _, s := range r.Servers {
		ids[s.Target] = s.ID
	}
	for _, c := range r.Refusals {
		e.Refused = append(e.Refused, refusalOf(c, ids[c.Target]))
	}
	for _, s := range r.Servers {
		e.Servers = append(e.Servers, doneServer{
			Address: s.Target.String(), ID: idOf(s.ID), Bytes: s.Bytes, BadChunks: s.BadChunks, State: stateName(s.State),
			Transport: overTo(s.Target, s.Transport), Source: sourceKind(s.Target), Lacked: pathsOf(s.Lacked),
		})
	}
	return e
}

// refusalOf is a chunk that a server with an ID sent and that was refused.
func refusalOf(e fetch.ChunkRefused, id certs.ServerID) refusal {
	return refusal{
		Address: e.Target.String(), ID: idOf(id), jsonPath: pathOf(e.Path), Listing: e.Listing,
		Chunk: e.Chunk, Offset: e.Offset, Bytes: e.Length, Changed: e.Changed,
	}
}

// stateName is a server's state as one word.
func stateName(s fetch.State) string { return strings.ReplaceAll(s.String(), " ", "_") }

// overOf is a transport as a word, "" before there was a connection.
func overOf(t source.Transport) string {
	if t == 0 {
		return ""
	}
	return t.String()
}

// overTo is what carries the connection to a source as a word.
func overTo(target source.Target, t source.Transport) string {
	switch {
	case t == 0 || !target.IsMirror():
		return overOf(t)
	case strings.HasPrefix(target.String(), "http:"):
		return "http"
	}
	return "https"
}

// sourceKind says what kind of source a target is.
func sourceKind(t source.Target) string {
	if t.IsMirror() {
		return "mirror"
	}
	return "server"
}

// idOf is a server ID, "" when none has been proved.
func idOf(id certs.ServerID) string {
	if id == (certs.ServerID{}) {
		return ""
	}
	return id.String()
}

// reasonOf is why a server does not take part, in words.
func reasonOf(err error) string {
	if err == nil {
		return ""
	}
	if refused, ok := errors.AsType[*certs.TrustError](err); ok {
		return jsonText(refused.Problem())
	}
	return jsonText(err.Error())
}

func addresses(targets []source.Target) []string {
	list := make([]string, len(targets))
	for i, t := range targets {
		list[i] = t.String()
	}
	return list
}

// seconds is a time in seconds, to the microsecond.
func seconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1e6 }

// wholeRate is a rate in whole bytes a second.
func wholeRate(rate float64) int64 {
	if !(rate > 0) || rate > math.MaxInt64/2 {
		return 0
	}
	return int64(math.Round(rate))
}
