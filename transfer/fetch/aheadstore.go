package fetch

import (
	"context"
	"errors"
	"slices"
	"sync"

	"malcolm/transfer/partfile"
)

// An aheadStore is the chunkStore of what is fetched ahead: memory, until
// moveTo names another store. From then on it is that one.
type aheadStore struct {
	mu     sync.Mutex
	to     chunkStore          // nil: memory
	claims map[int]*aheadClaim // in memory, by chunk
}

func newAheadStore() *aheadStore { return &aheadStore{claims: make(map[int]*aheadClaim)} }

// then returns the store that has replaced the memory, or nil.
func (s *aheadStore) then() chunkStore {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.to
}

func (s *aheadStore) Claim(chunk int) (chunkClaim, bool) {
	s.mu.Lock()
	to, c := s.to, s.claims[chunk]
	if to == nil && c == nil {
		c = &aheadClaim{store: s, chunk: chunk}
		s.claims[chunk] = c
		s.mu.Unlock()
		return c, true
	}
	s.mu.Unlock()
	if to == nil {
		return nil, false
	}
	return to.Claim(chunk)
}

// TakeOver is refused while the chunks are in memory: each has one range then.
func (s *aheadStore) TakeOver(chunk int) (chunkClaim, bool) {
	if to := s.then(); to != nil {
		return to.TakeOver(chunk)
	}
	return nil, false
}

func (s *aheadStore) Marked(chunk int) bool {
	to := s.then()
	return to != nil && to.Marked(chunk)
}

// Records is true while it is not known which store replaces the memory.
func (s *aheadStore) Records() bool {
	to := s.then()
	return to == nil || to.Records()
}

// forget frees the place of a chunk that was given up.
func (s *aheadStore) forget(c *aheadClaim) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.claims[c.chunk] == c {
		delete(s.claims, c.chunk)
	}
}

// moveTo moves all chunks to another store, in which nobody has claimed them.
// It is called once, and runs beside the loop.
func (s *aheadStore) moveTo(ctx context.Context, to chunkStore) error {
	s.mu.Lock()
	s.to = to
	var claims []*aheadClaim
	for _, c := range s.claims {
		claims = append(claims, c)
	}
	clear(s.claims)
	s.mu.Unlock()
	slices.SortFunc(claims, func(a, b *aheadClaim) int { return a.chunk - b.chunk })
	for _, c := range claims {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		if err := c.moveTo(to); err != nil {
			return err
		}
	}
	return nil
}

// An aheadClaim is the ownership of a chunk in an aheadStore.
type aheadClaim struct {
	store *aheadStore
	chunk int

	mu       sync.Mutex
	to       chunkClaim // in the other store; nil: the chunk is in memory
	held     []byte     // in memory
	marked   bool       // in memory; then xxh is its sum
	xxh      [16]byte
	released bool
}

// errTaken is a bug of ours.
var errTaken = &partfile.Error{
	Op: "claim", Name: "a chunk that was fetched ahead", Reason: partfile.Internal, Err: errors.New("somebody else has it"),
}

// moveTo moves the chunk, with its mark.
func (c *aheadClaim) moveTo(to chunkStore) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.released {
		return nil
	}
	claim, ok := to.Claim(c.chunk)
	if !ok {
		return errTaken
	}
	if len(c.held) > 0 {
		if err := claim.WriteAt(c.held, 0); err != nil {
			return err
		}
	}
	c.to, c.held = claim, nil
	if c.marked {
		return claim.Mark(c.xxh)
	}
	return nil
}

// then returns the claim in the other store, or nil and the lock.
func (c *aheadClaim) then() chunkClaim {
	c.mu.Lock()
	if c.to == nil {
		return nil
	}
	defer c.mu.Unlock()
	return c.to
}

func (c *aheadClaim) WriteAt(p []byte, off int64) error {
	if to := c.then(); to != nil {
		return to.WriteAt(p, off)
	}
	defer c.mu.Unlock()
	if c.released {
		return partfile.ErrNotOwner
	}
	if off > int64(len(c.held)) {
		return errIncomplete
	}
	n := copy(c.held[off:], p)
	c.held = append(c.held, p[n:]...)
	return nil
}

func (c *aheadClaim) Mark(xxh [16]byte) error {
	if to := c.then(); to != nil {
		return to.Mark(xxh)
	}
	defer c.mu.Unlock()
	if c.released {
		return partfile.ErrNotOwner
	}
	c.marked, c.xxh = true, xxh
	return nil
}

func (c *aheadClaim) Release() {
	if to := c.then(); to != nil {
		to.Release()
		return
	}
	c.released, c.held = true, nil
	c.mu.Unlock()
	c.store.forget(c)
}
