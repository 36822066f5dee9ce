package paths

import (
	"net/netip"
	"sync"
	"time"
)

// A Memory is what one run knows of paths. Any goroutine may call its methods.
// A nil Memory remembers nothing.
type Memory struct {
	network func(local netip.Addr) string // more of a network than its prefix; nil: nothing

	mu    sync.Mutex
	table Table // of earlier runs
	noted Table // of this one
	names map[netip.Addr]string
}

// NewMemory returns a memory that begins with a table, which belongs to it from
// now on. network says what tells the network of a local address from others
// with the same prefix; nil: nothing does.
func NewMemory(t Table, network func(local netip.Addr) string) *Memory {
	return &Memory{network: network, table: t, noted: make(Table), names: make(map[netip.Addr]string)}
}

// IsEmpty reports whether nothing is remembered of earlier runs.
func (m *Memory) IsEmpty() bool { return m == nil || len(m.table) == 0 }

// Recall returns the path to a server from a local address; false: nothing is
// remembered, or it is too old.
func (m *Memory) Recall(id [32]byte, local netip.Addr, now time.Time) (Path, bool) {
	if m.IsEmpty() || !local.IsValid() {
		return Path{}, false
	}
	p, ok := m.table[m.place(id, local)]
	if !ok || !p.holds(now) {
		return Path{}, false
	}
	return p, true
}

// Note keeps a path for later runs. Without a local address, as behind a proxy,
// it keeps nothing: nobody could find it again.
func (m *Memory) Note(id [32]byte, local netip.Addr, p Path) {
	if m == nil || !local.IsValid() {
		return
	}
	at := m.place(id, local)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.noted[at] = p.fitted()
}

// Noted returns what this run has noted.
func (m *Memory) Noted() Table {
	t := make(Table)
	if m == nil {
		return t
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for at, p := range m.noted {
		t[at] = p
	}
	return t
}

// place finds the name of a local address's network once.
func (m *Memory) place(id [32]byte, local netip.Addr) Place {
	local = local.Unmap()
	m.mu.Lock()
	defer m.mu.Unlock()
	name, ok := m.names[local]
	if !ok {
		name = Prefix(local).String()
		if m.network != nil {
			name += " " + m.network(local)
		}
		m.names[local] = name
	}
	return PlaceOf(id, name)
}
