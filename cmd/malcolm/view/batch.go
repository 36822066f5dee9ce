package view

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"malcolm/cmd/malcolm/human"
	"malcolm/cmd/malcolm/screen"
	"malcolm/transfer/fetch"
	"malcolm/transfer/pace"
)

// A LineError is why the file of one line of a list is not there.
type LineError struct {
	Line int
	Err  error
}

func (e *LineError) Error() string { return fmt.Sprintf("line %d: %s", e.Line, e.Err.Error()) }

func (e *LineError) Unwrap() error { return e.Err }

// A Batch shows how the files of a list are copied: a line for each that is
// there or failed, warnings with their line of the list, and how far all of
// them are. Any goroutine may call its methods.
type Batch struct {
	on      Terminal
	total   int
	begun   time.Time
	reports reports
	stop    func() // ends the drawing; nil: nothing is drawn

	mu     sync.Mutex
	files  []*BatchFile // under way, in the order in which they began
	counts BatchCounts
	told   map[string]bool // messages that are told once
	meter  pace.Meter
	seen   int64  // bytes at the last look
	last   string // report
}

// BatchCounts are the files of a list by how they ended, and the bytes that
// were fetched.
type BatchCounts struct {
	Done   int   // copied in this run, or found right
	There  int   // done in an earlier run
	Failed int   // not there
	Bytes  int64 // fetched in this run
}

// NewBatch returns a view of a run of a number of files. interval is the time
// between two reports; 0: no reports.
func NewBatch(on Terminal, files int, interval time.Duration) *Batch {
	b := &Batch{on: on, total: files, begun: time.Now(), told: make(map[string]bool)}
	b.meter.Start(rateTime, b.begun)
	switch {
	case interval == 0:
	case on.Drawn:
		b.stop = on.Draw(b.frame)
	default:
		b.reports.begin(interval, b.report)
	}
	return b
}

// There says that a file is there from an earlier run.
func (b *Batch) There(line int, path string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.counts.There++
	b.on.Explain("line %d: %s is done already", line, human.ShellQuote(path))
	b.on.Emit(batchFileEvent{head: is("batch_file"), Line: line, State: "there", Path: jsonText(path), Servers: []doneServer{}, Refused: []refusal{}})
}

// Ended shows the totals and returns the counts. Nothing is shown after it.
func (b *Batch) Ended() BatchCounts {
	b.reports.end()
	if b.stop != nil {
		b.stop()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	c, took := b.counts, time.Since(b.begun)
	line := fmt.Sprintf("%s of %s in %s", human.Comma(int64(c.Done+c.There)), human.Plural(b.total, "file", "files"), human.Duration(took))
	if c.There > 0 {
		line += fmt.Sprintf(", %s of them done before", human.Comma(int64(c.There)))
	}
	line += fmt.Sprintf(": %s fetched, %s", human.Bytes(c.Bytes), human.Rate(float64(c.Bytes)/max(took.Seconds(), 0.001)))
	if c.Done+c.There == b.total {
		line = b.on.Green(line)
	}
	b.on.Say("%s", line)
	b.on.Emit(batchEvent{
		head: is("batch"), Files: b.total, Done: c.Done, There: c.There, Failed: c.Failed, Bytes: c.Bytes, Seconds: seconds(took),
	})
	return c
}

// A BatchFile shows how one file of a list is copied. Its methods are called
// one at a time, like those of a [Get].
type BatchFile struct {
	b      *Batch
	line   int
	text   *getText
	status func() fetch.Snapshot // nil: nobody can be asked yet
	name   string                // "" before it is known
}

// File begins the file of a line.
func (b *Batch) File(line int, name string, r Run) *BatchFile {
	f := &BatchFile{b: b, line: line, name: name}
	on := b.on
	on.Printer, on.JSON = linePrinter{on.Printer, f}, false
	f.text = &getText{Terminal: on, run: r, silent: true}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.files = append(b.files, f)
	return f
}

// Ask says how to get the status of the file.
func (f *BatchFile) Ask(status func() fetch.Snapshot) {
	f.b.mu.Lock()
	defer f.b.mu.Unlock()
	f.status = status
}

// Event shows what happened. What holds for the whole batch is told once.
func (f *BatchFile) Event(e fetch.Event) {
	switch e := e.(type) {
	case fetch.FirstContact:
		if f.b.once(e.Target.Typed() + " " + e.ID.String()) {
			f.b.on.Say("server ID %s: %s (first contact%s)", e.ID, e.Target, remembered(e.Recorded))
		}
		return
	case fetch.SmallBuffers, fetch.UDPBlocked, fetch.NotRemembered:
		if !f.b.once(fmt.Sprintf("%T", e)) {
			return
		}
	case fetch.Started:
		f.b.mu.Lock()
		f.name = e.Name
		f.b.mu.Unlock()
	}
	f.text.event(e)
}

func remembered(recorded bool) string {
	if recorded {
		return ": remembered from now on"
	}
	return ""
}

// once reports whether something was not told before.
func (b *Batch) once(what string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.told[what] {
		return false
	}
	b.told[what] = true
	return true
}

// Ended shows how the file ended. why is for a file that is not there. given
// says that the user has ended the run; others tell that.
func (f *BatchFile) Ended(o Outcome, why Failure, given bool) {
	b := f.b
	e := batchFileEvent{head: is("batch_file"), Line: f.line, State: "done", Servers: []doneServer{}, Refused: []refusal{}}
	if r := o.Got; r != nil && (o.Err == nil || r.Part != "") {
		d := doneOf(o)
		e.Path, e.Bytes, e.Checksum, e.Seconds, e.Servers, e.Refused = d.Path, d.Bytes, d.Checksum, d.Seconds, d.Servers, d.Refused
	}
	switch {
	case o.Err == nil:
		f.text.ended(o)
		b.on.Say("line %d: %s: %s", f.line, human.ShellQuote(o.Got.Path), human.Bytes(o.Got.Size))
	case given:
	default:
		f.text.ended(o)
	}
	if o.Err != nil {
		e.State, e.Exit, e.Kind, e.Message = "failed", why.Exit, why.Kind, jsonText(why.Message)
		e.Hint = jsonText(strings.Join(why.Hints, "\n"))
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.files = slices.DeleteFunc(b.files, func(other *BatchFile) bool { return other == f })
	if o.Got != nil {
		b.counts.Bytes += o.Got.Fetched
	}
	if o.Err == nil {
		b.counts.Done++
	} else {
		b.counts.Failed++
	}
	b.on.Emit(e)
}

// A linePrinter adds the list's line to each message. What a single run always
// says, a batch says only with -v.
type linePrinter struct {
	Printer
	f *BatchFile
}

func (p linePrinter) Say(format string, args ...any) { p.Explain(format, args...) }

func (p linePrinter) Explain(format string, args ...any) {
	p.Printer.Explain("%s", p.of(format, args))
}

func (p linePrinter) Warn(format string, args ...any) { p.Printer.Warn("%s", p.of(format, args)) }

func (p linePrinter) WarnHint(text string) {
	if p.f.b.once(text) {
		p.Printer.WarnHint(text)
	}
}

func (p linePrinter) Fail(err error) {
	if _, told := errors.AsType[*LineError](err); !told {
		err = &LineError{p.f.line, err}
	}
	p.Printer.Fail(err)
}

func (p linePrinter) Hint(text string) {
	if p.f.b.once(text) {
		p.Printer.Hint(text)
	}
}

func (p linePrinter) of(format string, args []any) string {
	return fmt.Sprintf("line %d: ", p.f.line) + fmt.Sprintf(format, args...)
}

// now returns the state of the batch. The caller holds mu.
func (b *Batch) now() (c BatchCounts, rate float64, under []fetch.Snapshot, names []string) {
	c = b.counts
	for _, f := range b.files {
		var p fetch.Snapshot
		if f.status != nil {
			p = f.status()
			c.Bytes += max(0, p.Good-p.Resumed)
		}
		under, names = append(under, p), append(names, f.nameNow())
	}
	// A failed file had bytes that no longer count.
	b.meter.Add(max(0, c.Bytes-b.seen), time.Now())
	b.seen = max(c.Bytes, b.seen)
	return c, b.meter.Rate(), under, names
}

func (f *BatchFile) nameNow() string {
	if f.name == "" {
		return fmt.Sprintf("line %d", f.line)
	}
	return human.Quote(f.name)
}

// report writes how far the batch is, if that has changed.
func (b *Batch) report() {
	b.mu.Lock()
	defer b.mu.Unlock()
	c, rate, under, _ := b.now()
	line := fmt.Sprintf("total  %s  %d under way  %s", b.filesDone(c), len(under), human.Bytes(c.Bytes))
	if line != b.last {
		b.last = line
		b.on.Report("%s  %s", line, human.Rate(rate))
		b.on.Emit(batchProgressEvent{
			head: is("batch_progress"), Files: b.total, Done: c.Done, There: c.There, Failed: c.Failed, UnderWay: len(under),
			Bytes: c.Bytes, Rate: wholeRate(rate),
		})
	}
}

func (b *Batch) filesDone(c BatchCounts) string {
	text := fmt.Sprintf("%s of %s", human.Comma(int64(c.Done+c.There)), human.Plural(b.total, "file", "files"))
	if c.Failed > 0 {
		text += fmt.Sprintf(", %s failed", human.Comma(int64(c.Failed)))
	}
	return text
}

// frame draws a line for each file under way, and one for all files.
func (b *Batch) frame(width, height int) screen.Frame {
	b.mu.Lock()
	defer b.mu.Unlock()
	c, rate, under, names := b.now()
	l := b.on.painter()
	width--
	var lines []string
	if width >= narrow {
		const label = 24
		for i, p := range under[:min(len(under), max(height-spareRows, 0))] {
			name := screen.CutEnd(names[i], label)
			if p.Size == 0 {
				lines = append(lines, name)
				continue
			}
			name += strings.Repeat(" ", max(0, label-screen.Columns(name)))
			lines = append(lines, l.line(width, gauge{label: name, done: p.Good, kept: p.Resumed, total: p.Size, rate: p.Rate}))
		}
	}
	ended := int64(c.Done + c.There + c.Failed)
	text := fmt.Sprintf("%7s  %s  %s  %s", human.Percent(ended, int64(b.total)), b.filesDone(c), human.Bytes(c.Bytes), human.Rate(rate))
	if room := width - screen.Columns(text) - screen.ColumnGap; room >= barLeast {
		text += strings.Repeat(" ", screen.ColumnGap) + l.Bar(min(room, barMost), ended, int64(c.There), int64(b.total))
	}
	lines = append(lines, screen.CutEnd(text, width))
	return screen.Frame{Lines: lines, Tab: screen.TabOf(ended, int64(b.total))}
}
