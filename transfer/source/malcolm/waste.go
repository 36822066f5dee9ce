package malcolm

import "sync"

// A purse is how many requests the connections of a run may waste at the
// servers of one identity: the least number that they have announced. It is not
// filled up again: a server may forgive, and need not. Any goroutine may use
// it.
type purse struct {
	mu    sync.Mutex
	most  int
	said  bool // most is known
	spent int
}

// open takes a number that a server has announced.
func (p *purse) open(most int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.said || most < p.most {
		p.most, p.said = most, true
	}
}

// spend takes n out of the purse. With may it takes nothing if there is too
// little.
func (p *purse) spend(n int, may bool) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if may && p.spent+n > p.most {
		return false
	}
	p.spent += n
	return true
}

// A ledger counts which requests of a connection came to nothing in the
// server's eyes, as package wire says. It may count too much, never too little.
// So a client knows when it must not give a request up before some of the reply
// has come. Any goroutine may use it.
type ledger struct {
	// pooled says that the connection is several TLS connections. What one
	// of them has earned is no help to another, so nothing is earned.
	pooled bool

	mu     sync.Mutex
	purse  *purse // nil: the server has announced nothing yet
	most   int    // that it has announced for one connection
	wasted int    // less those answered whole
}

// open takes what a server of the purse's identity has announced.
func (l *ledger) open(p *purse, most int) {
	p.open(most)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.purse == nil || most < l.most {
		l.most = most
	}
	l.purse = p
}

// waste says that a request came to nothing, which could not be helped.
func (l *ledger) waste() { l.spend(false) }

// afford reports whether a request may be given up before anything of its reply
// has come. Then it is counted.
func (l *ledger) afford() bool { return l.spend(true) }

// spend counts a wasted request. With may it counts nothing if the server would
// then close the connection.
func (l *ledger) spend(may bool) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if may && (l.purse == nil || l.wasted >= l.most) {
		return false
	}
	// What the connection has earned costs the address nothing.
	if l.wasted >= 0 && l.purse != nil && !l.purse.spend(1, may) {
		return false
	}
	l.wasted++
	return true
}

// earn says that a request was answered whole.
func (l *ledger) earn() {
	if l.pooled {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.wasted--
}
