package view

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"malcolm/certs"
	"malcolm/cmd/malcolm/human"
	"malcolm/transfer/fetch"
	"malcolm/transfer/source"
)

// ofServers tells what servers do, and who they are.
func (v *getText) ofServers(e fetch.Event) {
	switch e := e.(type) {
	case fetch.Connected:
		v.connected(e)
	case fetch.NotReached:
		v.notReached(e)
	case fetch.FirstContact:
		v.first = append(v.first, e)
	case fetch.Contradicted:
		v.contradicted(e)
	case fetch.NotRemembered:
		v.Warn("server IDs are not remembered: %s", e.Err.Error())
	case fetch.Duplicate:
		v.Warn("%s: is the same server as %s, used once", e.Target, e.Of)
	case fetch.OneAddress:
		v.Warn("%s and %s have one address, %s: they still have two votes", e.Hosts[0], e.Hosts[1], e.Addr)
	case fetch.UDPBlocked:
		v.udpBlocked(e)
	case fetch.WayRefused:
		v.Warn("%s: another server ID is proved over %s, %s: that way is not used", e.Target, otherThan(e.Used), e.ID)
	case fetch.Joined:
		v.joined(e)
	case fetch.Lacking:
		if v.crowd.admit("lacking", e.Target, time.Now()) {
			v.Warn("%s does not have %s (and perhaps others): others are asked", e.Target, human.Quote(e.Path))
		}
	case fetch.LeftOut:
		v.Warn("%s answered late and has %s (%s, %s): left out", e.Target, anotherThan(v.tree, e.Tree),
			human.ChecksumShort(e.Tree, e.Checksum), sizeOf(e.Tree, e.Size))
	case fetch.ChunkRefused:
		v.chunkRefused(e)
	case fetch.ValuesRefused:
		v.Warn("%s: its chunk values are not used: %s", e.Target, e.Err.Error())
	case fetch.Lost:
		v.lost(e)
	case fetch.Back:
		v.Say("%s is back", e.Target)
	case fetch.Full:
		v.full(e)
	case fetch.ServerSilent:
		v.Warn("%s: has sent nothing for %s: others do its work, and it is tried again", e.Target, human.Duration(e.Lasted))
	case fetch.TransportChanged:
		v.transportChanged(e)
	case fetch.Decision:
		v.decided(e)
	}
}

func (v *getText) joined(e fetch.Joined) {
	if e.Mirror {
		v.Explain("%s takes part", e.Target)
		return
	}
	if e.Other {
		v.Say("%s has another version of the directory: it is asked for the files that are the same", e.Target)
		return
	}
	v.Say("%s answered late and has the same %s: it takes part", e.Target, noun(v.tree))
}

// udpBlocked says that the network lets TCP through and not UDP, and whom to
// ask about it.
func (v *getText) udpBlocked(e fetch.UDPBlocked) {
	what := "gets no answer, and TCP does"
	if e.Refused {
		what = "is refused, and TCP is not"
	}
	v.Warn("UDP to %s %s: the copy goes over TCP", e.Target, what)
	var ports []int
	for _, t := range v.run.Targets {
		if t.Port > 0 && !t.IsMirror() { // else DNS knows it
			ports = append(ports, int(t.Port))
		}
	}
	slices.Sort(ports)
	v.WarnHint("for QUIC, firewalls must let UDP through to port " + strings.Join(human.PortRanges(slices.Compact(ports)), ", ") +
		"; --transport tcp does not try it")
}

// otherThan returns the transport that is not used, in words.
func otherThan(used source.Transport) string {
	if used == source.TCP {
		return "QUIC"
	}
	return "TCP"
}

// A shownID is a server ID and the servers that proved it.
type shownID struct {
	id      certs.ServerID
	targets []source.Target
}

func (v *getText) connected(e fetch.Connected) {
	for i := range v.ids {
		if v.ids[i].id == e.ID {
			v.ids[i].targets = append(v.ids[i].targets, e.Target)
			return
		}
	}
	v.ids = append(v.ids, shownID{id: e.ID, targets: []source.Target{e.Target}})
}

func (v *getText) notReached(e fetch.NotReached) {
	refused, isRefused := errors.AsType[*certs.TrustError](e.Err)
	switch {
	case v.run.Alone: // the error that ends the run says so
		return
	case isRefused:
		v.Warn("%s", refused.Problem())
	default:
		why := e.Err.Error()
		if !v.crowd.admit(why, e.Target, time.Now()) {
			return
		}
		v.Warn("%s: %s", e.Target, why)
	}
	v.advise(e.Target, e.Err)
}

func (v *getText) full(e fetch.Full) {
	why := e.Err.Error()
	if !v.crowd.admit(why, e.Target, time.Now()) {
		return
	}
	v.Warn("%s: %s: trying again for %s", e.Target, why, human.Duration(e.Left))
	v.advise(e.Target, e.Err)
}

func (v *getText) contradicted(e fetch.Contradicted) {
	stays := "the record is now the ID that is pinned"
	if !e.Updated {
		stays = "the record stays as it is"
	}
	v.Warn("%s has another ID than before: it was %s, known since %s, now it is %s, which is pinned or in the ticket; %s",
		e.Target, e.Record.ID, e.Record.FirstSeen.UTC().Format(time.DateOnly), e.ID, stays)
}

func (v *getText) lost(e fetch.Lost) {
	var left string
	if e.Left >= 0 {
		left = fmt.Sprintf("; %s left", pluralAmong(e.Left, v.run.Targets))
		switch e.Left {
		case 0:
		case 1:
			left += ", which takes its work"
		default:
			left += ", which take its work"
		}
	}
	why := e.Err.Error()
	switch {
	case e.State == fetch.StateLost && v.crowd.admit("lost: "+why, e.Target, time.Now()):
		v.Warn("lost %s: %s%s", e.Target, why, left)
	case e.State != fetch.StateLost && v.crowd.admit("left out: "+why, e.Target, time.Now()):
		v.Warn("%s: left out: %s%s", e.Target, why, left)
	}
}

func (v *getText) chunkRefused(e fetch.ChunkRefused) {
	what, changed := "chunk", "its file changed"
	switch {
	case e.Listing:
		what, changed = "the listing's chunk", "its directory changed"
	case e.Path != "":
		what, changed = human.Quote(e.Path)+", chunk", "its directory changed"
	}
	if e.Target.IsMirror() {
		changed = "it has another file now"
	}
	if e.Changed {
		v.Warn("%s: %s: %s %d (%s at %s) is refused, and the %s is out for this run",
			e.Target, changed, what, e.Chunk, human.Bytes(e.Length), human.Bytes(e.Offset), sourceKind(e.Target))
		return
	}
	v.Warn("%s sent wrong bytes: %s %d (%s at %s) is refused, and the %s is out for this run",
		e.Target, what, e.Chunk, human.Bytes(e.Length), human.Bytes(e.Offset), sourceKind(e.Target))
}

// sayIDs names each server ID with the servers that proved it.
func (v *getText) sayIDs() {
	for _, s := range v.ids {
		line := "server ID " + s.id.String() + ": " + s.targets[0].String()
		if more := len(s.targets) - 1; more > 0 {
			line += fmt.Sprintf(" and %d more", more)
		}
		v.Say("%s%s", line, v.firstContact(s))
	}
}

// firstContact says whether a server ID was unknown until now.
func (v *getText) firstContact(s shownID) string {
	for _, f := range v.first {
		if f.ID == s.id && slices.Contains(s.targets, f.Target) {
			if f.Recorded {
				return " (first contact: remembered from now on)"
			}
			return " (first contact)"
		}
	}
	return ""
}

// sayDiffering names the first paths that have no majority.
func (v *getText) sayDiffering(err error) {
	const most = 10
	e, ok := errors.AsType[*fetch.UndecidedError](err)
	if !ok || e.Parts.Count == 0 {
		return
	}
	v.Say("the directories differ in %s:", human.Plural(e.Parts.Count, "path", "paths"))
	for _, p := range e.Parts.Differ[:min(len(e.Parts.Differ), most)] {
		v.Say("    %s", differsLine(e, p))
	}
	if e.Parts.Count > most {
		v.Say("    and %s more, which --json names", human.Comma(int64(e.Parts.Count-most)))
	}
}

// sayFailedServers lists what a person needs to know after a failed vote or a
// run without servers.
func (v *getText) sayFailedServers(err error) {
	if e, ok := errors.AsType[*fetch.UndecidedError](err); ok && e.Sizes {
		for _, g := range e.Result.Groups {
			v.Say("%s: %s: %s", standing(g, e.Result), human.Bytes(g.Size), names(e.Targets, g.Servers))
		}
	} else if ok {
		v.sayIDs()
		for _, g := range e.Result.Groups {
			v.Say("%s: %s, %s: %s", standing(g, e.Result), sizeOf(g.Tree, g.Size), proofOf(g.Tree, g.Checksum), names(e.Targets, g.Servers))
			v.Say("    %s", hostsOf(g))
			for _, id := range g.IDs {
				v.Say("    server ID %s", certs.ServerID(id))
			}
		}
	}
	v.sayDiffering(err)
	if e, ok := errors.AsType[*fetch.NoServerLeftError](err); ok {
		var all crowd
		for _, s := range e.Servers {
			if s.Err != nil && all.admit(s.State.String()+": "+s.Err.Error(), s.Target, time.Now()) {
				v.Say("%-21s  %s: %s", s.Target, s.State, s.Err.Error())
			}
		}
		for _, line := range all.rest() {
			v.Say("%s", line)
		}
	}
}

// lacked names the servers that did not have all files of a directory, and
// some of these files.
func (v *getText) lacked(servers []fetch.ServerReport) {
	const mostServers, mostFiles = 8, 3
	said := 0
	for _, s := range servers {
		n := len(s.Lacked)
		if n == 0 {
			continue
		}
		if said++; said > mostServers {
			continue
		}
		var list []string
		for _, path := range s.Lacked[:min(n, mostFiles)] {
			list = append(list, human.Quote(path))
		}
		if more := n - len(list); more > 0 {
			list = append(list, human.Comma(int64(more))+" more")
		}
		v.Say("%s did not have %s: %s", s.Target, human.Plural(n, "file", "files"), strings.Join(list, ", "))
	}
	if more := said - mostServers; more > 0 {
		v.Say("%s did not have some files", human.Plural(more, "more server", "more servers"))
	}
}
