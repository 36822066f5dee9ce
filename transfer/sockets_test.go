package transfer

import (
	"errors"
	"net"
	"testing"
	"time"

	"malcolm/transfer/fetch"
	"malcolm/transfer/serve"
)

// A socket that has really failed is opened again, and its clients come back.
func TestSocketThatFailed(t *testing.T) {
	withoutRace(t)
	t.Parallel()
	bubble(t, func(t *testing.T, w *world) {
		data := file(24*chunk, 1)
		s, tries := &server{}, 0
		s = w.serve(newSource(data), 0, 2, serve.Config{Reopen: func(a net.Addr) (net.PacketConn, error) {
			tries++
			if tries < 3 {
				return nil, errors.New("no descriptors are left")
			}
			return w.socket(a.(*net.UDPAddr)), nil
		}})
		slow(400<<10, s)
		o := w.get(getConfig{Targets: s.targets, Events: at(0.2, func() { s.conns[0].Close() })})
		o.has("data.bin", data)
		failed, back := serveEvents[serve.ServerFailed](s), serveEvents[serve.ServerReopened](s)
		if len(failed) != 1 || len(back) != 1 || failed[0].Addr.String() != s.conns[0].LocalAddr().String() || back[0].Addr != failed[0].Addr || tries != 3 {
			t.Errorf("failed %+v, back %+v after %d tries, want the first socket once, at the third try", failed, back, tries)
		}
		// The server that was away serves clients again.
		w.get(getConfig{Targets: s.targets[:1]}).has("data.bin", data)
	})
}

// A server stops within its promised time even if a read of its disk hangs.
func TestStopWithADiskThatHangs(t *testing.T) {
	overBoth(t, func(t *testing.T, w *world) {
		s := w.holders(file(4*chunk, 1))[0]
		s.src.onRange(func([]byte, int64) error {
			s.src.block()
			return nil
		})
		took := make(chan time.Duration, 1)
		o := w.get(getConfig{Targets: s.targets, Events: func(e fetch.Event) {
			if _, ok := e.(fetch.Started); ok {
				go func() {
					time.Sleep(time.Second)
					begun := time.Now()
					s.cancel()
					<-s.done
					took <- time.Since(begun)
				}()
			}
		}})
		fails[*fetch.NoServerLeftError](o, fetch.KindNetwork)
		if d := <-took; d > stopSpan {
			t.Errorf("serve ended %v after it was told to, want at most %v", d, stopSpan)
		}
		if s.err != nil || len(serveEvents[serve.Stopped](s)) != 1 {
			t.Errorf("serve returned %v, and said %d times that it has stopped", s.err, len(serveEvents[serve.Stopped](s)))
		}
		if lost, _ := only[fetch.Lost](o); lost.State != fetch.StateLost {
			t.Errorf("lost = %+v, want the server that said it is stopping", lost)
		}
		s.src.release()
	})
}

// A server stops within its promised time even if a read hangs while the file
// is hashed.
func TestStopWhileHashingHangs(t *testing.T) {
	overBoth(t, func(t *testing.T, w *world) {
		src := newSource(file(4*chunk, 1))
		src.indexing = func() error {
			src.block()
			return nil
		}
		s := w.serve(src, 0, 1, serve.Config{})
		time.Sleep(time.Second)
		begun := time.Now()
		s.cancel()
		<-s.done
		if took := time.Since(begun); took > stopSpan {
			t.Errorf("serve ended %v after it was told to, want at most %v", took, stopSpan)
		}
		src.release()
	})
}
