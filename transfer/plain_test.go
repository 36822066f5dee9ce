package transfer

import (
	"fmt"
	"reflect"
	"testing"

	"malcolm/transfer/fetch"
	"malcolm/transfer/serve"
)

// Files of all kinds of sizes arrive from one server and from several, and are
// fetched once.
func TestFilesOfAllSizesArrive(t *testing.T) {
	t.Parallel()
	for _, servers := range []int{1, 4} {
		for _, size := range []int{0, 1, chunk - 1, chunk, chunk + 1, 9*chunk + 123} {
			t.Run(fmt.Sprintf("%d bytes from %d", size, servers), func(t *testing.T) {
				bubble(t, func(t *testing.T, w *world) { testPlain(t, w, size, servers) })
			})
		}
	}
}

func testPlain(t *testing.T, w *world, size, servers int) {
	data := file(size, 1)
	s := w.serve(newSource(data), 0, servers, serve.Config{})
	o := w.get(getConfig{Targets: s.targets})
	o.has("data.bin", data)
	var want []string
	for range servers {
		want = append(want, "Connected")
	}
	want = append(want, "Voted", "Started", "Finishing")
	var got []string
	for _, e := range o.events {
		switch e.Event.(type) {
		case progress, fetch.Decision:
		default:
			got = append(got, reflect.TypeOf(e.Event).Name())
		}
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("events = %v, want %v", got, want)
	}
	started, _ := only[fetch.Started](o)
	if started.Name != "data.bin" || started.Size != int64(size) || started.Chunks != (size+chunk-1)/chunk || started.Check != 0 {
		t.Errorf("started = %+v, want the file", started)
	}
	if o.Fetched != int64(size) || o.Resumed != 0 || o.AlreadyRight || o.Elapsed <= 0 {
		t.Errorf("fetched %d, resumed %d, already right %t, in %v, want %d fetched",
			o.Fetched, o.Resumed, o.AlreadyRight, o.Elapsed, size)
	}
	// There are more bytes only for second copies, which need another
	// server.
	extra := s.src.sent() - int64(size)
	if extra < 0 || extra > 0 && servers == 1 || extra > 4*chunk {
		t.Errorf("the source was read for %d bytes more than the file's %d, want four chunks at most, and none of an only server", extra, size)
	}
	var sum int64
	for i, r := range o.Servers {
		sum += r.Bytes
		if r.State != fetch.StateServing || r.Err != nil || r.ID != testIDs[0].ID() || r.Target != s.targets[i] {
			t.Errorf("report of server %d = %+v, want serving", i, r)
		}
		if size > servers*chunk && r.Bytes == 0 {
			t.Errorf("nothing came from server %d", i)
		}
	}
	if sum != o.Fetched {
		t.Errorf("the servers' bytes add up to %d, want %d", sum, o.Fetched)
	}
}
