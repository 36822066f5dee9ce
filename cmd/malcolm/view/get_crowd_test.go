package view

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"malcolm/transfer/fetch"
	"malcolm/transfer/source"
	"malcolm/transfer/vote"
)

// manyTargets are ports of one host.
func manyTargets(n int) (targets []source.Target) {
	for i := range n {
		targets = append(targets, source.Target{Host: "10.0.0.5", Port: uint16(10001 + i)})
	}
	return targets
}

// TestManyDeadServers: a thousand failed ports make a few lines, at the vote,
// after a while, and at the end.
func TestManyDeadServers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		refused := &source.Fault{What: source.NoPort, Words: "connection refused"}
		term, _, stderr := newTestTerminal()
		v := &getText{Terminal: term, silent: true, run: Run{Advice: func(_ source.Target, err error) []string {
			if err == refused {
				return []string{"is it running there?"}
			}
			return nil
		}}}
		for i, target := range manyTargets(1023) {
			err := error(refused)
			if i == 500 {
				err = errors.New("odd")
			}
			v.event(fetch.NotReached{Target: target, Err: err})
		}
		v.event(fetch.Voted{Result: vote.Result{Groups: []vote.Group{{Servers: []int{0}}}}})
		want := "malcolm: warning: 10.0.0.5:10001: connection refused\n" +
			"malcolm: hint: is it running there?\n" +
			"malcolm: warning: 10.0.0.5:10002: connection refused\n" +
			"malcolm: warning: 10.0.0.5:10003: connection refused\n" +
			"malcolm: warning: 10.0.0.5:10501: odd\n" +
			"malcolm: warning: 1,019 more servers: connection refused: 10.0.0.5:10004-10500,10502-11023\n"
		if got := stderr.String(); !strings.HasPrefix(got, want) {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}

		stderr.Reset()
		lost := func(n int) {
			for _, target := range manyTargets(n) {
				v.event(fetch.Lost{Target: target, State: fetch.StateLost, Err: refused, Left: n})
			}
		}
		lost(5)
		v.progress(fetch.Snapshot{})
		if n := strings.Count(stderr.String(), "\n"); n != 3 {
			t.Errorf("at once: %d lines, want 3:\n%s", n, stderr)
		}
		time.Sleep(crowdTime)
		v.progress(fetch.Snapshot{})
		if want := "2 more servers: lost: connection refused: 10.0.0.5:10004-10005\n"; !strings.HasSuffix(stderr.String(), want) {
			t.Errorf("after a while: %q, want %q", stderr, want)
		}
		lost(4)
		v.ended(Outcome{})
		if want := "1 more server: lost: connection refused: 10.0.0.5:10004\n"; !strings.HasSuffix(stderr.String(), want) {
			t.Errorf("at the end: %q, want %q", stderr, want)
		}
	})
}

func TestPlaces(t *testing.T) {
	targets := []source.Target{
		{Host: "b", Port: 2}, {Host: "b", Port: 1}, {Host: "::1", Port: 7}, {Host: "b", Port: 9}, {Host: "c", Port: 1}, {Host: "d", Port: 1}, {Host: "e", Port: 1},
	}
	if got, want := places(targets), "[::1]:7, b:1-2,9, c:1, 2 more hosts"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
