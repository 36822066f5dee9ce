package transport

import (
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"
)

// A reply whose end was read at the moment at which it was cancelled has ended:
// the next reply is left to the next stream.
func TestTCPCancelAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := held{make(chan struct{})}
		c := mustDialTCP(t, answered(t, ListenOptions{}, h.answer).dial, DialOptions{})
		first := asking(t, c, Patient, "1").(*tcpStream)
		second := asking(t, c, Patient, "hold 2")
		third := make(chan Stream, 1)
		if second.(*tcpStream).place().link != first.place().link {
			t.Fatal("the second request has another link")
		}
		if got, err := io.ReadFull(first, make([]byte, len("to 1"))); err != nil {
			t.Fatal(got, err)
		}

		first.reading.Lock() // as a Read does that gets the end
		p := first.place()
		p.link.setRead(time.Now().Add(time.Minute))
		_, end := p.link.in.read(make([]byte, 1))
		first.CancelRead(1, LeftUnknown)
		if err := first.unread(p, end); !isMessageEnd(end) || err == nil || errors.Is(err, io.EOF) {
			t.Errorf("end %v, then %v", end, err)
		}
		first.reading.Unlock()
		p.link.setRead(time.Time{})

		synctest.Wait()
		go func() { third <- asking(t, c, Patient, "3") }()
		close(h.tell)
		replyOf(t, second, "to hold 2")
		replyOf(t, <-third, "to 3")
	})
}
