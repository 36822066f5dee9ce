package transfer

import (
	"context"
	"maps"
	"os"
	"path/filepath"
	"testing"
	"time"

	"malcolm/transfer/fetch"
	"malcolm/transfer/source"

	"malcolm/certs"
	"malcolm/transfer/partfile"
)

// dry runs [DryRun] in a directory and fails the test if it changes anything
// there, or in the home of the known servers.
func (w *world) dry(cfg getConfig) (p *fetch.Plan, o *outcome) {
	w.t.Helper()
	home := w.t.TempDir()
	known, err := certs.OpenKnown(home)
	if err != nil {
		w.t.Fatal(err)
	}
	cfg.Trust.Known = known
	if cfg.Dir == "" {
		cfg.Dir = w.t.TempDir()
	}
	before := contents(w.t, cfg.Dir)
	o = w.run(context.Background(), cfg, func(ctx context.Context, cfg getConfig) (*fetch.Result, error) {
		plan, err := DryRun(ctx, cfg)
		p = plan
		return &fetch.Result{}, err
	})
	if after := contents(w.t, cfg.Dir); !maps.Equal(before, after) {
		w.t.Errorf("the directory had %d files, and has %d others, or of other contents", len(before), len(after))
	}
	if entries, _ := os.ReadDir(home); len(entries) > 0 {
		w.t.Errorf("%v were written of known servers", entries)
	}
	return p, o
}

func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	files := make(map[string]string)
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		files[e.Name()] = info.ModTime().String() + string(b)
	}
	return files
}

// The plan is what a run then does, and the dry run changes nothing.
func TestDryRun(t *testing.T) {
	t.Parallel()
	data := file(12*chunk+77, 1)
	damage := func(t *testing.T, o *outcome, at int64) {
		f, err := os.OpenFile(filepath.Join(o.dir, "data.bin.part"), os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		b := make([]byte, 1)
		if _, err := f.ReadAt(b, at); err != nil {
			t.Fatal(err)
		}
		b[0] ^= 1
		if _, err := f.WriteAt(b, at); err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct {
		name   string
		there  func(t *testing.T, o *outcome) // what becomes of what an interrupted run left; nil: nothing was left
		force  bool
		action partfile.Action
		kept   bool
	}{
		{"nothing there", nil, false, partfile.Fetch, false},
		{"an unfinished one", func(*testing.T, *outcome) {}, false, partfile.Resume, true},
		{"an unfinished one, damaged", func(t *testing.T, o *outcome) { damage(t, o, 5) }, false, partfile.Resume, true},
		{"one without a journal", func(t *testing.T, o *outcome) {
			if err := os.Remove(filepath.Join(o.dir, "data.bin.part.journal")); err != nil {
				t.Fatal(err)
			}
			damage(t, o, 5)
		}, false, partfile.Resume, true},
		{"the finished file", func(t *testing.T, o *outcome) {
			if err := os.WriteFile(filepath.Join(o.dir, "data.bin"), data, 0o600); err != nil {
				t.Fatal(err)
			}
		}, false, partfile.AlreadyRight, true},
		{"another file", func(t *testing.T, o *outcome) {
			if err := os.WriteFile(filepath.Join(o.dir, "data.bin"), []byte("other"), 0o600); err != nil {
				t.Fatal(err)
			}
		}, true, partfile.Resume, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) {
				servers := w.holders(data, data)
				slow(200<<10, servers...)
				cfg := getConfig{Targets: targetsOf(servers...), Resume: true, Force: test.force}
				if test.there != nil {
					o := interrupt(t, w, 0.5, servers...)
					test.there(t, o)
					cfg.Dir = o.dir
				}
				time.Sleep(time.Second) // until the servers have heard that nobody reads any more
				var sent int64
				for _, s := range servers {
					sent -= s.src.sent()
				}
				p, o := w.dry(cfg)
				if o.err != nil {
					t.Fatal(o.err)
				}
				for _, s := range servers {
					sent += s.src.sent()
				}
				if sent != 0 {
					t.Errorf("%d bytes of the file were asked for", sent)
				}
				if p.Action != test.action || p.Kept+p.Missing != p.Size || (p.Kept > 0) != test.kept || p.Path != filepath.Join(o.dir, "data.bin") {
					t.Errorf("plan = %+v", p)
				}
				cfg.Dir = o.dir
				then := w.get(cfg)
				if then.err != nil || string(then.read("data.bin")) != string(data) {
					t.Fatalf("then: %v, and another file", then.err)
				}
				if p.Action != partfile.AlreadyRight && (then.Resumed != p.Kept || then.Fetched != p.Missing) {
					t.Errorf("plan: %d kept, %d missing; then %d were kept and %d fetched", p.Kept, p.Missing, then.Resumed, then.Fetched)
				}
				if then.AlreadyRight != (p.Action == partfile.AlreadyRight) || then.Size != p.Size || then.Checksum != p.Checksum {
					t.Errorf("plan = %+v, then %+v", p, then.Result)
				}
			})
		})
	}
}

// A dry run ends with the errors that a run would begin with.
func TestDryRunErrors(t *testing.T) {
	data, other := file(3*chunk, 1), file(3*chunk, 2)
	bubble(t, func(t *testing.T, w *world) {
		servers := w.holders(data, other)
		_, o := w.dry(getConfig{Targets: targetsOf(servers...)})
		fails[*fetch.UndecidedError](o, fetch.KindVote)
		_, o = w.dry(getConfig{Targets: []source.Target{{Host: "nowhere", Port: 1}}})
		fails[*fetch.NobodyAnsweredError](o, fetch.KindNetwork)
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "data.bin"), []byte("other"), 0o600); err != nil {
			t.Fatal(err)
		}
		_, o = w.dry(getConfig{Targets: servers[0].targets, Dir: dir})
		fails[*fetch.TargetError](o, fetch.KindLocal)
	})
}
