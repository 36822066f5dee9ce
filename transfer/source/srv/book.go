package srv

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"malcolm/transfer/source"
)

// mostEver bounds the servers that one name may have had in a run. A name
// server that answers with new names each time must not fill the memory.
const mostEver = 4096

// A Book knows where SRV names lead. The zero Book is not of use: see NewBook.
// Any goroutine may call its methods.
type Book struct {
	lookup  Lookup
	every   time.Duration
	timeout time.Duration
	warn    func(string)

	ctx    context.Context
	cancel context.CancelFunc
	asking sync.WaitGroup

	mu    sync.Mutex
	pages map[string]*page
}

// A page is what a book knows of one name.
type page struct {
	answered bool // and servers is what was said last; it may be empty
	servers  []source.Target
	err      error           // why the last look has failed; nil: it has not
	began    time.Time       // of the last look; zero: nobody looked
	done     chan struct{}   // closed when that has ended; nil: it has
	ever     map[string]bool // the servers of all answers
	warned   string          // what is wrong now, said
}

// NewBook returns an empty book. A name is asked for once every interval every;
// lookup may take timeout. warn is told each problem once: a known name that
// cannot be looked up again, and records that are not used.
func NewBook(lookup Lookup, every, timeout time.Duration, warn func(string)) *Book {
	b := &Book{lookup: lookup, every: every, timeout: timeout, warn: warn, pages: make(map[string]*page)}
	b.ctx, b.cancel = context.WithCancel(context.Background())
	return b
}

// Close ends what is being looked up, and waits for that.
func (b *Book) Close() {
	b.cancel()
	b.asking.Wait()
}

// Look begins to look up the names that were not asked for in the book's
// interval.
func (b *Book) Look(names []string) { b.begin(names, false) }

// begin is Look, which with again looks up names anew whose last look failed.
// It returns what is closed when each has ended.
func (b *Book) begin(names []string, again bool) (looks []<-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, name := range names {
		p := b.pages[name]
		if p == nil {
			p = &page{ever: make(map[string]bool)}
			b.pages[name] = p
		}
		due := p.began.IsZero() || time.Since(p.began) >= b.every || again && p.err != nil
		if p.done == nil && due && b.ctx.Err() == nil {
			done := make(chan struct{})
			p.began, p.done = time.Now(), done
			b.asking.Go(func() {
				defer close(done)
				b.ask(name, p)
			})
		}
		if p.done != nil {
			looks = append(looks, p.done)
		}
	}
	return looks
}

// ask looks a name up.
func (b *Book) ask(name string, p *page) {
	ctx, cancel := context.WithTimeout(b.ctx, b.timeout)
	defer cancel()
	a, err := Ask(ctx, b.lookup, name)
	b.mu.Lock()
	defer b.mu.Unlock()
	p.done, p.err = nil, err
	warning := ""
	if err == nil {
		p.servers, warning = p.known(a)
		p.answered = true
	} else if p.answered {
		warning = fmt.Sprintf("%v; the servers that it led to before stay", err)
	}
	if warning != "" && warning != p.warned && b.ctx.Err() == nil {
		b.warn(source.Target{Service: name}.String() + ": " + warning)
	}
	p.warned = warning
}

// known returns the servers of an answer that the page has room for, and what
// is wrong with the answer.
func (p *page) known(a Answer) (servers []source.Target, problem string) {
	problem = a.Problem
	for _, t := range a.Servers {
		switch key := t.String(); {
		case p.ever[key]:
		case len(p.ever) == mostEver:
			problem = fmt.Sprintf("it has named %d servers in this run: no more are used", mostEver)
			continue
		default:
			p.ever[key] = true
		}
		servers = append(servers, t)
	}
	if len(servers) == 0 && len(a.Servers) > 0 {
		servers = p.servers
	}
	return servers, problem
}

// Ask is Look, and waits for the answers. Names that failed are asked for
// again. The error is ctx's.
func (b *Book) Ask(ctx context.Context, names []string) error {
	for _, look := range b.begin(names, true) {
		select {
		case <-look:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// errNotYet says that nothing was heard of a name.
var errNotYet = &source.Fault{What: source.NoHost, Words: "is being looked up"}

// errNotThere says that a name leads nowhere, and that its owner means that.
var errNotThere = &source.Fault{What: source.NoHost, Words: `its owner says that the service is not there (its target is ".")`}

// Servers returns where a name leads by the last answer. Without a server the
// error, a fault, says why.
func (b *Book) Servers(name string) ([]source.Target, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	p := b.pages[name]
	switch {
	case p == nil, !p.answered && p.err == nil:
		return nil, errNotYet
	case len(p.servers) > 0:
		return slices.Clone(p.servers), nil
	case p.err != nil:
		return nil, p.err
	}
	return nil, errNotThere
}
