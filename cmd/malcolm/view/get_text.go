package view

import (
	"fmt"
	"sort"
	"strings"
	"time"

	"malcolm/cmd/malcolm/human"
	"malcolm/transfer/fetch"
	"malcolm/transfer/partfile"
)

// A getText tells a person what Get does.
type getText struct {
	Terminal
	run    Run
	silent bool     // no lines at intervals
	bars   *getBars // drawn from the same events; nil: nothing is drawn
	last   fetch.Snapshot
	ids    []shownID
	hinted map[string]bool // hints given about servers, without their digits
	crowd  crowd
	first  []fetch.FirstContact
	tree   bool // a directory was voted for
}

func (v *getText) event(e fetch.Event) {
	v.sayCrowd(e)
	switch e := e.(type) {
	case fetch.Voted:
		v.voted(e)
	case fetch.SizeAgreed:
		v.sizeAgreed(e)
	case fetch.FileDone:
		v.Explain("%s: %s", human.Quote(e.Path), human.Bytes(e.Size))
	case fetch.Started:
		v.started(e)
	case fetch.NoModTime:
		v.Warn("no server names a modification time that fits: the file keeps the time at which it was written")
	case fetch.OutputMoved:
		v.Warn("the output directory was moved during the run: the file is %s", human.ShellQuote(e.Path))
	case fetch.SetAside:
		v.setAside(e)
	case fetch.Lacks:
		v.Warn("%s: %s", lacking[e.Comfort], e.Err.Error())
	case fetch.Waiting:
		v.Warn("no server is left: trying to reach them again for %s", human.Duration(e.Left))
	case fetch.Silent:
		v.Warn("nothing has come for %s: waiting for %s more", human.Duration(e.Lasted), human.Duration(e.Left))
	case fetch.SmallBuffers:
		v.Warn("%s", smallBuffers(e.Small))
	case fetch.ChunksUnreadable:
		unreadableChunks(v, e)
	case fetch.NotKept:
		v.Warn("%s: its %s cannot be kept: %s", human.ShellQuote(e.Path), e.What, e.Err.Error())
	case fetch.ReadingBack:
		v.Say("reading %s back", human.Bytes(e.Size))
	default:
		v.ofServers(e)
	}
}

// setAside tells where a directory is that had the output's name.
func (v *getText) setAside(e fetch.SetAside) {
	if e.CutOff {
		v.Warn("an earlier run was cut off: the directory that it was to replace may be %s", human.ShellQuote(e.Path))
		return
	}
	v.Say("the directory that was there is now %s", human.ShellQuote(e.Path))
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
	case o.Mended != nil:
		v.mended(o.Mended)
	default:
		v.done(o.Got)
	}
}

// verified lists the chunks that differ. Others tell the error.
func (v *getText) verified(o Outcome) {
	if o.Verified != nil {
		wrongChunks(v, o.Path, o.Verified, "the servers' file")
	}
	if o.Err != nil {
		v.sayFailedServers(o.Err)
	}
}

// wrongChunks lists the chunks of a file that differ from another's.
func wrongChunks(on Printer, path string, r *fetch.VerifyResult, other string) {
	for _, b := range r.Bad {
		on.Result(fmt.Sprintf("%d\t%d\t%d", b.Chunk, b.Offset, b.Length))
	}
	if r.LocalSize != r.Size {
		on.Say("%s has %s bytes, %s %s", human.ShellQuote(path), human.Comma(r.LocalSize), other, human.Comma(r.Size))
	}
}

// Checked shows the result of comparing a file with known values.
func Checked(on Printer, path string, r *fetch.VerifyResult) {
	wrongChunks(on, path, r, "the file of these values")
	emitVerified(on, path, r)
	if r.Right() {
		Right(on, path, r.Size, r.Checksum)
	}
}

func unreadableChunks(on Printer, e fetch.ChunksUnreadable) {
	on.Warn("%s: %s cannot be read: %s; the disk may be failing", human.ShellQuote(e.Path), human.Plural(e.Chunks, "chunk", "chunks"), e.Err.Error())
}

// Unreadable shows an event of comparing a file with known values.
func Unreadable(on Printer, e fetch.Event) {
	if e, ok := e.(fetch.ChunksUnreadable); ok {
		unreadableChunks(on, e)
	}
}

// voted says who answered and how the vote ended.
func (v *getText) voted(e fetch.Voted) {
	v.tree = e.Result.Groups[e.Result.Winner].Tree
	v.sayIDs()
	v.Say("%s", v.Bold(voteLine(e)))
}

func (v *getText) started(e fetch.Started) {
	size := fmt.Sprintf("%s in %s", human.Bytes(e.Size), human.Plural(e.Chunks, "chunk", "chunks"))
	if e.Tree {
		size = totalsOf(e.Totals)
		if distinct := human.Bytes(e.Size); distinct != human.Bytes(e.Totals.Bytes) {
			size += fmt.Sprintf(", %s without what is there twice", distinct)
		}
	}
	what := fmt.Sprintf("getting %s: %s", human.Quote(e.Name), size)
	if v.run.Mending != "" {
		what = fmt.Sprintf("mending %s: fetching %s", human.ShellQuote(v.run.Mending), size)
	}
	if e.Check > 0 {
		what += fmt.Sprintf("; checking %s of %s", human.Bytes(e.Check), v.origin())
	}
	v.Say("%s", what)
	if e.Sparse {
		v.Warn("this file system cannot reserve space: the disk may still turn out to be full")
	}
}

// lacking says what a file system cannot do, and the consequence.
var lacking = map[partfile.Comfort]string{
	partfile.Locks:          "this file system has no locks: another malcolm that writes the same file is noticed by its traces, which takes some seconds",
	partfile.ExclusiveNames: "this file system always replaces: a file that another program makes under the final name at the last moment is lost",
	partfile.Syncs:          "this file system never says that bytes are on the disk: after a power cut the file may not be whole, which malcolm verify finds",
	partfile.Times:          "the file is there, but not with the time of its original",
}

// origin names what is there already.
func (v *getText) origin() string {
	switch {
	case v.run.Local:
		return "the local file"
	case v.run.Mending != "":
		return "what is here"
	}
	return "an earlier run"
}

// progress writes a line for each server whose numbers changed and one for the
// total.
func (v *getText) progress(p fetch.Snapshot) {
	if v.crowd.due(time.Now()) {
		v.sayRest()
	}
	if v.silent {
		return
	}
	changed := p.Good != v.last.Good || p.Checked != v.last.Checked || p.Reserved != v.last.Reserved || p.Phase != v.last.Phase
	for i, s := range p.Servers {
		var last fetch.ServerReport
		if i < len(v.last.Servers) {
			last = v.last.Servers[i]
		}
		switch {
		case s.State == fetch.StateIndexing && s.Indexing != last.Indexing:
			v.Report("%-21s  indexing, %s", s.Target, human.Percent(int64(s.Indexing*1000), 1000))
		case s.State == fetch.StateServing && s.Bytes != last.Bytes,
			s.BadChunks != last.BadChunks:
			v.Report("%-21s  %-8s  %12s  %4s  %9s  %d wrong", s.Target, s.State, human.Rate(s.Rate),
				share(s.Bytes, p.Good-p.Resumed), human.Bytes(s.Bytes), s.BadChunks)
			changed = true
		}
	}
	if changed && p.Phase != fetch.PhaseAsking {
		v.Report("%s", totalLine(p))
	}
	v.last = p
}

func totalLine(p fetch.Snapshot) string {
	switch {
	case p.Phase == fetch.PhaseFinishing:
		return "total  100 %  making it durable"
	case p.Phase == fetch.PhaseReadingBack:
		return fmt.Sprintf("total  100 %%  reading back: %s of %s", human.Bytes(p.Checked), human.Bytes(p.Check))
	case p.Phase == fetch.PhaseReserving:
		return fmt.Sprintf("reserving space: %s of %s", human.Bytes(p.Reserved), human.Bytes(p.Size))
	case p.Phase == fetch.PhasePreparing && p.Check > 0:
		return fmt.Sprintf("checking what is there: %s of %s", human.Bytes(p.Checked), human.Bytes(p.Check))
	case isListing(p):
		return fmt.Sprintf("fetching the listing: %s of %s", human.Bytes(p.Good), human.Bytes(p.Size))
	case p.Phase == fetch.PhasePreparing:
		return "asking for the chunk values"
	}
	line := fmt.Sprintf("total  %s  %s of %s  %s", human.Percent(p.Good, p.Size), human.Bytes(p.Good), human.Bytes(p.Size), human.Rate(p.Rate))
	if files := filesDone(p.Tree); files != "" {
		line += "  " + files
	}
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

// done tells how a run ended that has its file.
func (v *getText) done(r *fetch.Result) {
	if r.AlreadyRight {
		v.Say("%s is there already and right: %s, %s", human.Quote(r.Name), human.Bytes(r.Size), proofOf(r.Tree.Voted, r.Checksum))
		v.Result(r.Path)
		return
	}
	seconds := r.Elapsed.Seconds()
	size := human.Bytes(r.Size)
	if r.Tree.Listed {
		size = totalsOf(r.Tree.Totals)
	}
	line := fmt.Sprintf("%s in %s, %s, %s", size, human.Duration(r.Elapsed),
		human.Rate(float64(r.Fetched)/seconds), proofOf(r.Tree.Voted, r.Checksum))
	if r.Tree.Chosen != [32]byte{} {
		line += ", of which was chosen " + human.Checksum(r.Tree.Voted, r.Tree.Chosen)
	}
	if v.bars == nil || !v.bars.drawn { // else a table has them
		line += ", from " + sources(r.Servers)
	}
	if r.Resumed > 0 {
		line += fmt.Sprintf(", %s kept from %s", human.Bytes(r.Resumed), v.origin())
	}
	if r.Duplicate > 0 {
		line += fmt.Sprintf(", %s fetched twice or for nothing", human.Bytes(r.Duplicate))
	}
	v.lacked(r.Servers)
	v.Say("%s", v.Green(line))
	v.Result(r.Path)
}

// sources says how much each server gave, the largest part first.
func sources(servers []fetch.ServerReport) string {
	var used []fetch.ServerReport
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
	mirrors := 0
	for _, s := range used {
		if s.Target.IsMirror() {
			mirrors++
		}
	}
	text := fmt.Sprintf("%s (%s)", plural(len(used), mirrors), strings.Join(list, ", "))
	if more := len(used) - most; more > 0 {
		text = strings.TrimSuffix(text, ")") + fmt.Sprintf(", %d more)", more)
	}
	return text
}

// failed tells how a run ended that has no file: what went wrong, what is kept,
// and how to continue.
func (v *getText) failed(o Outcome) {
	v.sayFailedServers(o.Err)
	v.Fail(o.Err)
	for _, h := range o.Hints {
		v.Hint(h)
	}
	if r := o.Got; o.Kept() && partfile.ReasonOf(o.Err) != partfile.Changed { // else nobody knows which bytes are good
		are := "good"
		if r.Unproved {
			are = "there, and nothing has proved them"
		}
		v.Say("kept %s: %s of %s are %s", human.ShellQuote(r.Part), human.Bytes(r.Fetched+r.Resumed), human.Bytes(r.Size), are)
	}
	for _, h := range o.Resume {
		v.Hint(h)
	}
}
