package vote

// A host may bring one vote: what the user typed before a port, or an ID that
// the user named.
type host struct {
	name string // as typed; empty with id
	id   ID     // pinned or in a ticket; zero with name
}

// A pair is a server that answered, as votes see it: its host, and the ID that
// it proved.
type pair struct {
	host host
	id   ID
}

// apart returns the size of the largest set of pairs of which no two have the
// same host and no two the same ID. This is a maximum matching of hosts and
// IDs, found by augmenting paths (Kuhn's algorithm) in at most hosts × pairs
// steps.
func apart(pairs []pair) (size int) {
	m := matching{ids: make(map[host][]ID), by: make(map[ID]host)}
	seen := make(map[pair]bool)
	for _, p := range pairs {
		if !seen[p] {
			seen[p] = true
			m.ids[p.host] = append(m.ids[p.host], p.id)
		}
	}
	for h := range m.ids {
		m.tried = make(map[ID]bool)
		if m.place(h) {
			size++
		}
	}
	return size
}

type matching struct {
	ids   map[host][]ID // that were proved by servers of a host
	by    map[ID]host   // the host for which an ID counts
	tried map[ID]bool   // by the search under way
}

// place finds an ID for a host. It moves other hosts to other IDs where it can.
func (m *matching) place(h host) bool {
	for _, id := range m.ids[h] {
		if m.tried[id] {
			continue
		}
		m.tried[id] = true
		if other, taken := m.by[id]; !taken || m.place(other) {
			m.by[id] = h
			return true
		}
	}
	return false
}
