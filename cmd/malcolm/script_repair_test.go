package main

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"strconv"
	"time"

	"malcolm/cmd/malcolm/human"
	"malcolm/transfer/manifest/cache"
)

// The commands of scripts about files that change in their place, and about
// what the journal says:
//
//	cut FILE SIZE           cut SIZE bytes from the end of a file
//	grow FILE SIZE          add SIZE zeros, as a hole, to the end of a file that may be new
//	hasmode FILE PERM       demand permission bits, in octal digits
//	sha256sum VAR FILE      set VAR to the file's SHA-256
//	settle FILE             wait until the last change of the file is so old that its index is kept
//	journal VAR NAME        set VAR to a pattern for how much of NAME.part its journal says is good; it must be something

func (s *script) cut(args []string) {
	s.want(args, 2, "cut FILE SIZE")
	s.resize(args, -1)
}

func (s *script) grow(args []string) {
	s.want(args, 2, "grow FILE SIZE")
	s.resize(args, 1)
}

func (s *script) resize(args []string, sign int) {
	n, err := parseSize(args[1])
	s.Check(err)
	f, err := os.OpenFile(s.MkAbs(args[0]), os.O_WRONLY|os.O_CREATE, 0o666)
	s.Check(err)
	defer f.Close()
	info, err := f.Stat()
	s.Check(err)
	s.Check(f.Truncate(info.Size() + int64(sign*n)))
}

func (s *script) hasMode(args []string) {
	s.want(args, 2, "hasmode FILE PERM")
	want, err := strconv.ParseUint(args[1], 8, 32)
	s.Check(err)
	info, err := os.Stat(s.MkAbs(args[0]))
	s.Check(err)
	if got := info.Mode().Perm(); got != fs.FileMode(want) {
		s.Fatalf("%s has the mode %04o, want %04o", args[0], got, want)
	}
}

func (s *script) sha256sum(args []string) {
	s.want(args, 2, "sha256sum VAR FILE")
	data, err := os.ReadFile(s.MkAbs(args[1]))
	s.Check(err)
	s.set(args[0], fmt.Sprintf("%x", sha256.Sum256(data)))
}

func (s *script) settle(args []string) {
	s.want(args, 1, "settle FILE")
	info, err := os.Stat(s.MkAbs(args[0]))
	s.Check(err)
	key, ok := cache.KeyOf(info)
	if !ok {
		s.Fatalf("nothing is known here of when files change")
	}
	for !key.Settled(time.Now()) {
		time.Sleep(50 * time.Millisecond)
	}
}

func (s *script) journal(args []string) {
	s.want(args, 2, "journal VAR NAME")
	n, err := journalled(s.MkAbs(args[1]))
	s.Check(err)
	if n == 0 {
		s.Fatalf("the journal of %s claims nothing", args[1])
	}
	s.set(args[0], regexp.QuoteMeta(human.Bytes(n)))
}

// journalled returns how many bytes an unfinished download's journal says are
// good. Package partfile specifies the journal's layout.
func journalled(name string) (int64, error) {
	const recordsAt, recordLen, good, void = 1024, 32, 1, 2
	b, err := os.ReadFile(name + ".part.journal")
	if err != nil {
		return 0, err
	}
	if len(b) < recordsAt {
		return 0, fmt.Errorf("the journal has %d bytes", len(b))
	}
	size, chunkSize := int64(binary.BigEndian.Uint64(b[16:])), int64(binary.BigEndian.Uint64(b[24:]))
	chunks := make(map[uint32]bool)
	for b = b[recordsAt:]; len(b) >= recordLen; b = b[recordLen:] {
		switch chunk := binary.BigEndian.Uint32(b[4:]); binary.BigEndian.Uint32(b) {
		case good:
			chunks[chunk] = true
		case void:
			delete(chunks, chunk)
		}
	}
	var sum int64
	for chunk := range chunks {
		sum += min(chunkSize, size-int64(chunk)*chunkSize)
	}
	return sum, nil
}
