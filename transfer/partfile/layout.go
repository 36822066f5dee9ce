package partfile

import (
	"bytes"
	"encoding/binary"
	"time"

	"github.com/zeebo/xxh3"

	"malcolm/transfer/content"
)

// The journal NAME.part.journal says which chunks of NAME.part are good. All
// numbers are big-endian. "check" is the xxh3-64 of the bytes named. Bytes that
// are not named are zeros.
//
//	header, 512 bytes, written once, durable before the part file is preallocated
//	  0    8  magic "malcolmJ"
//	  8    4  version, 1
//	  12   4  number of chunks of a tree; 0 for a file
//	  16   8  size of the finished file in bytes, of a tree of all its contents
//	  24   8  chunk size in bytes; 0 for a tree
//	  32  32  checksum of the finished file, of a tree that of its listing
//	  504  8  check of bytes 0 to 503
//	holder, 512 bytes, rewritten in place by each run once it has the lock
//	  512  8  process ID
//	  520  8  when the run took the lock, in seconds since 1970
//	  528  1  length of the host's name, at most 255
//	  529     the host's name
//	  1000 8  a random number of the run
//	  1008 8  beats: how often a run without a lock has shown that it lives, see lease.go
//	  1016 8  check of bytes 512 to 1015
//	records from byte 1024 on, 32 bytes each, appended
//	  0    4  kind
//	  4    4  chunk number; 0 for the kinds that have none
//	  8   16  xxh3-128 of the chunk's bytes; 0 for the kinds that have none
//	  24   8  check of bytes 0 to 63 of the header, then bytes 0 to 23 of the record
//
// Each of the three lies in disk sectors of its own, and no record lies in two:
// a torn write spoils only itself. The check of a record covers the header too,
// so that a record of another file, or of another version of the layout, never
// checks. Reading ends at the first record that does not check. Records count
// in their order:
//
//	1 good    the chunk's bytes were right, and durable before this record was written
//	2 void    earlier records of the chunk no longer count: it was found damaged
//	          and is about to be overwritten
//	3 open    chunks without a good record are unknown: some may be right, from
//	          before this journal or with a record that was lost
//	4 closed  chunks without a good record are missing
//
//	5 done    all of a tree is durable, and it is about to get its name: its
//	          directory's file number and modification time, in nanoseconds
//	          since 1970, are in place of the xxh3
//
// A journal without a record of kind 3 or 4 is open. A chunk may have
// any number of records.
const (
	headerLen   = 512
	fieldsLen   = 64 // of the header: what the checks of records cover
	holderLen   = 512
	recordsAt   = headerLen + holderLen
	recordLen   = 32
	sealedLen   = 24 // of a record: what its check covers
	checkLen    = 8
	hostAt      = 17 // in the holder
	maxHost     = 255
	runAt       = 488 // in the holder
	magic       = "malcolmJ"
	journalForm = 1 // the version
)

// Kinds of records.
const (
	recordGood   uint32 = 1
	recordVoid   uint32 = 2
	recordOpen   uint32 = 3
	recordClosed uint32 = 4
	recordDone   uint32 = 5
)

// Header is what a journal says of the file or tree that its part becomes.
type Header struct {
	Size      int64 // bytes; of a tree, of all its contents
	ChunkSize int64 // bytes; 0 for a tree
	Checksum  [32]byte
	Chunks    int // of a tree; 0 for a file
}

// IsTree reports whether the journal is that of a tree.
func (h Header) IsTree() bool { return h.ChunkSize == 0 }

// valid reports whether a part file of this shape is possible.
func (h Header) valid() bool {
	if h.IsTree() {
		return h.Chunks >= 0 && h.Chunks <= content.MaxChunks && h.Size >= int64(h.Chunks) && (h.Size > 0) == (h.Chunks > 0)
	}
	if h.Chunks != 0 {
		return false
	}
	return h.Size >= 0 && h.ChunkSize > 0 && h.ChunkSize <= 1<<62 && h.Size <= maxChunks*min(h.ChunkSize, 1<<42)
}

// chunks is the number of chunks; h must be valid.
func (h Header) chunks() int {
	if h.IsTree() {
		return h.Chunks
	}
	return int((h.Size + h.ChunkSize - 1) / h.ChunkSize)
}

func (h Header) append(b []byte) []byte {
	start := len(b)
	b = append(b, magic...)
	b = binary.BigEndian.AppendUint32(b, journalForm)
	b = binary.BigEndian.AppendUint32(b, uint32(h.Chunks))
	b = binary.BigEndian.AppendUint64(b, uint64(h.Size))
	b = binary.BigEndian.AppendUint64(b, uint64(h.ChunkSize))
	b = append(b, h.Checksum[:]...)
	return appendSealed(b, start, headerLen)
}

// parseHeader is false unless b begins with exactly what append makes of a
// valid Header.
func parseHeader(b []byte) (Header, bool) {
	if len(b) < headerLen {
		return Header{}, false
	}
	b = b[:headerLen]
	h := Header{
		Size: int64(binary.BigEndian.Uint64(b[16:])), ChunkSize: int64(binary.BigEndian.Uint64(b[24:])),
		Chunks: int(binary.BigEndian.Uint32(b[12:])),
	}
	copy(h.Checksum[:], b[32:])
	if !h.valid() || !bytes.Equal(h.append(nil), b) {
		return Header{}, false
	}
	return h, true
}

// Holder says who holds a part file. It comes from the journal, where everybody
// who can write may claim anything. Host is at most 255 bytes of any value:
// quote it where it is shown.
type Holder struct {
	Host  string
	PID   int64     // process ID on that host
	Start time.Time // when it took the part file, in whole seconds, UTC

	run, beats uint64 // tell runs apart, and the living from the dead
}

// append cuts a host's name that is too long.
func (h Holder) append(b []byte) []byte {
	start := len(b)
	host := h.Host[:min(len(h.Host), maxHost)]
	b = binary.BigEndian.AppendUint64(b, uint64(h.PID))
	b = binary.BigEndian.AppendUint64(b, uint64(h.Start.Unix()))
	b = append(b, byte(len(host)))
	b = append(b, host...)
	b = append(b, make([]byte, start+runAt-len(b))...)
	b = binary.BigEndian.AppendUint64(b, h.run)
	b = binary.BigEndian.AppendUint64(b, h.beats)
	return appendSealed(b, start, holderLen)
}

func parseHolder(b []byte) (Holder, bool) {
	if len(b) < holderLen {
		return Holder{}, false
	}
	b = b[:holderLen]
	h := Holder{
		Host:  string(b[hostAt : hostAt+int(b[hostAt-1])]),
		PID:   int64(binary.BigEndian.Uint64(b)),
		Start: time.Unix(int64(binary.BigEndian.Uint64(b[8:])), 0).UTC(),
		run:   binary.BigEndian.Uint64(b[runAt:]),
		beats: binary.BigEndian.Uint64(b[runAt+8:]),
	}
	if !bytes.Equal(h.append(nil), b) {
		return Holder{}, false
	}
	return h, true
}

// appendSealed fills the block that begins at start with zeros up to its check,
// and appends the check.
func appendSealed(b []byte, start, length int) []byte {
	b = append(b, make([]byte, start+length-checkLen-len(b))...)
	return binary.BigEndian.AppendUint64(b, xxh3.Hash(b[start:]))
}

type record struct {
	kind  uint32
	chunk uint32
	xxh   [16]byte
}

// sealer writes and checks the records of one header.
type sealer struct {
	fields [fieldsLen]byte
	chunks uint32
	tree   bool
}

func newSealer(h Header) sealer {
	s := sealer{chunks: uint32(h.chunks()), tree: h.IsTree()}
	copy(s.fields[:], h.append(nil))
	return s
}

func (s *sealer) append(b []byte, r record) []byte {
	start := len(b)
	b = binary.BigEndian.AppendUint32(b, r.kind)
	b = binary.BigEndian.AppendUint32(b, r.chunk)
	b = append(b, r.xxh[:]...)
	return binary.BigEndian.AppendUint64(b, s.check(b[start:]))
}

func (s *sealer) check(sealed []byte) uint64 {
	var b [fieldsLen + sealedLen]byte
	copy(b[:], s.fields[:])
	copy(b[fieldsLen:], sealed)
	return xxh3.Hash(b[:])
}

// parse is false unless b, of recordLen bytes, is a valid record of this
// header.
func (s *sealer) parse(b []byte) (record, bool) {
	if binary.BigEndian.Uint64(b[sealedLen:]) != s.check(b[:sealedLen]) {
		return record{}, false
	}
	r := record{kind: binary.BigEndian.Uint32(b), chunk: binary.BigEndian.Uint32(b[4:])}
	copy(r.xxh[:], b[8:])
	none := r.xxh == [16]byte{}
	switch r.kind {
	case recordGood:
		return r, r.chunk < s.chunks
	case recordVoid:
		return r, r.chunk < s.chunks && none
	case recordOpen, recordClosed:
		return r, r.chunk == 0 && none
	case recordDone:
		return r, r.chunk == 0 && s.tree
	}
	return record{}, false
}
