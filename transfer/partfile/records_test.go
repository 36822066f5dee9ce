package partfile

import "testing"

// Where there is no journal, or that of another download, there are no records.
func TestNoRecords(t *testing.T) {
	fsys := newCrashFS(neverChoose)
	if r, err := ReadRecords(fsys, "x", testHeader); err != nil || r.Usable || r.Whole || len(r.XXH3) > 0 {
		t.Errorf("without a journal: %+v, %v", r, err)
	}
	fsys.Put("x.part.journal", testJournal(1))
	if r, err := ReadRecords(fsys, "x", testHeader); err != nil || !r.Usable || !r.Whole || len(r.XXH3) != 1 {
		t.Errorf("with one: %+v, %v", r, err)
	}
	other := testHeader
	other.Checksum[0] ^= 1
	if r, err := ReadRecords(fsys, "x", other); err != nil || r.Usable || r.Whole || len(r.XXH3) > 0 {
		t.Errorf("with that of another download: %+v, %v", r, err)
	}
}
