package fetch

// A ChunkMark says where a chunk of a download came from and what happened to
// it, in one byte.
type ChunkMark uint8

// The lower bits of a mark are the chunk's origin: missing, kept, or a server.
// Servers from number MapServers on share a value.
const (
	markMissing ChunkMark = iota
	markKept
	markServer
	markOrigin  ChunkMark = 1<<6 - 1
	markTwice   ChunkMark = 1 << 6
	markRefused ChunkMark = 1 << 7
)

// MapServers is the number of servers that a [ChunkMark] tells apart: the first
// ones of a run.
const MapServers = int(markOrigin - markServer)

// Good reports whether the chunk is there and right.
func (m ChunkMark) Good() bool { return m&markOrigin != markMissing }

// Kept reports whether the chunk is of an earlier run or of a local file.
func (m ChunkMark) Kept() bool { return m&markOrigin == markKept }

// Server returns the index, in [Snapshot].Servers, of the server that delivered
// the chunk. Servers from [MapServers] on are all MapServers; -1: no server
// did.
func (m ChunkMark) Server() int {
	if m&markOrigin < markServer {
		return -1
	}
	return int(m&markOrigin - markServer)
}

// Twice reports whether a second copy of the chunk was asked for.
func (m ChunkMark) Twice() bool { return m&markTwice != 0 }

// Refused reports whether a server sent the chunk with wrong bytes.
func (m ChunkMark) Refused() bool { return m&markRefused != 0 }

// from returns the mark of a chunk that a server has delivered.
func (m ChunkMark) from(server int) ChunkMark {
	return m&^markOrigin | markServer + ChunkMark(min(server, MapServers))
}

// A ChunkMap has the mark of each chunk; nil keeps none.
type ChunkMap []ChunkMark

func (m ChunkMap) kept(chunk int) {
	if m != nil {
		m[chunk] |= markKept
	}
}

func (m ChunkMap) delivered(chunk, server int) {
	if m != nil {
		m[chunk] = m[chunk].from(server)
	}
}

func (m ChunkMap) flag(chunk int, what ChunkMark) {
	if m != nil {
		m[chunk] |= what
	}
}
