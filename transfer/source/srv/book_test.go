package srv

import (
	"context"
	"errors"
	"fmt"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"malcolm/transfer/source"
)

// A script answers lookups in virtual time.
type script struct {
	targets []string // with the port 1
	err     error
	takes   time.Duration
	times   []time.Time // of questions
}

func (s *script) lookup(ctx context.Context, name string) (records []*net.SRV, err error) {
	s.times = append(s.times, time.Now())
	for _, t := range s.targets {
		records = append(records, &net.SRV{Target: t, Port: 1})
	}
	err = s.err
	select {
	case <-time.After(s.takes):
		return records, err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// newBook returns a book that asks a script, and what it has warned of.
func newBook(t *testing.T, s *script) (*Book, *[]string) {
	var said []string
	b := NewBook(s.lookup, Every, 5*time.Second, func(w string) { said = append(said, w) })
	t.Cleanup(b.Close)
	return b, &said
}

// follow looks every two seconds, as a run does.
func follow(b *Book, d time.Duration) {
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(2 * time.Second) {
		b.Look([]string{service})
	}
	synctest.Wait()
}

// servers returns what a book knows.
func servers(b *Book) string {
	list, err := b.Servers(service)
	if err != nil {
		return err.Error()
	}
	return shown(list)
}

// A name is asked for every half minute; what the answer names joins and
// leaves. What fails then changes nothing, and is said once.
func TestBook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{targets: []string{"a.", "b."}, takes: time.Second}
		b, said := newBook(t, s)
		if err := b.Ask(t.Context(), []string{service}); err != nil || servers(b) != "a:1/0 b:1/0" {
			t.Fatalf("%s, %v", servers(b), err)
		}
		s.targets = []string{"b.", "c."}
		follow(b, 26*time.Second)
		if len(s.times) != 1 || servers(b) != "a:1/0 b:1/0" {
			t.Errorf("asked %d times: %s", len(s.times), servers(b))
		}
		follow(b, 8*time.Second)
		if len(s.times) != 2 || servers(b) != "b:1/0 c:1/0" {
			t.Errorf("asked %d times: %s", len(s.times), servers(b))
		}
		s.targets, s.err = nil, &net.DNSError{IsNotFound: true}
		follow(b, 300*time.Second)
		want := "srv:" + service + ": no name server knows such an SRV name; the servers that it led to before stay"
		if n := len(s.times); n != 12 || servers(b) != "b:1/0 c:1/0" || len(*said) != 1 || (*said)[0] != want {
			t.Errorf("asked %d times: %s, said %q", n, servers(b), *said)
		}
		s.targets, s.err = []string{"a."}, nil
		follow(b, 40*time.Second)
		s.err = errTest
		s.targets = nil
		follow(b, 40*time.Second)
		if len(*said) != 2 || servers(b) != "a:1/0" {
			t.Errorf("said %q, %s", *said, servers(b))
		}
		s.targets, s.err = []string{"."}, nil
		follow(b, 40*time.Second)
		if servers(b) != errNotThere.Error() {
			t.Errorf("not there: %s", servers(b))
		}
	})
}

// An hour of nothing is said once, and costs one question at a time.
func TestBookOfNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{takes: time.Hour}
		b, said := newBook(t, s)
		if err := b.Ask(t.Context(), []string{service}); err != nil || servers(b) != "the name server does not answer" {
			t.Errorf("%s, %v", servers(b), err)
		}
		follow(b, time.Hour)
		if len(s.times) > 121 || len(*said) != 0 {
			t.Errorf("asked %d times, said %q", len(s.times), *said)
		}
		s.takes, s.targets = 0, []string{"a."}
		follow(b, 40*time.Second)
		s.takes = time.Hour
		follow(b, time.Hour)
		if servers(b) != "a:1/0" || len(*said) != 1 {
			t.Errorf("%s, said %q", servers(b), *said)
		}
	})
}

// A hundred that ask at once are one question; a name that failed is asked for
// again by the next one that needs it.
func TestBookShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{err: errTest, takes: time.Second}
		b, _ := newBook(t, s)
		for range 100 {
			go b.Ask(t.Context(), []string{service})
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if len(s.times) != 1 {
			t.Errorf("asked %d times", len(s.times))
		}
		s.targets, s.err = []string{"a."}, nil
		for range 100 {
			go b.Ask(t.Context(), []string{service})
		}
		if err := b.Ask(t.Context(), []string{service}); err != nil || servers(b) != "a:1/0" || len(s.times) != 2 {
			t.Errorf("%s, %v, asked %d times", servers(b), err, len(s.times))
		}
		ended, cancel := context.WithCancelCause(t.Context())
		cancel(errTest)
		s.takes = time.Hour
		time.Sleep(Every)
		if err := b.Ask(ended, []string{service}); !errors.Is(err, errTest) {
			t.Errorf("got %v", err)
		}
	})
}

// A name server that names other servers each time does not fill the memory.
func TestBookBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{}
		b, said := newBook(t, s)
		for n := range 40 {
			s.targets = nil
			for i := range MaxServers {
				s.targets = append(s.targets, fmt.Sprintf("h-%d-%d.", n, i))
			}
			follow(b, Every)
		}
		list, err := b.Servers(service)
		if ever := len(b.pages[service].ever); err != nil || len(list) != MaxServers || ever != mostEver || len(*said) != 1 {
			t.Errorf("%d servers of %d, %v, said %q", len(list), ever, err, *said)
		}
	})
}

// The transport of a name is that of its second label.
func TestTransport(t *testing.T) {
	for name, want := range map[string]source.Transport{
		service: 0, "_malcolm._tcp.x": source.TCP, "malcolm.service.consul": 0, "_tcp.x": 0, "_malcolm._tcp": 0,
	} {
		if got := (source.Target{Service: name, Host: "h", Port: 1}).Over(); got != want {
			t.Errorf("%s: got %v", name, got)
		}
	}
}
