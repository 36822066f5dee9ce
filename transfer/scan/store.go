package scan

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"sync"

	"malcolm/transfer/manifest/cache"
	"malcolm/wire"
)

// A store holds the values of files of several chunks, by number: those that
// the cache kept, and behind them those that were hashed since, in a file of
// our own. Any goroutine may call its methods. It ends with its last user.
type store struct {
	base  *cache.Tree // nil: none
	first uint32      // number of the first value that is not base's

	mu    sync.Mutex
	users int
	file  *os.File // nil: nothing was added
	name  string   // of file, if it could not be unlinked
	n     uint32   // values in all
}

// newStore returns a store with one user.
func newStore(base *cache.Tree) *store {
	s := &store{base: base, users: 1}
	if base != nil {
		s.first = base.Values()
		s.n = s.first
	}
	return s
}

func (s *store) use() *store {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.users++
	return s
}

func (s *store) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.users--; s.users > 0 {
		return
	}
	if s.base != nil {
		s.base.Close()
	}
	if s.file != nil {
		s.file.Close()
	}
	if s.name != "" {
		os.Remove(s.name)
	}
}

// errFull says that there are more values than can be numbered.
var errFull = errors.New("too many values of files that changed")

// add adds values and returns the number of the first one.
func (s *store) add(values []byte) (first uint32, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.file == nil {
		if s.file, err = os.CreateTemp("", "malcolm-values-"); err != nil {
			return 0, fmt.Errorf("keep the hashes: %w", err)
		}
		if os.Remove(s.file.Name()) != nil { // some systems remove no open file
			s.name = s.file.Name()
		}
	}
	if uint64(s.n)+uint64(len(values)/wire.ValueLen) > math.MaxUint32 {
		return 0, errFull
	}
	if _, err := s.file.WriteAt(values, int64(s.n-s.first)*wire.ValueLen); err != nil {
		return 0, fmt.Errorf("keep the hashes: %w", err)
	}
	first = s.n
	s.n += uint32(len(values) / wire.ValueLen)
	return first, nil
}

// read fills p, whose length is a multiple of [wire.ValueLen], with the values
// from number first on, which were added at once.
func (s *store) read(p []byte, first uint32) error {
	if first < s.first {
		return s.base.ReadValues(p, first)
	}
	s.mu.Lock()
	f := s.file
	s.mu.Unlock()
	if f == nil {
		return fs.ErrNotExist
	}
	_, err := f.ReadAt(p, int64(first-s.first)*wire.ValueLen)
	return err
}

// crowdedFrom is the number of added values from which a store may be crowded:
// 64 MiB.
const crowdedFrom = 2 << 20

// crowded reports whether most of what was added belongs to files that are not
// among live values any more.
func (s *store) crowded(live int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	added := int64(s.n - s.first)
	return added > crowdedFrom && added > 2*live
}
