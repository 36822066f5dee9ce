package partfile

import "testing"

func TestInUse(t *testing.T) {
	fsys := newTestFS(t)
	if err := InUse(fsys, "x"); err != nil {
		t.Errorf("without a part file: %v", err)
	}
	f := openTest(t, fsys, Options{Name: "x", Size: 8, ChunkSize: 8})
	if e := wantReason(t, InUse(fsys, "x"), Locked); e.Holder.PID != thisRun().PID {
		t.Errorf("holder %+v, want this process", e.Holder)
	}
	claim, _ := f.Claim(0)
	if err := claim.WriteAt([]byte("12345678"), 0); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if err := InUse(fsys, "x"); err != nil {
		t.Errorf("after the end: %v", err)
	}
	again := openTest(t, fsys, Options{Name: "x", Size: 8, ChunkSize: 8, Action: Resume})
	again.Close() // the look has kept no lock
}
