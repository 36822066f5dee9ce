package transfer

import (
	"testing"
	"time"

	"malcolm/transfer/hostile"
	"malcolm/transfer/serve"
	"malcolm/transport"
	"malcolm/wire"
)

// readReport reads a path report.
func readReport(t *testing.T, st transport.Stream) wire.PathReport {
	t.Helper()
	h, err := wire.ReadHeader(st)
	if err != nil || h.Status != wire.StatusOK {
		t.Fatalf("path is answered %v, %v, want ok", h.Status, err)
	}
	p, err := wire.ReadPathReport(st, h)
	must(t, err)
	return p
}

// A connection has its path reported once at a time: at first at once, then
// while something is sent, and no more when it is idle. A server that stops
// ends that at once.
func TestPathOnceAConnection(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		data := file(4*chunk, 1)
		s := w.ready(data, serve.Config{})
		conn := w.attack(s.targets[0], 1, 0)
		st := send(t, conn, request(wire.PathRequest{}))
		readReport(t, st)
		if got := readRefusal(t, send(t, conn, request(wire.PathRequest{}))); got.Status != wire.StatusBusy {
			t.Errorf("the second request is refused with %v, want busy", got.Status)
		}
		long := send(t, conn, rangeOf(checksum(data), 0, 4*chunk))
		if _, err := hostile.ReadSpans(long, spansOf(checksum(data), 0, 4*chunk)); err != nil {
			t.Fatal(err)
		}
		var last wire.PathReport
		reports := 0
		for deadline := time.Now().Add(20 * time.Second); ; reports++ {
			st.SetReadDeadline(deadline)
			h, err := wire.ReadHeader(st)
			if err != nil {
				break // nothing more comes
			}
			last, err = wire.ReadPathReport(st, h)
			must(t, err)
		}
		if last.Sent < 4*chunk/1452 || last.MinRTT < 2*defaultDelay || last.Window == 0 {
			t.Errorf("the last report is %+v, want that of the file", last)
		}
		if reports < 1 || reports > 40 {
			t.Errorf("%d reports in 20 s, want some while the file is sent, and few when idle", reports)
		}
		stopped := time.Now()
		s.cancel()
		<-s.done
		if took := time.Since(stopped); took > time.Second {
			t.Errorf("the server stopped after %v", took)
		}
	})
}
