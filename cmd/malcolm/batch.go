package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"sync"

	"malcolm/certs"
	"malcolm/cmd/malcolm/batch"
	"malcolm/cmd/malcolm/flags"
	"malcolm/cmd/malcolm/human"
	"malcolm/cmd/malcolm/view"
	"malcolm/transfer/fetch"
	"malcolm/transfer/localfile"
	"malcolm/transfer/source"
	"malcolm/transfer/source/https"
	"malcolm/transfer/source/malcolm"
	"malcolm/transfer/source/pool"
	"malcolm/transfer/source/srv"
	"malcolm/transfer/tree/filter"
)

// BatchFlags are the flags for many files.
type BatchFlags struct {
	InputFile    flags.Path `placeholder:"FILE" help:"Copy many files: a line of FILE has the sources of one, separated by tabs; indented lines below it are its options, as out=NAME. - is stdin. The format is aria2's."`
	Jobs         int        `short:"j" default:"5" placeholder:"N" help:"With --input-file: files at once, 1 to 64. Default ${default}."`
	BatchJournal flags.Path `placeholder:"PATH" help:"With --input-file: the journal of the files that are done; none: no journal. Default: FILE.journal, and none for stdin."`
}

// mostJobs bounds --jobs.
const mostJobs = 64

// A reach is what the files of a batch share on the way to their servers. One
// goroutine changes it before the first file begins; then any may read it.
type reach struct {
	of      query // without targets
	pins    certs.Pins
	fit     map[certs.Pin]bool // pins whose host is among the sources
	mirrors map[string]source.Target
	servers map[string]source.Target
	book    *srv.Book // knows where SRV names lead
	warned  map[string]bool
	checked bool // every line has been: what it warns of was said
}

// isNew reports whether a warning is still to be said: a batch says each once.
func (r *reach) isNew(warning string) bool {
	if r == nil {
		return true
	}
	if r.checked || r.warned[warning] {
		return false
	}
	r.warned[warning] = true
	return true
}

// knows returns the book of a batch, and nil without a batch.
func (r *reach) knows() *srv.Book {
	if r == nil {
		return nil
	}
	return r.book
}

// lend gives a file's query what the batch shares, with the pins that may be
// for the file's servers.
func (r *reach) lend(q *query) {
	q.reach.QLog, q.reach.Paths, q.reach.Run, q.reach.Trust = r.of.reach.QLog, r.of.reach.Paths, r.of.reach.Run, r.of.reach.Trust
	q.servers.Paths, q.servers.Shared, q.pool = r.of.servers.Paths, r.of.servers.Shared, r.of.pool
	q.reach.Trust.Pins = nil
	for _, pin := range r.pins {
		fits := pin.Host == ""
		for _, target := range q.targets {
			fits = fits || target.IsService() || pin.Host == target.Host && (pin.Port == 0 || pin.Port == target.Port)
		}
		if !fits {
			continue
		}
		q.reach.Trust.Pins = append(q.reach.Trust.Pins, pin)
		if !r.checked {
			r.fit[pin] = true
		}
	}
}

// supply is the supply of a file with some mirrors and servers. While lines are
// checked, one mirror and one server of each host is noted, since warnings are
// about the whole list.
func (r *reach) supply(mirrors, servers []source.Target) supply {
	if !r.checked {
		for _, m := range mirrors {
			r.mirrors[m.Host] = m
		}
		for _, s := range servers {
			r.servers[s.Host] = s
		}
	}
	return r.of.supply
}

// A batchRun is a run of get with a list.
type batchRun struct {
	get     *getCmd // as the command line says
	t       *terminal
	entries []batch.Entry
	reach   *reach
	filter  *filter.Filter // of directories
	chosen  string         // what it chooses; empty: everything
	journal *batch.Journal // nil: nothing is noted
	names   batch.Names
	links   *https.Links
	show    *view.Batch

	mu     sync.Mutex
	worst  error // the gravest one so far
	failed int
	late   error // the journal's
}

// runBatch copies the files of a list.
func (c *getCmd) runBatch(ctx context.Context, args []string, t *terminal) error {
	if err := c.checkBatch(); err != nil {
		return err
	}
	entries, err := c.readList(t)
	if err != nil {
		return err
	}
	return c.copyList(ctx, args, t, entries)
}

// copyList copies the files of a list that was read.
func (c *getCmd) copyList(ctx context.Context, args []string, t *terminal, entries []batch.Entry) (err error) {
	b := &batchRun{get: c, t: t, links: new(https.Links), entries: entries}
	if err := b.prepare(); err != nil {
		return err
	}
	if b.journal, err = c.openJournal(); err != nil {
		return err
	}
	if b.reach.of.save != nil {
		defer b.reach.of.save()
	}
	defer b.reach.book.Close()
	defer b.reach.of.pool.Close()
	defer b.links.Close()
	if t.getenv("GOGC") == "" {
		defer debug.SetGCPercent(debug.SetGCPercent(getGCPercent))
	}
	b.show = view.NewBatch(t.view(), len(b.entries), c.Interval.Duration())
	b.copyAll(ctx)
	if failed := b.journal.Close(); b.late == nil {
		b.late = failed
	}
	b.show.Ended()
	return b.outcome(ctx, args)
}

// checkBatch refuses flags that are for one file.
func (c *getCmd) checkBatch() error {
	of := func(flag string) error {
		return usage("--input-file: " + flag + " is for one file; in the list it is an option below its sources")
	}
	switch {
	case len(c.Targets) > 0 || len(c.Addresses) > 0:
		return usage("--input-file: the sources are in the list; leave out those of the command line")
	case c.Output == stdoutName:
		return usage("--input-file: many files do not go to one stdout")
	case c.Jobs < 1 || c.Jobs > mostJobs:
		return usage(fmt.Sprintf("--jobs %d: from 1 to %d files at once are possible", c.Jobs, mostJobs))
	case c.Name != "":
		return of("--name")
	case c.Checksum != nil:
		return of("--checksum")
	case c.DryRun:
		return usage("--input-file: --dry-run is for one file")
	case c.Values != "":
		return usage("--input-file: --values is for one file; each mirror's own file of values is looked for")
	case c.Map:
		return usage("--input-file: --map is for one file")
	case c.Receipt != "":
		return usage("--input-file: --receipt is for one file; --json has them all")
	case c.Metrics.IsValid() || c.MetricsFile != "" || c.PProf:
		return usage("--input-file: --metrics, --metrics-file and --pprof are for one file")
	case c.Sums != "":
		return usage("--input-file: --sums is for one file or directory; --json has all checksums")
	}
	return nil
}

// readList reads the list.
func (c *getCmd) readList(t *terminal) ([]batch.Entry, error) {
	from, name := t.in, "standard input"
	if c.InputFile != stdoutName {
		name = string(c.InputFile)
		file, err := os.Open(name)
		if err != nil {
			return nil, &localfile.Error{Op: "read", Path: name, Err: inner(err)}
		}
		defer file.Close()
		from = file
	}
	text, err := io.ReadAll(io.LimitReader(from, batch.MaxLen+1))
	if err != nil {
		return nil, &localfile.Error{Op: "read", Path: name, Err: inner(err)}
	}
	if len(text) > batch.MaxLen {
		return nil, usage(fmt.Sprintf("--input-file %s: over %s", human.Quote(name), human.Bytes(batch.MaxLen)))
	}
	entries, err := batch.Parse(string(text))
	if err != nil {
		return nil, c.listError(err)
	}
	return entries, nil
}

// listError is the usage error of a line of the list.
func (c *getCmd) listError(err error) error {
	return usage("--input-file " + human.Quote(string(c.InputFile)) + " " + err.Error())
}

// openJournal opens the journal of the list.
func (c *getCmd) openJournal() (*batch.Journal, error) {
	path := string(c.BatchJournal)
	switch {
	case path == "none", path == "" && c.InputFile == stdoutName:
		return nil, nil
	case path == "":
		path = string(c.InputFile) + ".journal"
	}
	return batch.OpenJournal(path)
}

// prepare opens what the files share, and checks each line, before the first
// file begins.
func (b *batchRun) prepare() error {
	c := b.get
	r := &reach{fit: make(map[certs.Pin]bool), mirrors: make(map[string]source.Target), servers: make(map[string]source.Target), warned: make(map[string]bool)}
	r.book = srv.NewBook(srv.System(), askEvery, c.ConnectTimeout.Duration(), func(w string) { b.t.Warn("%s", w) })
	r.of.targets = b.someMirror()
	if err := c.ServerFlags.open(&r.of, b.t); err != nil {
		return err
	}
	r.pins = r.of.reach.Trust.Pins
	r.of.reach.Run, r.of.pool = malcolm.NewRun(), pool.New()
	r.of.servers.Shared = fetch.NewShared(c.Jobs, int64(c.Limit))
	b.reach = r
	var err error
	if b.filter, b.chosen, err = c.read(b.t); err != nil {
		return err
	}
	for i := range b.entries {
		if err := b.check(&b.entries[i]); err != nil {
			return err
		}
	}
	for _, pin := range r.pins {
		if pin.Host != "" && !r.fit[pin] && len(b.entries) > 0 {
			return &malcolm.PinError{Place: pin.Host}
		}
	}
	r.checked = true
	r.of.reach.ConnectTimeout, r.of.reach.Proxy = c.ConnectTimeout.Duration(), c.Proxy.Of(b.t.getenv)
	mirrors, servers := slices.Collect(maps.Values(r.mirrors)), slices.Collect(maps.Values(r.servers))
	if len(b.entries) == 0 {
		return nil
	}
	if r.of.supply, err = c.supplyOf(mirrors, servers, &r.of, b.t); err == nil {
		r.of.supply.https.Links = b.links
	}
	return err
}

// someMirror returns a mirror if the list names one: a pin may be meant for
// mirrors or for servers.
func (b *batchRun) someMirror() []source.Target {
	for _, e := range b.entries {
		for _, s := range e.Sources {
			if m, err := flags.ParseURL(s); err == nil {
				return []source.Target{m}
			}
		}
	}
	return nil
}

// check finds out what is wrong with a line, and whether another one writes to
// the same path.
func (b *batchRun) check(e *batch.Entry) error {
	j, err := b.job(e)
	if err != nil {
		return err
	}
	if j.out.Name == "" {
		return nil
	}
	path := filepath.Join(j.dir, j.out.Name)
	if err := b.names.Claim(path, e.Line); err != nil {
		return b.get.listError(&batch.Error{Line: e.Line, Problem: fmt.Sprintf("writes to %s, as line %d does", human.Quote(path), b.names.Of(path))})
	}
	return nil
}

// A job is a file to copy.
type job struct {
	query query
	out   fetch.Output
	dir   string // out.Dir as an absolute path
	key   batch.Key
}

// job returns what a line says. Its error is one of usage.
func (b *batchRun) job(e *batch.Entry) (j job, err error) {
	c, err := b.get.withOptions(e)
	if err != nil {
		return j, b.get.listError(err)
	}
	if i := slices.IndexFunc(e.Sources, func(s string) bool { return s[0] == '@' }); i >= 0 {
		return j, b.get.listError(&batch.Error{Line: e.Line, Problem: "names the file " + human.Quote(e.Sources[i]) + ": in a list the sources stand in its lines"})
	}
	c.batch = b.reach
	wrong := func(err error) error {
		return b.get.listError(&batch.Error{Line: e.Line, Problem: "says: " + describe(err)})
	}
	if j.query, err = c.query(e.Sources, b.t); err != nil {
		return j, wrong(err)
	}
	j.query.ballot.Filter, j.query.ballot.Each = b.filter, c.Each
	j.query.provedAtEnd()
	j.query.limit(c.Limit)
	// What an earlier run of the batch left is continued.
	j.out = fetch.Output{Dir: string(c.Output), Name: string(c.Name), Resume: !c.Force, Force: c.Force, Disk: c.disk(&j.query)}
	j.out.RemoteTime = c.RemoteTime
	j.out.Claim = func(path string) error { return b.claim(path, e.Line) }
	if j.dir, err = filepath.Abs(j.out.Dir); err != nil {
		return j, wrong(err)
	}
	if c.Name != "" {
		if err := fetch.CheckName(string(c.Name)); err != nil {
			return j, wrong(err)
		}
	}
	j.key = e.KeyOf(j.dir, b.chosen)
	return j, nil
}

// claim takes a path for a line, however the path was written.
func (b *batchRun) claim(path string, line int) error {
	if abs, err := filepath.Abs(path); err == nil {
		path = abs
	}
	return b.names.Claim(path, line)
}

// copyAll copies the files, a number of them at once, until ctx ends.
func (b *batchRun) copyAll(ctx context.Context) {
	next := make(chan *batch.Entry)
	var workers sync.WaitGroup
	for range min(b.get.Jobs, max(len(b.entries), 1)) {
		workers.Go(func() {
			for e := range next {
				b.copy(ctx, e)
			}
		})
	}
	for i := range b.entries {
		select {
		case next <- &b.entries[i]:
			continue
		case <-ctx.Done():
		}
		break
	}
	close(next)
	workers.Wait()
}

// copy copies the file of a line, unless that is done.
func (b *batchRun) copy(ctx context.Context, e *batch.Entry) {
	j, err := b.job(e)
	if err != nil { // it was right when it was checked
		b.note(&view.LineError{Line: e.Line, Err: err})
		return
	}
	if path, ok := b.journal.Has(j.key); ok && b.claim(path, e.Line) == nil {
		b.show.There(e.Line, path)
		return
	}
	show := b.show.File(e.Line, j.out.Name, j.query.run())
	r, err := session(ctx, j.query, show, func(s *fetch.Session) (*fetch.Result, error) { return s.Get(j.query.ballot, j.out) })
	if r == nil { // there was no session
		r = new(fetch.Result)
	}
	if err != nil {
		b.note(&view.LineError{Line: e.Line, Err: err})
	} else {
		b.done(j.key, r.Path)
	}
	o := view.Outcome{Got: r, Err: err, Hints: hints(err)}
	why := view.Failure{}
	if err != nil {
		why = view.Failure{Exit: exitCode(err), Kind: exitKinds[exitCode(err)], Message: describe(err), Hints: o.Hints}
	}
	show.Ended(o, why, ctx.Err() != nil)
}

// done notes a file in the journal. If the journal cannot be written, that is
// said once.
func (b *batchRun) done(key batch.Key, path string) {
	if abs, err := filepath.Abs(path); err == nil {
		path = abs
	}
	err := b.journal.Done(key, path)
	b.mu.Lock()
	defer b.mu.Unlock()
	if err != nil && b.late == nil {
		b.late = err
		b.t.Warn("%s", err.Error())
	}
}

// note counts a file that failed.
func (b *batchRun) note(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.failed++
	if b.worst == nil || gravity(err) < gravity(b.worst) {
		b.worst = err
	}
}

// gravest are the exit codes, the gravest first: wrong bytes, then servers that
// are not trusted or do not agree, then what another try may mend.
var gravest = []int{exitIntegrity, exitIdentity, exitVote, exitChanged, exitLocal, exitNetwork, exitUsage, exitUnexpected}

// gravity returns the place of an error among the gravest.
func gravity(err error) int {
	if i := slices.Index(gravest, exitCode(err)); i >= 0 {
		return i
	}
	return len(gravest)
}

// outcome is the error of the batch.
func (b *batchRun) outcome(ctx context.Context, args []string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case ctx.Err() != nil:
		err := context.Cause(ctx)
		if isPipe(err) {
			return err
		}
		b.t.Fail(err)
		advice := "to continue: " + batchCommand(args)
		b.t.Hint(advice)
		return &reportedError{err: err, more: []string{advice}}
	case b.worst != nil:
		return &batchError{failed: b.failed, of: len(b.entries), worst: b.worst}
	}
	return b.late
}

// batchCommand is the command that continues a batch: the same one.
func batchCommand(args []string) string {
	text := "malcolm"
	for _, a := range args {
		text += " " + typed(a)
	}
	return text
}

// A batchError says that some files of a batch failed. The others are there.
type batchError struct {
	failed, of int
	worst      error
}

func (e *batchError) Error() string {
	return fmt.Sprintf("%s of %s not copied", human.Comma(int64(e.failed)), human.Plural(e.of, "file is", "files are"))
}

func (e *batchError) Unwrap() error { return e.worst }
