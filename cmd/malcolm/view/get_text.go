package view

import (
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"
	"time"

	"malcolm/certs"
	"malcolm/cmd/malcolm/human"
	"malcolm/transfer"
	"malcolm/transfer/partfile"
	"malcolm/transfer/vote"
)

// A getText tells a person what Get does.
type getText struct {
	Terminal
	run    Run
	silent bool     // no lines at intervals
	bars   *getBars // draw the same; nil: nothing is drawn
	last   transfer.Progress
	before time.Time
	ids    []shownID
	hinted map[string]bool // what was said of what to do about servers, but for digits
	crowd  crowd
	first  []transfer.FirstContact
}

// A shownID is a server ID and the servers that proved it.
type shownID struct {
	id      certs.ServerID
	targets []transfer.Target
}

func (v *getText) event(e transfer.GetEvent) {
	v.sayCrowd(e)
	switch e := e.(type) {
	case transfer.Connected:
		v.connected(e)
	case transfer.NotReached:
		v.notReached(e)
	case transfer.FirstContact:
		v.first = append(v.first, e)
	case transfer.Contradicted:
		v.contradicted(e)
	case transfer.NotRemembered:
		v.Warn("server IDs are not remembered: %s", Reason(e.Err))
	case transfer.Duplicate:
		v.Warn("%s: is the same server as %s, used once", e.Target, e.Of)
	case transfer.OneAddress:
		v.Warn("%s and %s are at one address, %s: two hosts have two votes, also on one machine", e.Hosts[0], e.Hosts[1], e.Addr)
	case transfer.Voted:
		v.voted(e)
	case transfer.Joined:
		v.Say("%s answered late and has the same file: it takes part", e.Target)
	case transfer.LeftOut:
		v.Warn("%s answered late and has another file (%s, %s): left out", e.Target, human.HexShort(e.Checksum), human.Bytes(e.Size))
	case transfer.Started:
		v.started(e)
	case transfer.NoModTime:
		v.Warn("no server names a modification time that fits: the file keeps the time at which it was written")
	case transfer.OutputMoved:
		v.Warn("the output directory was moved during the run: the file is %s", human.ShellQuote(e.Path))
	case transfer.Lacks:
		v.Warn("%s: %s", lacking[e.Comfort], Reason(e.Err))
	case transfer.ChunkRefused:
		v.chunkRefused(e)
	case transfer.ListDiffers:
		v.Warn("%s: its list of xxh3 is wrong at chunk %d; the file is not affected", e.Target, e.Chunk)
	case transfer.ManifestRefused:
		v.Warn("%s: its manifest is not used: %s", e.Target, Reason(e.Err))
	case transfer.Lost:
		v.lost(e)
	case transfer.Back:
		v.Say("%s is back", e.Target)
	case transfer.Waiting:
		v.Warn("no server is left: trying to reach them again for %s", human.Duration(e.Left))
	case transfer.Silent:
		v.Warn("nothing has come for %s: waiting for %s more", human.Duration(e.Lasted), human.Duration(e.Left))
	case transfer.Full:
		v.full(e)
	case transfer.ServerSilent:
		v.Warn("%s: has sent nothing for %s: others do its work, and it is tried again", e.Target, human.Duration(e.Lasted))
	case transfer.SmallBuffers:
		v.Warn("%s", smallBuffers(e))
	case transfer.ChunksUnreadable:
		v.Warn("%s: %s cannot be read: %s; the disk may be failing", human.ShellQuote(e.Path), human.Plural(e.Chunks, "chunk", "chunks"), Reason(e.Err))
	case transfer.NotKept:
		v.Warn("%s: its %s cannot be kept: %s", human.ShellQuote(e.Path), e.What, Reason(e.Err))
	case transfer.Decision:
		v.decided(e)
	case transfer.ReadingBack:
		v.Say("reading %s back", human.Bytes(e.Size))
	case transfer.Progress:
		if !v.silent {
			v.progress(e, time.Now())
		}
	}
}

// ended tells how a run ended.
func (v *getText) ended(o Outcome) {
	v.sayCrowd(nil)
	switch {
	case o.Unread:
	case o.Got == nil:
		v.verified(o)
	case o.Err != nil:
		v.failed(o)
	default:
		v.done(o.Got)
	}
}

// verified lists the chunks that differ; the error is told by another.
func (v *getText) verified(o Outcome) {
	if r := o.Verified; r != nil {
		for _, b := range r.Bad {
			v.Result(fmt.Sprintf("%d\t%d\t%d", b.Chunk, b.Offset, b.Length))
		}
		if r.LocalSize != r.Size {
			v.Say("%s has %s bytes, the servers' file %s", human.ShellQuote(o.Path), human.Comma(r.LocalSize), human.Comma(r.Size))
		}
	}
	if o.Err != nil {
		v.sayFailedServers(o.Err)
	}
}

func (v *getText) notReached(e transfer.NotReached) {
	refused, isRefused := errors.AsType[*certs.TrustError](e.Err)
	switch {
	case v.run.Alone: // the error that ends the run says so
		return
	case isRefused:
		v.Warn("%s", refused.Problem())
	default:
		why := Reason(e.Err)
		if !v.crowd.admit(why, e.Target, time.Now()) {
			return
		}
		v.Warn("%s: %s", e.Target, why)
	}
	v.advise(e.Target, e.Err)
}

func (v *getText) full(e transfer.Full) {
	why := Reason(e.Err)
	if !v.crowd.admit(why, e.Target, time.Now()) {
		return
	}
	v.Warn("%s: %s: trying again for %s", e.Target, why, human.Duration(e.Left))
	v.advise(e.Target, e.Err)
}

func (v *getText) contradicted(e transfer.Contradicted) {
	stays := "the record is now the ID that is pinned"
	if !e.Updated {
		stays = "the record stays as it is"
	}
	v.Warn("%s has another ID than before: it was %s, known since %s, now it is %s, which is pinned or in the ticket; %s",
		e.Target, e.Record.ID, e.Record.FirstSeen.UTC().Format(time.DateOnly), e.ID, stays)
}

func (v *getText) connected(e transfer.Connected) {
	for i := range v.ids {
		if v.ids[i].id == e.ID {
			v.ids[i].targets = append(v.ids[i].targets, e.Target)
			return
		}
	}
	v.ids = append(v.ids, shownID{id: e.ID, targets: []transfer.Target{e.Target}})
}

// voted says who answered and how the vote ended.
func (v *getText) voted(e transfer.Voted) {
	v.sayIDs()
	v.Say("%s", v.Bold(voteLine(e)))
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

// firstContact says of a server ID whether it was unknown until now.
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

// voteLine says in one line how a decided vote ended.
func voteLine(e transfer.Voted) string {
	r := e.Result
	won := r.Groups[r.Winner]
	asked := len(r.Answered) + len(r.Failed) + len(r.Silent)
	var b strings.Builder
	fmt.Fprintf(&b, "%d of %s", len(won.Servers), human.Plural(asked, "server", "servers"))
	if r.Total > 1 {
		fmt.Fprintf(&b, ", %s,", votesFor(won, r))
	}
	verb := " agree on "
	switch {
	case e.Chosen:
		verb = " have the checksum asked for: "
	case len(won.Servers) == 1:
		verb = " says "
	}
	fmt.Fprintf(&b, "%s%s (%s)", verb, human.HexShort(won.Checksum), human.Bytes(won.Size))
	for i, g := range r.Groups {
		if i != r.Winner {
			fmt.Fprintf(&b, "; %s %s another file, left out", names(e.Targets, g.Servers), has(len(g.Servers)))
		}
	}
	switch {
	case e.Chosen || won.Votes > 1:
	case len(won.Hosts) == 1:
		b.WriteString("; one host, so not cross-checked")
	default:
		b.WriteString("; one server ID, so not cross-checked")
	}
	return b.String()
}

// votesFor says how many of all votes a group has.
func votesFor(g vote.Group, r vote.Result) string {
	return fmt.Sprintf("%d of %s", g.Votes, human.Plural(r.Total, "vote", "votes"))
}

func has(n int) string {
	if n == 1 {
		return "has"
	}
	return "have"
}

// hostsOf lists the hosts of a group, at most eight of them.
func hostsOf(g vote.Group) string {
	const most = 8
	list := slices.Clone(g.Hosts[:min(len(g.Hosts), most)])
	if more := len(g.Hosts) - most; more > 0 {
		list = append(list, fmt.Sprintf("%d more", more))
	}
	if len(g.Hosts) == 1 {
		return "host " + list[0]
	}
	return "hosts " + strings.Join(list, ", ")
}

// names lists servers, at most three of them.
func names(targets []transfer.Target, servers []int) string {
	const most = 3
	var list []string
	for _, s := range servers[:min(len(servers), most)] {
		list = append(list, targets[s].String())
	}
	if more := len(servers) - most; more > 0 {
		list = append(list, fmt.Sprintf("%d more", more))
	}
	return strings.Join(list, ", ")
}

func (v *getText) started(e transfer.Started) {
	what := fmt.Sprintf("getting %s: %s in %s", human.Quote(e.Name), human.Bytes(e.Size), human.Plural(e.Chunks, "chunk", "chunks"))
	if e.Check > 0 {
		what += fmt.Sprintf("; checking %s of %s", human.Bytes(e.Check), v.origin())
	}
	v.Say("%s", what)
	if e.Sparse {
		v.Warn("this file system cannot reserve space: the disk may still turn out to be full")
	}
}

// lacking says what a file system does not have, and what that means.
var lacking = map[partfile.Comfort]string{
	partfile.Locks:          "this file system has no locks: another malcolm that writes the same file is noticed by its traces, which takes some seconds",
	partfile.ExclusiveNames: "this file system always replaces: a file that another program makes under the final name at the last moment is lost",
	partfile.Times:          "the file is there, but not with the time of its original",
}

// origin names what is there already.
func (v *getText) origin() string {
	if v.run.Local {
		return "the local file"
	}
	return "an earlier run"
}

func (v *getText) chunkRefused(e transfer.ChunkRefused) {
	if e.Changed {
		v.Warn("%s: its file changed: chunk %d (%s at %s) is refused, and the server is out for this run",
			e.Target, e.Chunk, human.Bytes(e.Length), human.Bytes(e.Offset))
		return
	}
	v.Warn("%s sent wrong bytes: chunk %d (%s at %s) is refused, and the server is out for this run",
		e.Target, e.Chunk, human.Bytes(e.Length), human.Bytes(e.Offset))
}

func (v *getText) lost(e transfer.Lost) {
	var left string
	if e.Left >= 0 {
		left = fmt.Sprintf("; %s left", human.Plural(e.Left, "server", "servers"))
		switch e.Left {
		case 0:
		case 1:
			left += ", which takes its work"
		default:
			left += ", which take its work"
		}
	}
	why := Reason(e.Err)
	switch {
	case e.State == transfer.PeerLost && v.crowd.admit("lost: "+why, e.Target, time.Now()):
		v.Warn("lost %s: %s%s", e.Target, why, left)
	case e.State != transfer.PeerLost && v.crowd.admit("left out: "+why, e.Target, time.Now()):
		v.Warn("%s: left out: %s%s", e.Target, why, left)
	}
}

// progress writes a line for each server whose numbers changed and one for the
// total.
func (v *getText) progress(p transfer.Progress, now time.Time) {
	changed := p.Good != v.last.Good || p.Checked != v.last.Checked || p.Reserved != v.last.Reserved || p.Phase != v.last.Phase
	for i, s := range p.Servers {
		var last transfer.ServerReport
		if i < len(v.last.Servers) {
			last = v.last.Servers[i]
		}
		switch {
		case s.State == transfer.PeerIndexing && s.Indexing != last.Indexing:
			v.Report("%-21s  indexing, %s", s.Target, human.Percent(int64(s.Indexing*1000), 1000))
		case s.State == transfer.PeerServing && s.Bytes != last.Bytes,
			s.BadChunks != last.BadChunks:
			v.Report("%-21s  %-8s  %12s  %4s  %9s  %d wrong", s.Target, s.State, human.Rate(s.Rate),
				share(s.Bytes, p.Good-p.Resumed), human.Bytes(s.Bytes), s.BadChunks)
			changed = true
		}
	}
	if changed && p.Phase != transfer.PhaseAsking {
		v.Report("%s", totalLine(p))
	}
	v.last, v.before = p, now
}

func totalLine(p transfer.Progress) string {
	switch {
	case p.Phase == transfer.PhaseFinishing:
		return "total  100 %  making it durable"
	case p.Phase == transfer.PhaseReadingBack:
		return fmt.Sprintf("total  100 %%  reading back: %s of %s", human.Bytes(p.Checked), human.Bytes(p.Check))
	case p.Phase == transfer.PhaseReserving:
		return fmt.Sprintf("reserving space: %s of %s", human.Bytes(p.Reserved), human.Bytes(p.Size))
	case p.Phase == transfer.PhasePreparing && p.Check > 0:
		return fmt.Sprintf("checking what is there: %s of %s", human.Bytes(p.Checked), human.Bytes(p.Check))
	case p.Phase == transfer.PhasePreparing:
		return "asking for the manifest"
	}
	line := fmt.Sprintf("total  %s  %s of %s  %s", human.Percent(p.Good, p.Size), human.Bytes(p.Good), human.Bytes(p.Size), human.Rate(p.Rate))
	if p.Left >= 0 {
		line += "  " + human.Left(int64(p.Left.Seconds()*p.Rate), p.Rate) + " left"
	}
	return line
}

// share is a server's part of what was fetched.
func share(bytes, all int64) string {
	if all <= 0 {
		return "0 %"
	}
	return fmt.Sprintf("%d %%", (bytes*100+all/2)/all)
}

// done ends a run that has its file.
func (v *getText) done(r *transfer.Result) {
	if r.AlreadyRight {
		v.Say("%s is there already and right: %s, BLAKE3 %s", human.Quote(r.Name), human.Bytes(r.Size), human.Hex(r.Checksum))
		v.Result(r.Path)
		return
	}
	seconds := r.Elapsed.Seconds()
	line := fmt.Sprintf("%s in %s, %s, BLAKE3 %s", human.Bytes(r.Size), human.Duration(r.Elapsed),
		human.Rate(float64(r.Fetched)/seconds), human.Hex(r.Checksum))
	if v.bars == nil || !v.bars.drawn { // else a table has them
		line += ", from " + sources(r.Servers)
	}
	if r.Resumed > 0 {
		line += fmt.Sprintf(", %s kept from %s", human.Bytes(r.Resumed), v.origin())
	}
	if r.Duplicate > 0 {
		line += fmt.Sprintf(", %s fetched twice or for nothing", human.Bytes(r.Duplicate))
	}
	v.Say("%s", v.Green(line))
	v.Result(r.Path)
}

// sources says how much each server gave, the most first.
func sources(servers []transfer.ServerReport) string {
	var used []transfer.ServerReport
	for _, s := range servers {
		if s.Bytes > 0 {
			used = append(used, s)
		}
	}
	if len(used) == 0 {
		return "no server"
	}
	sort.SliceStable(used, func(i, j int) bool { return used[i].Bytes > used[j].Bytes })
	const most = 8
	var list []string
	for _, s := range used[:min(len(used), most)] {
		list = append(list, fmt.Sprintf("%s %s", s.Target, human.Bytes(s.Bytes)))
	}
	text := fmt.Sprintf("%s (%s)", human.Plural(len(used), "server", "servers"), strings.Join(list, ", "))
	if more := len(used) - most; more > 0 {
		text = strings.TrimSuffix(text, ")") + fmt.Sprintf(", %d more)", more)
	}
	return text
}

// failed ends a run that has no file: what went wrong, what is kept, and how
// to go on.
func (v *getText) failed(o Outcome) {
	v.sayFailedServers(o.Err)
	v.Fail(o.Err)
	for _, h := range o.Hints {
		v.Hint(h)
	}
	if r := o.Got; o.Kept() && partfile.ReasonOf(o.Err) != partfile.Changed { // else nobody knows what is good
		v.Say("kept %s: %s of %s are good", human.ShellQuote(r.Part), human.Bytes(r.Fetched+r.Resumed), human.Bytes(r.Size))
	}
	for _, h := range o.Resume {
		v.Hint(h)
	}
}

// sayFailedServers lists what a person needs to see behind a failed vote or a
// run without servers.
func (v *getText) sayFailedServers(err error) {
	if e, ok := errors.AsType[*transfer.UndecidedError](err); ok {
		v.sayIDs()
		for _, g := range e.Result.Groups {
			v.Say("%s: %s, BLAKE3 %s: %s", votesFor(g, e.Result), human.Bytes(g.Size), human.Hex(g.Checksum), names(e.Targets, g.Servers))
			v.Say("    %s", hostsOf(g))
			for _, id := range g.IDs {
				v.Say("    server ID %s", certs.ServerID(id))
			}
		}
	}
	if e, ok := errors.AsType[*transfer.NoServerLeftError](err); ok {
		var all crowd
		for _, s := range e.Servers {
			if s.Err != nil && all.admit(s.State.String()+": "+Reason(s.Err), s.Target, time.Now()) {
				v.Say("%-21s  %s: %s", s.Target, s.State, Reason(s.Err))
			}
		}
		for _, line := range all.rest() {
			v.Say("%s", line)
		}
	}
}
