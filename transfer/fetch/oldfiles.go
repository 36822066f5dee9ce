package fetch

import (
	"context"
	"errors"
	"runtime"

	"golang.org/x/sync/errgroup"

	"malcolm/transfer/localfile"
	"malcolm/transfer/manifest"
	"malcolm/transfer/partfile"
	"malcolm/transfer/source"
	"malcolm/transfer/tree"
	"malcolm/wire"
)

// An oldFiles is the set of files with several chunks that the repair of a
// directory replaces. Their right chunks are copied. It does not change. A nil
// one is empty.
type oldFiles struct {
	dir   *localfile.Directory
	paths map[int]string // by file of the content that is fetched
}

// newOldFiles returns the files of a directory that those of t replace.
func newOldFiles(dir *localfile.Directory, t *tree.Tree, have []wire.Entry) *oldFiles {
	o := &oldFiles{dir: dir, paths: make(map[int]string)}
	there := make(map[string]bool, len(have))
	for i := range have {
		there[have[i].Path] = have[i].IsFile() && have[i].Size > 0
	}
	for file := range t.Content().Files() {
		if t.Content().FileChunks(file) == 1 {
			continue
		}
		for entry := range t.Holders(file) {
			if path := t.Entries()[entry].Path; there[path] {
				o.paths[file] = path
				break
			}
		}
	}
	return o
}

// has reports whether a file is replaced.
func (o *oldFiles) has(file int) bool { return o != nil && o.paths[file] != "" }

// An oldCopier copies right chunks out of the files that are replaced, beside
// the loop. Each is hashed as it is copied.
type oldCopier struct {
	*job
	old   *oldFiles
	ways  []source.Conn // to who may have the values
	todo  *chunkSet
	found func(chunk int, ok bool) // tells the loop of each chunk; any goroutine may call it
}

// oldCopier returns what copies the right ones of the chunks of todo.
func (s *Session) oldCopier(old *oldFiles, todo *chunkSet) *oldCopier {
	d := s.download
	post := d.post
	c := &oldCopier{job: d.job, old: old, todo: todo, found: func(chunk int, ok bool) { post(func() { d.found(chunk, ok) }) }}
	for _, v := range s.roster.byRank() {
		if in := v.conns.pick(); in != nil {
			c.ways = append(c.ways, in.way)
		}
	}
	return c
}

// run tells of each chunk whether it was copied. The error is of the output.
func (c *oldCopier) run(ctx context.Context) error {
	dir, err := c.old.dir.Open()
	if err != nil { // as if nothing were there
		for file := range c.old.paths {
			c.lost(file)
		}
		return nil
	}
	defer dir.Close()
	workers, ctx := errgroup.WithContext(ctx)
	workers.SetLimit(runtime.GOMAXPROCS(0))
	for file, path := range c.old.paths {
		workers.Go(func() error {
			f, err := dir.Open(path)
			if err != nil {
				c.lost(file)
				return nil
			}
			defer f.Close()
			return c.file(ctx, file, f)
		})
	}
	return workers.Wait()
}

// chunks yields the chunks of a file that are to be copied.
func (c *oldCopier) chunks(file int) func(yield func(int) bool) {
	return func(yield func(int) bool) {
		first := c.content.FirstChunk(file)
		for chunk := first; chunk < first+c.content.FileChunks(file); chunk++ {
			if c.todo.has(chunk) && !yield(chunk) {
				return
			}
		}
	}
}

// lost tells that nothing of a file can be copied.
func (c *oldCopier) lost(file int) {
	for chunk := range c.chunks(file) {
		c.found(chunk, false)
	}
}

// file copies the right chunks of a file.
func (c *oldCopier) file(ctx context.Context, file int, from localfile.File) error {
	hasher := manifest.Hasher{XXH3: true}
	for chunk := range c.chunks(file) {
		value, known := c.value(ctx, chunk)
		ok := false
		if known {
			var err error
			if ok, err = c.chunk(ctx, &hasher, chunk, value, from); err != nil {
				return err
			}
		}
		if err := context.Cause(ctx); err != nil {
			return err
		}
		c.found(chunk, ok)
	}
	return nil
}

// value asks for the value of a chunk, one server after the other.
func (c *oldCopier) value(ctx context.Context, chunk int) (value [32]byte, known bool) {
	for _, way := range c.ways {
		if value, err := c.values.of(ctx, way, chunk); err == nil {
			return value, true
		}
	}
	return value, false
}

// chunk copies a chunk; false: it is another one, or cannot be read.
func (c *oldCopier) chunk(ctx context.Context, hasher *manifest.Hasher, chunk int, want [32]byte, from localfile.File) (bool, error) {
	claim, ok := c.store.Claim(chunk)
	if !ok {
		return c.store.Marked(chunk), nil
	}
	defer claim.Release()
	p := c.content.Place(chunk)
	hasher.Reset(c.content.File(p.File).Size, p.Chunk)
	err := c.pass(ctx, hasher, func(b []byte, at int64) error {
		if n, err := from.ReadAt(b, p.Offset+at); n < len(b) {
			return &localError{err}
		}
		return claim.WriteAt(b, at)
	})
	switch {
	case as[*localError](err), errors.Is(err, partfile.ErrNotOwner):
		return false, nil
	case err != nil:
		return false, err
	}
	value, xxh := hasher.Sum()
	if value != want {
		return false, nil
	}
	return true, claim.Mark(xxh)
}
