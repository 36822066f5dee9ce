package serve

import (
	"container/list"
	"sync"

	"malcolm/wire"
)

// maxOpenFiles bounds the files of trees that are open, whatever clients ask
// for.
const maxOpenFiles = 256

// An openFiles keeps the files of trees open that were used last. A file that
// is in use stays open; if all are, the next one waits. Any goroutine may call
// its methods. Make one with newOpenFiles.
type openFiles struct {
	mu    sync.Mutex
	free  *sync.Cond // a place may be free
	files map[fileOf]*list.Element
	order list.List // of *version, the one used last in front
	n     int       // files that are open, or being opened
	most  int       // ever
}

// A fileOf is an entry of a tree.
type fileOf struct {
	tree  *treeVersion
	entry int
}

func newOpenFiles() *openFiles {
	o := &openFiles{files: make(map[fileOf]*list.Element)}
	o.free = sync.NewCond(&o.mu)
	return o
}

// acquire returns an entry's open file, to be released. The error is that of
// opening it.
func (o *openFiles) acquire(at fileOf) (v *version, doubtful bool, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for {
		if v := o.use(at); v != nil {
			return v, false, nil
		}
		if o.n < maxOpenFiles || o.evict() {
			break
		}
		o.free.Wait()
	}
	o.n++
	o.most = max(o.most, o.n)
	o.mu.Unlock()
	v, doubtful, err = openEntry(at)
	o.mu.Lock()
	if other := o.use(at); other != nil { // somebody else was quicker
		o.drop(v)
		return other, false, nil
	}
	if err != nil {
		o.n--
		o.free.Signal()
		return nil, false, err
	}
	v.users = 1
	at.tree.index.use(at.tree)
	o.files[at] = o.order.PushFront(v)
	return v, doubtful, nil
}

func openEntry(at fileOf) (v *version, doubtful bool, err error) {
	f, info, doubtful, err := at.tree.snapshot.Open(at.entry)
	if err != nil {
		return nil, false, err
	}
	e := at.tree.snapshot.Entry(at.entry)
	v = &version{
		file: f, info: info, tree: at.tree, entry: at.entry,
		offer: wire.Offer{Size: e.Size, ModTime: info.ModTime(), Checksum: e.Checksum},
	}
	if sum, ok := at.tree.snapshot.SHA256(at.entry); ok {
		v.sha256 = &sum
	}
	return v, doubtful, nil
}

// use returns an entry's file if it is open. The caller holds mu.
func (o *openFiles) use(at fileOf) *version {
	e := o.files[at]
	if e == nil {
		return nil
	}
	o.order.MoveToFront(e)
	v := e.Value.(*version)
	v.users++
	return v
}

// evict closes the file that was used least recently and is not in use; false:
// all are. The caller holds mu.
func (o *openFiles) evict() bool {
	for e := o.order.Back(); e != nil; e = e.Prev() {
		if v := e.Value.(*version); v.users == 0 {
			o.remove(e)
			return true
		}
	}
	return false
}

// remove takes a file from those that are kept open; it is closed when nobody
// uses it. The caller holds mu.
func (o *openFiles) remove(e *list.Element) {
	v := o.order.Remove(e).(*version)
	delete(o.files, fileOf{v.tree, v.entry})
	if v.users == 0 {
		o.drop(v)
		v.tree.index.leave(v.tree)
	}
}

// drop closes a file that has no place; v may be nil. The caller holds mu.
func (o *openFiles) drop(v *version) {
	if v != nil {
		v.file.Close()
	}
	o.n--
	o.free.Signal()
}

// release ends one use of a file.
func (o *openFiles) release(v *version) {
	o.mu.Lock()
	defer o.mu.Unlock()
	v.users--
	if v.users > 0 {
		return
	}
	o.free.Signal()
	if e := o.files[fileOf{v.tree, v.entry}]; e == nil || e.Value.(*version) != v { // it was removed
		o.drop(v)
		v.tree.index.leave(v.tree)
	}
}

// forget closes an entry's file, if it is open, once nobody uses it.
func (o *openFiles) forget(at fileOf) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if e := o.files[at]; e != nil {
		o.remove(e)
	}
}

// forgetAll closes all files of a tree once nobody uses them.
func (o *openFiles) forgetAll(t *treeVersion) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for e := o.order.Front(); e != nil; {
		next := e.Next()
		if e.Value.(*version).tree == t {
			o.remove(e)
		}
		e = next
	}
}
