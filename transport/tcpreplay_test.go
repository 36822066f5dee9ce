package transport

import (
	"slices"
	"testing"
	"testing/synctest"
)

// takeOff takes a stream off its link as a replay does, since the one before it
// is cancelled.
func takeOff(c *tcpConn, s *tcpStream, before Stream) {
	c.mu.Lock()
	from := s.place().link
	from.queue = slices.DeleteFunc(from.queue, func(o *tcpStream) bool { return o == s })
	s.leave()
	c.mu.Unlock()
	before.CancelRead(1, 1<<30)
	synctest.Wait()
}

// putOn puts it on another link. It does not begin there.
func putOn(c *tcpConn, l *clientLink, s *tcpStream) *tcpPlace {
	c.mu.Lock()
	defer c.mu.Unlock()
	p, _ := c.join(l, s)
	return p
}

// A replayBed has a request on one link that was moved to another, behind a
// reply that does not come.
type replayBed struct {
	s     *tcpServer
	c     *tcpConn
	moved *tcpStream
	to    *clientLink
	place *tcpPlace
	front Stream // before it there
}

func newReplayBed(t *testing.T) *replayBed {
	b := &replayBed{s: answered(t, ListenOptions{}, held{make(chan struct{})}.answer)}
	b.c = mustDialTCP(t, b.s.dial, DialOptions{}).(*tcpConn)
	first := asking(t, b.c, Patient, "hold 1")
	b.moved = asking(t, b.c, Patient, "2").(*tcpStream)
	b.front = asking(t, b.c, Urgent, "hold 3")
	b.to = b.front.(*tcpStream).place().link
	takeOff(b.c, b.moved, first)
	b.place = putOn(b.c, b.to, b.moved)
	synctest.Wait()
	return b
}

// heardOnce fails the test unless the moved request came to the server once,
// and its reply to the client.
func (b *replayBed) heardOnce(t *testing.T) {
	t.Helper()
	replyOf(t, b.moved, "to 2")
	n := 0
	for _, r := range b.s.requests() {
		if r == "2" {
			n++
		}
	}
	if n != 1 || b.c.Err() != nil {
		t.Errorf("the server heard %q, error %v, want the moved request once", b.s.requests(), b.c.Err())
	}
}

// A request is moved again before it begins on its new link.
func TestTCPReplayMovedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newReplayBed(t)
		b.front.CancelRead(1, 1<<30)
		synctest.Wait()
		if err := b.moved.begin(b.place); err != nil {
			t.Errorf("begin at a place that is gone: %v", err)
		}
		synctest.Wait()
		b.heardOnce(t)
	})
}

// A request is moved again while it is written to its new link.
func TestTCPReplayMovedWhileWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newReplayBed(t)
		b.to.out.turn <- struct{}{} // somebody writes, and is not taken
		begun := make(chan error, 1)
		go func() { begun <- b.moved.begin(b.place) }()
		synctest.Wait()
		b.front.CancelRead(1, 1<<30)
		if err := <-begun; err != nil {
			t.Errorf("begin at a place that is gone: %v", err)
		}
		synctest.Wait()
		b.heardOnce(t)
	})
}

// Nothing goes ahead of a request that has not begun on its new link: the
// replies would be taken for each other's.
func TestTCPNothingBeforeAReplay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := answered(t, ListenOptions{}, held{make(chan struct{})}.answer)
		c := mustDialTCP(t, s.dial, DialOptions{}).(*tcpConn)
		first := asking(t, c, Patient, "hold 1")
		moved := asking(t, c, Patient, "2").(*tcpStream)
		idle := asking(t, c, Urgent, "3")
		to := idle.(*tcpStream).place().link
		replyOf(t, idle, "to 3")
		c.mu.Lock()
		w := to.watched
		c.mu.Unlock()
		takeOff(c, moved, first)
		place := putOn(c, to, moved)
		if !c.wake(to, w, moved) {
			t.Fatal("the link is gone")
		}
		other := asking(t, c, Patient, "4")
		if err := moved.begin(place); err != nil {
			t.Error(err)
		}
		replyOf(t, moved, "to 2")
		replyOf(t, other, "to 4")
	})
}

// A stream that is cancelled while it waits for a new link leaves that link to
// be greeted by the next one.
func TestTCPCancelledBeforeTheGreeting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := answered(t, ListenOptions{}, func(_ Conn, st Stream, request string) {
			switch request {
			case "hellohold":
				st.Write([]byte("hi"))
				<-st.Done()
				return
			case "hellonext":
				st.Write([]byte("hito next"))
			}
			st.CloseWrite()
		})
		c := mustDialTCP(t, s.dial, DialOptions{Greeting: hello()}).(*tcpConn)
		first := asking(t, c, Patient, "hold")
		second := asking(t, c, Patient, "ahead").(*tcpStream)
		link, err := c.d.further(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		to := &clientLink{tcpLink: link}
		c.mu.Lock()
		c.links = append(c.links, to)
		c.work.Add(1)
		c.mu.Unlock()
		takeOff(c, second, first)
		second.CancelRead(1, LeftUnknown)
		err = second.begin(putOn(c, to, second))
		wantLocal(t, err, LocalCanceled)
		replyOf(t, asking(t, c, Patient, "next"), "to next")
		if n := s.dialled(); n != 2 {
			t.Errorf("%d links, want 2", n)
		}
	})
}
