package fetch

import (
	"context"
	"runtime"
	"sync/atomic"

	"malcolm/transfer/localfile"
	"malcolm/transfer/manifest"
	"malcolm/transfer/partfile"
	"malcolm/wire"
)

// checks say how far the bytes already here were checked.
type checks struct {
	checked int64         // bytes
	toCheck int64         // bytes
	hashed  *atomic.Int64 // counts checked beside the loop; nil: not now
}

// A survey is what this machine may have already. Once made, it does not
// change.
type survey struct {
	claimed int64     // bytes that the journal claims are in the part file
	unknown *chunkSet // chunks in the part file to check by their BLAKE3
	copied  *chunkSet // chunks that a local file has
	missing *chunkSet
}

// bytes returns how many bytes of the file that is.
func (s *survey) bytes() int64 { return s.claimed + s.unknown.bytes + s.copied.bytes }

// newSurvey sorts the chunks of a part file by what is known of them. Any
// goroutine may call it.
func newSurvey(part *partfile.File, local *localCopy, size int64) *survey {
	n := manifest.Count(size)
	s := &survey{unknown: newChunkSet(n), copied: newChunkSet(n), missing: newChunkSet(n)}
	journal := part.UsableJournal()
	for c := range n {
		offset, n := manifest.Span(size, c)
		switch {
		case part.Claimed(c):
			s.claimed += n
		case local.has(c):
			s.copied.add(c, n)
		case journal || offset >= part.Prior() || !part.HasData(offset, n):
			s.missing.add(c, n)
		default:
			s.unknown.add(c, n)
		}
	}
	return s
}

// A chunkSet is a set of chunks, one bit a chunk. Once shared, it does not
// change.
type chunkSet struct {
	bits  []uint64
	bytes int64 // total size of its chunks
}

func newChunkSet(chunks int) *chunkSet { return &chunkSet{bits: make([]uint64, (chunks+63)/64)} }

// add adds a chunk of n bytes, which must not be in the set.
func (s *chunkSet) add(chunk int, n int64) {
	s.bits[chunk/64] |= 1 << (chunk % 64)
	s.bytes += n
}

func (s *chunkSet) has(chunk int) bool { return s.bits[chunk/64]&(1<<(chunk%64)) != 0 }

// A checker checks, beside the loop, what an earlier run left in the part file,
// and tells the loop whether each chunk is good. It compares what the journal
// claims with its xxh3, the rest with the values.
type checker struct {
	*job
	part    *partfile.File
	values  wire.Values // of the file
	survey  *survey
	local   *localCopy               // nil: none
	found   func(chunk int, ok bool) // tells the loop; any goroutine may call it
	damaged func(chunk int)          // likewise: a chunk that the journal claimed is wrong
}

// run returns why it could not check; nil also when ctx has ended.
func (c *checker) run(ctx context.Context) error {
	err := c.check(ctx)
	if err == nil || ctx.Err() != nil {
		return nil
	}
	return readFailure(c.part, err)
}

func (c *checker) check(ctx context.Context) error {
	workers := max(1, runtime.GOMAXPROCS(0)-1)
	report := func(chunk int, ok bool, xxh [16]byte) {
		c.found(chunk, ok && c.part.MarkExisting(chunk, xxh))
	}
	s := c.survey
	if s.claimed > 0 {
		err := manifest.Reread(ctx, c.part, c.content.File(0).Size, c.part.EachRecord, workers, nil, func(chunk int, ok bool) {
			report(chunk, ok, [16]byte{}) // the journal has its sum
			if !ok {
				c.damaged(chunk)
			}
		})
		if err != nil {
			return err
		}
	}
	if s.unknown.bytes > 0 {
		skip := func(chunk int) bool { return !s.unknown.has(chunk) }
		o := manifest.MatchOptions{Workers: workers, Skip: skip, XXH3: true}
		if err := manifest.Match(ctx, c.part, c.content.File(0).Size, c.values, o, report); err != nil {
			return err
		}
	}
	c.part.SurveyDone()
	if s.copied.bytes > 0 {
		return c.copyLocal(ctx)
	}
	return nil
}

// readFailure names the part file in an error of reading it that names no file.
func readFailure(part *partfile.File, err error) error {
	if KindOf(err) == KindLocal {
		return err
	}
	return &localfile.Error{Op: "read", Path: part.PartPath(), Err: err}
}

// found runs in the loop: a chunk of an earlier run is good, or not.
func (d *download) found(chunk int, ok bool) {
	n := d.content.Length(chunk, 1)
	d.checks.checked += n
	if ok {
		d.job.values.good(chunk)
		d.schedule.Good(chunk)
		d.tally.files.good(chunk)
		d.result.Map.kept(chunk)
		d.result.Resumed += n
	} else {
		d.schedule.Add(chunk)
	}
}

// damaged runs in the loop: a chunk is not what the journal says.
func (d *download) damaged(chunk int) {
	d.tally.Refetched += d.content.Length(chunk, 1)
}
