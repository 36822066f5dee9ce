package fetch

import (
	"golang.org/x/sync/semaphore"

	"malcolm/transfer/growth"
	"malcolm/transfer/pace"
)

// A Shared is what sessions that run at once have in common: a rate limit,
// memory, and the number of connections. Any goroutine may use it.
type Shared struct {
	limit  *pace.Limiter
	pieces *bufferPool
	copies *semaphore.Weighted // bytes of second copies
	conns  int                 // connections of one session
}

// NewShared returns what sessions share of which at most n run at once. limit
// bounds the bytes of files a second of all of them; 0: no limit.
func NewShared(n int, limit int64) *Shared {
	return &Shared{
		limit:  pace.NewLimiter(limit),
		pieces: newBufferPool(pieces, pieceSize),
		copies: semaphore.NewWeighted(maxCopyBytes),
		conns:  max(growth.MostTotal/max(n, 1), 1),
	}
}
