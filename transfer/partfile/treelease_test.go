package partfile

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"malcolm/transfer/partfile/crashfs"
)

// Where directories have no locks, the lease in the journal keeps a second run
// from a tree that is being written, and only from that.
func TestTreeLease(t *testing.T) {
	s := crashSample(t)
	for _, alive := range []bool{true, false} {
		runQuickly(t, map[bool]string{true: "alive", false: "dead"}[alive], func(t *testing.T) {
			fsys := &crashFS{crashfs.New(512, rand.New(rand.NewPCG(1, 1)).IntN)}
			fsys.Fail = func(op, _ string) error {
				if op == "lock" {
					return errors.ErrUnsupported
				}
				return nil
			}
			var lacks []Lack
			o := s.options(Fetch)
			o.Lacks = func(l Lack) { lacks = append(lacks, l) }
			f, err := OpenTree(context.Background(), fsys, o)
			must(t, err)
			if len(lacks) != 1 || lacks[0].Comfort != Locks {
				t.Errorf("told of %v", lacks)
			}
			must(t, s.fetch(f, 0))
			must(t, s.fetch(f, 1))
			must(t, f.Checkpoint())
			ctx, stop := context.WithCancel(context.Background())
			defer stop()
			go func() {
				for alive && sleep(ctx, 2*time.Second) == nil {
					if err := f.Checkpoint(); err != nil {
						t.Error(err)
					}
				}
			}()
			begun := time.Now()
			g, err := OpenTree(context.Background(), fsys, s.options(Resume))
			if alive {
				if e := wantReason(t, err, Locked); e.Holder.PID != int64(os.Getpid()) {
					t.Errorf("holder %+v", e.Holder)
				}
				return
			}
			must(t, err)
			if waited := time.Since(begun); waited < leaseWatch+leaseSettle {
				t.Errorf("waited only %v", waited)
			}
			if err := f.Checkpoint(); ReasonOf(err) != Locked {
				t.Errorf("the first run goes on: %v", err)
			}
			must(t, g.Survey(t.Context(), 1, nil, func(chunk int, ok bool) {
				if !ok {
					t.Errorf("chunk %d is lost", chunk)
				}
			}))
			must(t, s.fetchAll(g))
			_, err = g.Commit(t.Context())
			must(t, err)
			must(t, g.Close())
		})
	}
}
