package partfile

import (
	"context"
	"testing"
)

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

// Asking who has the part file prevents nobody from taking it.
func TestInUseRefusesNobody(t *testing.T) {
	fsys := newTestFS(t)
	fsys.put(t, "x.part", "abc")
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
				InUse(fsys.FS, "x")
			}
		}
	}()
	for range 300 {
		f, err := Open(context.Background(), fsys.FS, Options{Name: "x", Size: 3, ChunkSize: testChunk, Action: Resume})
		if err != nil {
			t.Error(err)
			break
		}
		f.Close()
	}
	close(stop)
	<-stopped
}

// Two who ask at the same moment do not take each other for a run.
func TestInUseAskedTwice(t *testing.T) {
	fsys := newTestFS(t)
	fsys.put(t, "x.part", "abc")
	fsys.before = func(op, name string) error {
		if op == "lock shared" && fsys.called(op) == 1 {
			if err := InUse(fsys, "x"); err != nil {
				t.Errorf("the second: %v", err)
			}
		}
		return nil
	}
	h, err := fsys.FS.Open("x.part")
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	if free, err := h.LockShared(); !free {
		t.Fatal(err)
	}
	if err := InUse(fsys, "x"); err != nil {
		t.Errorf("the first: %v", err)
	}
}
