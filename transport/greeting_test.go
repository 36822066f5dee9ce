package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"
)

var errRude = errors.New("rude")

// hello greets with "hello", and expects "hi".
func hello() *Greeting {
	return &Greeting{
		Say: func(tls.ConnectionState) []byte { return []byte("hello") },
		Hear: func(_ tls.ConnectionState, r io.Reader) error {
			b := make([]byte, 2)
			if _, err := io.ReadFull(r, b); err != nil {
				return err
			}
			if string(b) != "hi" {
				return errRude
			}
			return nil
		},
		Code: 5,
	}
}

// replyTo answers one stream of a server's, whose request it returns.
func replyTo(ctx context.Context, c Conn, reply string) string {
	st, err := c.AcceptStream(ctx)
	if err != nil {
		return err.Error()
	}
	defer st.Release()
	got, err := io.ReadAll(st)
	if err != nil {
		return err.Error()
	}
	st.Write([]byte(reply))
	st.CloseWrite()
	return string(got)
}

// ask sends a request and returns the reply.
func ask(ctx context.Context, c Conn, request string) (string, error) {
	st, err := c.OpenStream(ctx, Patient)
	if err != nil {
		return "", err
	}
	if request != "" {
		st.Write([]byte(request))
	}
	st.CloseWrite()
	st.SetReadDeadline(time.Now().Add(time.Second))
	got, err := io.ReadAll(st)
	return string(got), err
}

// greeted returns both ends of a connection whose client greets.
func greeted(t *testing.T) (client, server Conn) {
	n := newNetwork(t)
	l := serve(t, n.conn(1, 1), ListenOptions{})
	client = mustDial(t, n.conn(2, 2), l.Addr(), DialOptions{Greeting: hello()})
	return client, mustAccept(t, l)
}

func TestGreeting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := greeted(t)
		for i, tt := range []struct{ request, got, reply, answer string }{
			{"", "hello", "hi", ""},
			{"two", "two", "second", "second"},
		} {
			heard := make(chan string, 1)
			go func() { heard <- replyTo(t.Context(), server, tt.reply) }()
			if got, err := ask(t.Context(), client, tt.request); got != tt.answer || err != nil {
				t.Errorf("answer %d = %q, %v, want %q", i, got, err, tt.answer)
			}
			if got := <-heard; got != tt.got {
				t.Errorf("request %d = %q, want %q", i, got, tt.got)
			}
		}
	})
}

func TestGreetingRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := greeted(t)
		go replyTo(t.Context(), server, "no")
		if _, err := ask(t.Context(), client, "one"); err != errRude {
			t.Errorf("error = %v, want Hear's", err)
		}
		<-client.Done()
		if err := client.Err(); err != errRude {
			t.Errorf("the connection's error = %v, want Hear's", err)
		}
		<-server.Done()
		if e := wantPeer(t, server.Err(), PeerClosed); e.Code != 5 {
			t.Errorf("code %d, want 5", e.Code)
		}
	})
}

// A server that does not answer is not heard later: what is read of the answer
// is lost with the first deadline.
func TestGreetingUnheard(t *testing.T) {
	for name, give := range map[string]func(st Stream){
		"deadline": func(st Stream) {
			st.SetReadDeadline(time.Now().Add(time.Second))
			_, err := st.Read(make([]byte, 1))
			wantLocal(t, err, LocalDeadline)
		},
		"cancel": func(st Stream) { st.CancelRead(1, LeftUnknown) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, server := greeted(t)
				st, err := client.OpenStream(t.Context(), Patient)
				if err != nil {
					t.Fatal(err)
				}
				st.Write([]byte("x"))
				give(st)
				<-client.Done()
				<-server.Done()
			})
		})
	}
}
