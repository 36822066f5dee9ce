package spool

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"
)

// TestQueueProperty: pieces come out in their order, each is taken or counted,
// no result is missing, and what may be left out has a bound.
func TestQueueProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var q Queue
		put, last := 0, -1
		var results, taken, told [classes]int
		take := func() bool {
			class, text, gap, ok := q.Take()
			if !ok {
				return false
			}
			var number int
			if _, err := fmt.Sscan(string(text), &number); err != nil || number <= last {
				t.Fatalf("%.20q after %d: %v", text, last, err)
			}
			last = number
			taken[class]++
			told[Event] += gap.Events
			told[Report] += gap.Reports
			return true
		}
		steps := rapid.IntRange(0, 400).Draw(t, "steps")
		for range steps {
			if rapid.IntRange(0, 4).Draw(t, "what") == 0 {
				take()
				continue
			}
			class := Class(rapid.IntRange(0, int(classes)-1).Draw(t, "class"))
			size := rapid.IntRange(12, 1<<rapid.IntRange(4, 18).Draw(t, "bits")).Draw(t, "size")
			q.Put(class, fmt.Appendf(nil, "%-*d\n", size, put))
			put++
			results[class]++
			for c, most := range room {
				if n := len(q.waiting[c]); Class(c) != Result && q.bytes[c] > most && n > 1 {
					t.Fatalf("class %d: %d pieces of %d bytes wait", c, n, q.bytes[c])
				}
			}
		}
		for take() {
		}
		if q.Bytes() != 0 {
			t.Errorf("%d bytes wait in an empty queue", q.Bytes())
		}
		for c := range classes {
			if taken[c]+told[c] != results[c] {
				t.Errorf("class %d: %d put, %d taken, %d told of", c, results[c], taken[c], told[c])
			}
		}
		if told[Result] != 0 {
			t.Errorf("%d results are left out", told[Result])
		}
	})
}

// TestQueueKeepsTheNewest: of pieces that replace each other the newest is
// kept, however large it is.
func TestQueueKeepsTheNewest(t *testing.T) {
	var q Queue
	q.Put(Report, []byte("old"))
	q.Put(Report, make([]byte, 2*room[Report]))
	class, text, gap, ok := q.Take()
	if !ok || class != Report || len(text) != 2*room[Report] || gap != (Gap{Reports: 1}) {
		t.Errorf("class %d, %d bytes, gap %+v, %t", class, len(text), gap, ok)
	}
}
