package transfer

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"malcolm/transfer/hostile"
	"malcolm/transfer/serve"
	"malcolm/transport"
	"malcolm/wire"
)

// mostLeft is how many requests of one address may wait for a disk after they
// were given up, before it may have nothing more read.
const mostLeft = 128

// asks sends a request on up to n streams of a connection, as far as it gets
// them within a second.
func asks(conn transport.Conn, n int, ask []byte) (streams []transport.Stream) {
	ctx, stop := context.WithTimeout(context.Background(), time.Second)
	defer stop()
	for range n {
		st, err := hostile.Send(ctx, conn, ask)
		if err != nil {
			break
		}
		st.CloseWrite()
		streams = append(streams, st)
	}
	return streams
}

// While the server's disk hangs, one address gives connection after connection
// up. The reads that it leaves behind are bounded; then it is told to stay
// away. Others are not, and all is over when the disk is back.
func TestHostileReadsLeftBehind(t *testing.T) {
	withoutRace(t)
	t.Parallel()
	overBoth(t, func(t *testing.T, w *world) {
		data := file(16*chunk, 1)
		h := &heldUp{heldFile: newSource(data), ready: make(chan struct{}), waiting: make(chan struct{}, 10_000)}
		s := w.ready(data, serve.Config{Source: h})
		defer h.release()
		close(h.ready)
		values, ask := request(wire.ValuesRequest{Checksum: checksum(data), Count: 16}), rangeOf(checksum(data), 0, chunk)
		a, most, refused := w.attacker(s.targets[0], 1), 0, false
		for i := range 60 {
			conn, err := a.Connect(t.Context())
			if err != nil {
				break // the address has wasted its budget
			}
			streams := asks(conn, mostLinks, [][]byte{values, ask}[i%2])
			time.Sleep(100 * time.Millisecond)
			for _, st := range streams {
				st.SetReadDeadline(time.Now().Add(time.Millisecond))
				var r *wire.Refusal
				if _, err := hostile.ReadSpans(st, spansOf(checksum(data), 0, chunk)); errors.As(err, &r) {
					refused = refused || r.Status == wire.StatusBusy && r.Wait == time.Second
				}
			}
			conn.Close(0, "")
			time.Sleep(100 * time.Millisecond)
			most = max(most, s.run.Status().Requests)
		}
		t.Logf("%d requests were left behind", most)
		if most < mostLeft || most > mostLeft+mostLinks {
			t.Errorf("%d requests were left behind, want %d and at most one connection's more", most, mostLeft)
		}
		if !refused {
			t.Error("the attacker was never told to stay away")
		}
		other := send(t, w.attack(s.targets[0], 2, 0), ask)
		time.Sleep(time.Second)
		h.release()
		if got, err := hostile.ReadSpans(other, spansOf(checksum(data), 0, chunk)); err != nil || !bytes.Equal(got[0].Data, data[:chunk]) {
			t.Errorf("another client got %d bytes, %v", len(got[0].Data), err)
		}
		synctest.Wait()
		if st := s.run.Status(); st.Requests > 0 || st.Load.Conns > 1 {
			t.Errorf("%d requests and %d connections are left, want the other client's connection", st.Requests, st.Load.Conns)
		}
		w.get(getConfig{Targets: s.targets}).has("data.bin", data)
	})
}
