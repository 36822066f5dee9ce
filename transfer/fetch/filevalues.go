package fetch

import (
	"context"
	"sync"
	"time"

	"malcolm/transfer/content"
	"malcolm/transfer/source"
	"malcolm/wire"
)

// A chunkValues says what the value of each chunk is. Any goroutine may call
// its methods.
type chunkValues interface {
	// check reports whether a chunk that came has the right value. If the
	// value is not known, it asks the source at the end of way; an error is
	// then that source's fault.
	check(ctx context.Context, way source.Conn, chunk int, value [32]byte) (right bool, err error)
	// lacks reports whether nobody has asked for a file's values yet.
	lacks(file int) bool
	// expect asks a source for a file's values, which are going to be
	// wanted, and waits for the answer. An error is reported to the call
	// that wants them later.
	expect(ctx context.Context, way source.Conn, file int)
	// of returns the value of a chunk, as check asks for it.
	of(ctx context.Context, way source.Conn, chunk int) ([32]byte, error)
	// took says that a chunk with this value is there now.
	took(chunk int, value [32]byte)
	// good says that a chunk is good: nobody will want its value again.
	good(chunk int)
}

// A fileValues is the chunkValues of one file, which are known.
type fileValues struct{ wire.Values }

func (v fileValues) check(_ context.Context, _ source.Conn, chunk int, value [32]byte) (right bool, err error) {
	return v.At(chunk) == value, nil
}

func (v fileValues) of(_ context.Context, _ source.Conn, chunk int) ([32]byte, error) {
	return v.At(chunk), nil
}

func (fileValues) took(int, [32]byte) {}

func (fileValues) lacks(int) bool { return false }

func (fileValues) expect(context.Context, source.Conn, int) {}

func (fileValues) good(int) {}

// A treeValues is the chunkValues of many files. The value of a file's only
// chunk is its checksum. It has the values of other files from when they are
// first wanted until all of the file's chunks are good.
type treeValues struct {
	content *content.Content
	tellers func() []source.Conn // ways to those that can say values

	mu   sync.Mutex
	held map[int]*heldValues // by file
	left map[int]int         // chunks that are not good, of files of which one is
}

// A heldValues is the values of one file.
type heldValues struct {
	values wire.Values
	asked  int           // requests for them under way
	came   chan struct{} // closed when values were set, or the last request has failed
}

func newTreeValues(c *content.Content, tellers func() []source.Conn) *treeValues {
	return &treeValues{content: c, tellers: tellers, held: make(map[int]*heldValues), left: make(map[int]int)}
}

func (v *treeValues) check(ctx context.Context, way source.Conn, chunk int, value [32]byte) (right bool, err error) {
	want, err := v.of(ctx, way, chunk)
	return want == value, err
}

func (*treeValues) took(int, [32]byte) {}

// of returns the value of a chunk.
func (v *treeValues) of(ctx context.Context, way source.Conn, chunk int) ([32]byte, error) {
	p := v.content.Place(chunk)
	if v.content.FileChunks(p.File) == 1 {
		return v.content.File(p.File).Checksum, nil
	}
	values, err := v.obtain(ctx, way, p.File)
	if err != nil {
		return [32]byte{}, err
	}
	return values.At(p.Chunk), nil
}

func (v *treeValues) lacks(file int) bool {
	if v.content.FileChunks(file) == 1 {
		return false
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	h := v.held[file]
	return h == nil || h.values.Len() == 0 && h.asked == 0
}

func (v *treeValues) expect(ctx context.Context, way source.Conn, file int) {
	_, _ = v.obtain(ctx, way, file)
}

// obtain returns the values of a file. When somebody else has asked for them it
// waits for the answer, at most hedgeTime, and asks itself if none has come.
func (v *treeValues) obtain(ctx context.Context, way source.Conn, file int) (wire.Values, error) {
	hedge := time.NewTimer(hedgeTime)
	defer hedge.Stop()
	for late := false; ; {
		v.mu.Lock()
		h := v.held[file]
		if h == nil {
			h = &heldValues{came: make(chan struct{})}
			v.held[file] = h
		}
		if h.values.Len() > 0 {
			v.mu.Unlock()
			return h.values, nil
		}
		if h.asked == 0 || late {
			h.asked++
			v.mu.Unlock()
			return v.ask(ctx, way, file, h)
		}
		came := h.came
		v.mu.Unlock()
		select {
		case <-came:
		case <-hedge.C:
			late = true
		case <-ctx.Done():
			return wire.Values{}, context.Cause(ctx)
		}
	}
}

// askOthers asks the sources that have values, since a mirror has none. An
// error is not the mirror's fault.
func (v *treeValues) askOthers(ctx context.Context, o source.Offer) (wire.Values, error) {
	for _, way := range v.tellers() {
		if values, err := way.Values(ctx, o, func(int) {}); err == nil {
			return values, nil
		}
	}
	return wire.Values{}, errNoTeller
}

// errNoTeller says that a mirror's bytes cannot be used until somebody can say
// what they must be.
var errNoTeller = &source.Fault{What: source.Lost, Words: "nobody is there who can say what its bytes must be"}

// ask asks a source for the values of a file.
func (v *treeValues) ask(ctx context.Context, way source.Conn, file int, h *heldValues) (wire.Values, error) {
	f := v.content.File(file)
	o := source.Offer{Offer: wire.Offer{Size: f.Size, Checksum: f.Checksum}}
	values, err := way.Values(ctx, o, func(int) {})
	if err != nil && source.WhatOf(err) == source.BytesOnly {
		values, err = v.askOthers(ctx, o)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	h.asked--
	switch {
	case h.values.Len() > 0: // somebody else was sooner
		return h.values, nil
	case err == nil:
		h.values = values
		close(h.came)
	case h.asked == 0:
		close(h.came)
		h.came = make(chan struct{})
	}
	return values, err
}

func (v *treeValues) good(chunk int) {
	file := v.content.Place(chunk).File
	n := v.content.FileChunks(file)
	if n == 1 {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	left, ok := v.left[file]
	if !ok {
		left = n
	}
	if left--; left > 0 {
		v.left[file] = left
		return
	}
	delete(v.left, file)
	delete(v.held, file)
}

// valuesAhead is how many files of a range have their values asked for at a
// time, with the one whose bytes come.
const valuesAhead = 8

// A valuesAsker asks for the values of a range's files before their bytes come.
// It belongs to the range's goroutine.
type valuesAsker struct {
	run    *rangeRun
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
	next   int // chunk: up to it everything was asked for
}

func (f *rangeRun) expectValues() *valuesAsker {
	a := &valuesAsker{run: f, next: f.First}
	a.ctx, a.cancel = context.WithCancel(f.ctx)
	return a
}

// at says that a chunk comes next.
func (a *valuesAsker) at(chunk int) {
	f := a.run
	c := f.content
	last := c.Place(chunk).File + valuesAhead
	for end := f.First + f.Count; a.next < end; {
		file := c.Place(a.next).File
		if file >= last {
			return
		}
		if f.values.lacks(file) {
			a.wg.Go(func() { f.values.expect(a.ctx, f.way, file) })
		}
		a.next = c.FirstChunk(file + 1)
	}
}

// end ends the requests that at has begun.
func (a *valuesAsker) end() {
	a.cancel()
	a.wg.Wait()
}
