package serve

import (
	"bytes"
	"context"
	"io"
	"io/fs"
	"time"

	"malcolm/transfer/manifest"
	"malcolm/transfer/scan"
	"malcolm/wire"
)

// DefaultRescan is the least time between two scans of a tree.
const DefaultRescan = 10 * time.Second

// A Tree says which tree a [Server] offers.
type Tree struct {
	// Scan says what is scanned.
	Scan scan.Config
	// Rescan is the least time between two scans. A scan begins when a
	// client asks for the offer, or a read finds a file that has changed.
	// 0: [DefaultRescan].
	Rescan time.Duration
}

// A treeVersion is a tree at one time. Its users are the index, who looks
// something up in it, and each of its files that is open.
type treeVersion struct {
	index          *treeIndex
	snapshot       *scan.Snapshot
	listing, times *version // in memory

	// under treeIndex.mu
	users int
	asked time.Time    // when somebody last asked for something of it
	gone  map[int]bool // entries whose files do not hold any more what was hashed
}

// newTreeVersion returns the version of a snapshot, with one user.
func newTreeVersion(ctx context.Context, ix *treeIndex, s *scan.Snapshot) (*treeVersion, error) {
	t := &treeVersion{index: ix, snapshot: s, users: 1, gone: make(map[int]bool)}
	var err error
	if t.listing, err = inMemory(ctx, s.Listing(), s.Listing().Size(), s.ModTime()); err != nil {
		return nil, err
	}
	if t.times, err = inMemory(ctx, bytes.NewReader(s.Times()), int64(len(s.Times())), s.ModTime()); err != nil {
		return nil, err
	}
	o := &t.listing.offer
	o.Kind, o.Name = wire.KindTree, wire.OfferableName(ix.name)
	o.Times, o.TimesSize = t.times.offer.Checksum, t.times.offer.Size
	return t, nil
}

// inMemory returns the version of a file of size bytes that is in memory. The
// error is that of ctx.
func inMemory(ctx context.Context, b io.ReaderAt, size int64, modified time.Time) (*version, error) {
	f := memory{b, size, modified}
	values, sum, err := manifest.Build(ctx, f, f.Size(), manifest.BuildOptions{})
	return &version{
		file: f, info: f, values: values,
		offer: wire.Offer{Size: f.Size(), ModTime: modified, Checksum: sum},
	}, err
}

// A memory is a file in memory, and describes itself.
type memory struct {
	io.ReaderAt
	size     int64
	modified time.Time
}

func (m memory) Size() int64 { return m.size }

func (m memory) Close() error               { return nil }
func (m memory) Stat() (fs.FileInfo, error) { return m, nil }
func (m memory) Name() string               { return "" }
func (m memory) Mode() fs.FileMode          { return 0o444 }
func (m memory) ModTime() time.Time         { return m.modified }
func (m memory) IsDir() bool                { return false }
func (m memory) Sys() any                   { return nil }
