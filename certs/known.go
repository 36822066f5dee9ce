package certs

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"
)

// A KnownFileError says why the file of known servers is not used. The file is
// unchanged: no error makes a known server an unknown one.
type KnownFileError struct {
	Path   string // of the file
	Line   int    // the damaged line, from 1; 0: not one line
	Reason string // what is wrong; quotes the file, briefly
	Err    error  // the system's error; nil if the content is the cause
}

func (e *KnownFileError) Error() string {
	line := ""
	if e.Line > 0 {
		line = fmt.Sprintf(" line %d", e.Line)
	}
	return fmt.Sprintf("known servers: %q%s: %s", e.Path, line, e.Reason)
}

func (e *KnownFileError) Unwrap() error { return e.Err }

// A StateError says why something could not be written to the state directory.
// The old content is still there, unless Op is "sync": then it is the new
// content, which a power failure may take back.
type StateError struct {
	Path string // of the file to be written or locked
	Op   string // what could not be done: "lock", "write", ...
	Err  error
}

func (e *StateError) Error() string { return fmt.Sprintf("%s %q: %v", e.Op, e.Path, e.Err) }

func (e *StateError) Unwrap() error { return e.Err }

// Known is the file of known servers. Several processes may use one file at
// once: each change is made to the file as it is at that moment, under a lock.
// Any goroutine may call its methods.
type Known struct {
	path string // of the file itself, behind any symbolic links

	writing  sync.Mutex // held while the file is changed
	timedOut bool       // owned by writing: the wait for the lock has timed out once, do not wait again

	mu      sync.Mutex              // guards the fields below
	text    *knownText              // as it was last read or written
	unsaved map[address]KnownServer // records that could not be written: kept for this run
	waiting []*knownChange          // for the next goroutine that has writing
}

// A knownChange is a change to be made to the file.
type knownChange struct {
	apply func(*knownText) (changed bool)
	done  bool // owned by Known.writing, as err
	err   error
}

// OpenKnown reads the file known_servers in dir, which is that of [StateDir]. A
// missing file has no records. A file that cannot be read, is empty, or has a
// damaged line is a [*KnownFileError].
func OpenKnown(dir string) (*Known, error) {
	path, err := knownPath(dir)
	if err != nil {
		return nil, err
	}
	text, err := readKnown(path)
	if err != nil {
		return nil, err
	}
	return &Known{path: path, text: text, unsaved: make(map[address]KnownServer)}, nil
}

// Lookup returns what is recorded of the server at hostport. It does not see
// records that other processes made since the file was last read or written. An
// error says that hostport is no address, so it is not known whether there is a
// record.
func (k *Known) Lookup(hostport string) (s KnownServer, ok bool, err error) {
	at, err := parseServer(hostport)
	if err != nil {
		return KnownServer{}, false, fmt.Errorf("look up known server: %w", err)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	s, ok = k.lookup(at)
	return s, ok, nil
}

// lookup needs k.mu.
func (k *Known) lookup(at address) (KnownServer, bool) {
	if s, ok := k.unsaved[at]; ok {
		return s, true
	}
	s, ok := k.text.servers[at]
	return s.KnownServer, ok
}

// Record adds a record unless there is one, and returns the one that is there
// now. If that has another ID than id, somebody recorded it first, and the
// caller must refuse the server. Errors are [*StateError] (the record lasts
// only as long as k), [*KnownFileError] (nothing is recorded), or say that
// hostport is no address.
func (k *Known) Record(hostport string, id ServerID, now time.Time) (KnownServer, error) {
	return k.put(hostport, id, now, false)
}

// Replace sets the record of a server whose ID a pin or a ticket has confirmed.
// A record with the same ID does not change. Result and errors are those of
// [Known.Record].
func (k *Known) Replace(hostport string, id ServerID, now time.Time) (KnownServer, error) {
	return k.put(hostport, id, now, true)
}

func (k *Known) put(hostport string, id ServerID, now time.Time, replace bool) (KnownServer, error) {
	at, err := parseServer(hostport)
	if err != nil {
		return KnownServer{}, fmt.Errorf("record known server: %w", err)
	}
	record := KnownServer{Host: at.host, Port: at.port, ID: id, FirstSeen: now.UTC().Truncate(time.Second)}
	result := record
	err = k.change(func(t *knownText) bool {
		old, ok := t.servers[at]
		if ok && (!replace || old.ID == id) {
			result = old.KnownServer
			return false
		}
		result = record
		t.set(record)
		return true
	})
	k.mu.Lock()
	defer k.mu.Unlock()
	switch err.(type) {
	case nil:
		delete(k.unsaved, at)
	case *StateError:
		if old, ok := k.lookup(at); ok && (!replace || old.ID == id) {
			return old, err
		}
		k.unsaved[at] = record
		return record, err
	default:
		return KnownServer{}, err
	}
	return result, nil
}

// Forget removes the record of a server (HOST:PORT) or those of all servers of
// a host (HOST), and returns their number. Errors are [*StateError] and
// [*KnownFileError] (nothing is removed), or say that which is no address.
func (k *Known) Forget(which string) (int, error) {
	at, err := parseAddress(which)
	if err != nil {
		return 0, fmt.Errorf("forget known server: %w", err)
	}
	n := 0
	err = k.change(func(t *knownText) bool {
		n = t.forget(at)
		return n > 0
	})
	if err != nil {
		return 0, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	maps.DeleteFunc(k.unsaved, func(a address, _ KnownServer) bool {
		return a == at || at.port == 0 && a.host == at.host
	})
	return n, nil
}

// List returns the records by host, then by port.
func (k *Known) List() []KnownServer {
	k.mu.Lock()
	defer k.mu.Unlock()
	all := make(map[address]KnownServer, len(k.text.servers)+len(k.unsaved))
	for at, s := range k.text.servers {
		all[at] = s.KnownServer
	}
	maps.Copy(all, k.unsaved)
	return slices.SortedFunc(maps.Values(all), func(a, b KnownServer) int {
		return cmp.Or(cmp.Compare(a.Host, b.Host), cmp.Compare(a.Port, b.Port))
	})
}

// Writable makes the directory and takes the lock, as a change would, but
// changes nothing. Errors are those of [Known.Record].
func (k *Known) Writable() error { return k.change(func(*knownText) bool { return false }) }

// change makes one change to the file. Changes that come during a write are
// written together by the next.
func (k *Known) change(apply func(*knownText) bool) error {
	c := &knownChange{apply: apply}
	k.mu.Lock()
	k.waiting = append(k.waiting, c)
	k.mu.Unlock()

	k.writing.Lock()
	defer k.writing.Unlock()
	if c.done {
		return c.err
	}
	k.mu.Lock()
	batch := k.waiting
	k.waiting = nil
	k.mu.Unlock()
	text, err := k.rewrite(batch)
	for _, b := range batch {
		b.done, b.err = true, err
	}
	if err == nil {
		k.mu.Lock()
		k.text = text
		k.mu.Unlock()
	}
	return err
}
