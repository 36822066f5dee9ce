package beside

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"iter"

	"malcolm/transfer/localfile"
	"malcolm/transfer/manifest"
	"malcolm/transfer/scan"
	"malcolm/wire"
)

// An Object is what [Make] describes: a file or a directory.
type Object struct {
	// Name is what the object is called. One that the protocol cannot carry
	// is left out.
	Name string
	// File is the file, and Hashes says where its hashes come from.
	File   localfile.Source
	Hashes scan.FileConfig
	// Tree is the directory; nil: it is a file.
	Tree *scan.Config
}

// Made is what [Make] has found out.
type Made struct {
	Offer  wire.Offer
	Unkept error // why the cache could not keep it; nil: it does, or need not
	// Snapshot is that of a directory; nil: the object is a file.
	Snapshot *scan.Snapshot

	values wire.Values
	sha256 *[32]byte
}

// Make hashes an object, unless the cache knows it. Errors are those of
// [scan.HashFile] and [scan.Scanner.Scan]; [scan.ErrUnsteady] also says that a
// file of the directory has changed meanwhile. progress gets what there is to
// do, and what is done.
func Make(ctx context.Context, o Object, progress *scan.Progress) (*Made, error) {
	if o.Tree != nil {
		return makeTree(ctx, o, progress)
	}
	f, err := o.File.Open()
	if err != nil {
		return nil, err
	}
	defer f.Close()
	h, err := scan.HashFile(ctx, f, o.Hashes, progress)
	if err != nil {
		return nil, err
	}
	offer := wire.Offer{Size: h.Info.Size(), ModTime: h.Info.ModTime(), Name: wire.OfferableName(o.Name), Checksum: h.Checksum}
	return &Made{Offer: offer, Unkept: h.Unkept, values: h.Values, sha256: h.SHA256}, nil
}

func makeTree(ctx context.Context, o Object, progress *scan.Progress) (*Made, error) {
	scanner := scan.New(*o.Tree)
	s, err := scanner.Scan(ctx, nil, progress)
	if err != nil {
		return nil, err
	}
	if s.LeftOut().Changing > 0 {
		s.Close()
		return nil, scan.ErrUnsteady
	}
	m := &Made{Snapshot: s, Unkept: scanner.Keep(s)}
	sum := manifest.NewSum(s.Listing().Size())
	if _, err := s.Listing().WriteTo(sum); err != nil {
		return nil, err
	}
	checksum, _ := sum.Sum()
	m.Offer = wire.Offer{
		Kind: wire.KindTree, Size: s.Listing().Size(), ModTime: s.ModTime(), Name: wire.OfferableName(o.Name),
		Checksum: checksum, Times: manifest.Sum(s.Times()), TimesSize: int64(len(s.Times())),
	}
	return m, nil
}

// Close ends the use of a directory.
func (m *Made) Close() {
	if m.Snapshot != nil {
		m.Snapshot.Close()
	}
}

// An Entry is a file of an object.
type Entry struct {
	Path   string // in the directory; of a file its name, which may be empty
	Size   int64
	SHA256 *[32]byte // nil: not asked for
}

// Files yields all files of the object, in the order of the listing.
func (m *Made) Files() iter.Seq[Entry] {
	return func(yield func(Entry) bool) {
		if m.Snapshot == nil {
			yield(Entry{m.Offer.Name, m.Offer.Size, m.sha256})
			return
		}
		for i := range m.Snapshot.Len() {
			e := m.Snapshot.Entry(i)
			if !e.IsFile() {
				continue
			}
			entry := Entry{Path: e.Path, Size: e.Size}
			if sum, ok := m.Snapshot.SHA256(i); ok {
				entry.SHA256 = &sum
			}
			if !yield(entry) {
				return
			}
		}
	}
}

// Encode writes the file of values.
func (m *Made) Encode(w io.Writer) error {
	buffered := bufio.NewWriterSize(w, 128<<10)
	err := m.encode(buffered)
	if err == nil {
		err = buffered.Flush()
	}
	return err
}

func (m *Made) encode(w io.Writer) error {
	listing := 0
	if m.Snapshot != nil {
		listing = int(m.Offer.Size)
	}
	if _, err := w.Write(wire.AppendValuesHead(nil, m.Offer, listing)); err != nil {
		return err
	}
	if m.Snapshot != nil {
		if _, err := m.Snapshot.Listing().WriteTo(w); err != nil {
			return err
		}
	}
	if m.Snapshot == nil {
		if m.values.Len() < 2 {
			return nil
		}
		_, err := w.Write(m.values.Bytes())
		return err
	}
	for i := range m.Snapshot.Len() {
		e := m.Snapshot.Entry(i)
		if !e.IsFile() || manifest.Count(e.Size) < 2 || !m.Snapshot.IsFirst(i) {
			continue
		}
		if err := m.encodeValues(w, i, e); err != nil {
			return err
		}
	}
	return nil
}

// encodeValues writes the values of a directory's file, which the cache may
// have kept: they are checked.
func (m *Made) encodeValues(w io.Writer, i int, e wire.Entry) error {
	b := make([]byte, wire.ValuesLen(manifest.Count(e.Size)))
	if err := m.Snapshot.ReadValues(i, b, 0); err != nil {
		return fmt.Errorf("the hashes of %q: %w", e.Path, err)
	}
	values, err := wire.ParseValues(b)
	if err == nil {
		err = manifest.Check(values, e.Size, e.Checksum)
	}
	if err != nil {
		return fmt.Errorf("the hashes of %q: %w", e.Path, err)
	}
	_, err = w.Write(b)
	return err
}
