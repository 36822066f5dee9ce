// Package spool keeps a program from waiting for whoever reads its output. What
// is written goes through a queue of bounded size. When the reader is slow, what
// is worth least is left out, and the reader is told how much.
package spool

// A Class says what may be left out when the reader is slow.
type Class int

// The classes.
const (
	Result Class = iota // nothing is left out
	Event               // something has happened: the oldest are left out beyond 1 MiB
	Report              // how things stand: the oldest are left out beyond 64 KiB
	classes
)

// room is how many bytes of a class may wait, [Result] without a bound.
var room = [classes]int{Event: 1 << 20, Report: 64 << 10}

// A Gap is how many pieces were left out at one place of the output.
type Gap struct{ Events, Reports int }

// A Queue holds pieces of output in their order. Its zero value is empty.
type Queue struct {
	waiting [classes][]piece
	bytes   [classes]int
	put     uint64 // pieces so far
	gap     Gap    // left out before the next piece
}

type piece struct {
	number uint64
	text   []byte
}

// Put adds a piece, and leaves older ones out when their class has no room for
// it. The queue keeps text.
func (q *Queue) Put(class Class, text []byte) {
	q.put++
	q.waiting[class] = append(q.waiting[class], piece{q.put, text})
	q.bytes[class] += len(text)
	for class != Result && q.bytes[class] > room[class] && len(q.waiting[class]) > 1 {
		q.remove(class)
		q.leaveOut(class)
	}
}

// Take returns the oldest piece, and what was left out before it.
func (q *Queue) Take() (class Class, text []byte, gap Gap, ok bool) {
	oldest := classes
	for c := range classes {
		if len(q.waiting[c]) > 0 && (oldest == classes || q.waiting[c][0].number < q.waiting[oldest][0].number) {
			oldest = c
		}
	}
	if oldest == classes {
		return 0, nil, Gap{}, false
	}
	gap, q.gap = q.gap, Gap{}
	return oldest, q.remove(oldest), gap, true
}

// Restore says that what Take told of could not be passed on.
func (q *Queue) Restore(gap Gap) {
	q.gap.Events += gap.Events
	q.gap.Reports += gap.Reports
}

// Bytes returns how many bytes wait.
func (q *Queue) Bytes() (n int) {
	for _, b := range q.bytes {
		n += b
	}
	return n
}

func (q *Queue) remove(class Class) []byte {
	first := q.waiting[class][0]
	q.waiting[class][0].text = nil // the rest keeps the array
	q.waiting[class] = q.waiting[class][1:]
	q.bytes[class] -= len(first.text)
	return first.text
}

// leaveOut counts a piece that nobody will read.
func (q *Queue) leaveOut(class Class) {
	if class == Report {
		q.gap.Reports++
	} else {
		q.gap.Events++
	}
}
