// Package spool keeps a program from waiting for the reader of its output. What
// is written goes through a queue of bounded size. If the reader is slow, the
// least valuable pieces are left out, and the reader is told their number.
package spool

// A Class says what may be left out if the reader is slow.
type Class int

// The classes.
const (
	Result Class = iota // never left out
	Event               // something has happened: beyond 1 MiB the oldest are left out
	Report              // a status: beyond 64 KiB the oldest are left out
	classes
)

// room is the number of bytes of a class that may wait; [Result] has no bound.
var room = [classes]int{Event: 1 << 20, Report: 64 << 10}

// A Gap is the number of pieces left out at one place of the output.
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

// Put adds a piece, and leaves out older ones if their class has no room for
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

// Restore says that the gap from Take could not be passed on.
func (q *Queue) Restore(gap Gap) {
	q.gap.Events += gap.Events
	q.gap.Reports += gap.Reports
}

// Bytes returns the number of waiting bytes.
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
