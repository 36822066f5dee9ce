package partfile

import (
	"os"
	"path/filepath"
	"testing"
)

// A chunk that the journal claimed when it was opened is yielded, whatever the
// journal says when it is read again. A chunk neither yielded nor missing would
// be waited for for ever.
func TestEachRecordOfAShorterJournal(t *testing.T) {
	const chunks = 9
	o := Options{Name: "x", Size: chunks, ChunkSize: 1, SkipPreallocate: true, Action: Resume}
	s := newSealer(o.header())
	b := s.append(testHolder.append(o.header().append(nil)), record{kind: recordClosed})
	for chunk := range chunks - 1 {
		b = s.append(b, record{kind: recordGood, chunk: uint32(chunk), xxh: testXXH(chunk)})
	}
	for damaged := range chunks - 1 {
		fsys := newTestFS(t)
		fsys.put(t, "x.part", "123456789")
		journal := filepath.Join(fsys.path, "x.part.journal")
		if err := os.WriteFile(journal, b, 0o644); err != nil {
			t.Fatal(err)
		}
		f := openTest(t, fsys, o)
		h, err := os.OpenFile(journal, os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := h.WriteAt([]byte{0xff}, int64(recordsAt+(1+damaged)*recordLen)); err != nil {
			t.Fatal(err)
		}
		h.Close()
		var got []int
		err = f.EachRecord(func(chunk int, xxh [16]byte) bool {
			got = append(got, chunk)
			want := [16]byte{}
			if chunk < damaged {
				want = testXXH(chunk)
			}
			if xxh != want {
				t.Errorf("with record %d damaged: chunk %d has the sum %x, want %x", damaged, chunk, xxh, want)
			}
			return len(got) < chunks-2
		})
		if err != nil || len(got) != chunks-2 {
			t.Errorf("with record %d damaged: chunks %v, error %v, want all but the one behind the stop", damaged, got, err)
		}
	}
}
