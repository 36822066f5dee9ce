package wire

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
)

// A target is one parser of foreign bytes. Its check parses b and reports
// whether b was accepted. The encoder must return an accepted message byte by
// byte, since a message has only one encoding.
type target struct {
	name  string
	check func(t testing.TB, b []byte) (accepted bool)
	seeds []message // valid ones
}

func targets() []target {
	return []target{
		{"FuzzReadOpen", checkOpen, opens()},
		{"FuzzReadRequest", checkRequest, requests()},
		{"FuzzReadHeader", checkHeader, of[Header](replies())},
		{"FuzzReadRefusal", checkRefusal, of[Refusal](replies())},
		{"FuzzReadFailedSpan", checkFailedSpan, of[FailedSpan](replies())},
		{"FuzzReadOpened", checkOpened, openeds()},
		{"FuzzParseIndexing", checkIndexing, of[Indexing](replies())},
		{"FuzzParsePathReport", checkPathReport, reports()},
		{"FuzzParseOffer", checkOffer, offers()},
		{"FuzzReadValues", checkValues, counted(valuesMessages())},
		{"FuzzParseListing", checkListing, listings()},
		{"FuzzParseTimes", checkTimes, timesMessages()},
		{"FuzzParseValuesFile", checkValuesFile, valuesFiles()},
	}
}

// of returns the messages that are a T.
func of[T any](all []message) []message {
	return slices.DeleteFunc(all, func(m message) bool { _, ok := m.value.(T); return !ok })
}

// counted puts the number of the values, less one, before their frames: two
// bytes, as checkValues reads them.
func counted(all []message) []message {
	for i, m := range all {
		all[i].hex = fmt.Sprintf("%04x", m.value.(Values).Len()-1) + m.hex
	}
	return all
}

func FuzzReadOpen(f *testing.F)        { fuzz(f) }
func FuzzReadRequest(f *testing.F)     { fuzz(f) }
func FuzzReadHeader(f *testing.F)      { fuzz(f) }
func FuzzReadRefusal(f *testing.F)     { fuzz(f) }
func FuzzReadFailedSpan(f *testing.F)  { fuzz(f) }
func FuzzReadOpened(f *testing.F)      { fuzz(f) }
func FuzzParseIndexing(f *testing.F)   { fuzz(f) }
func FuzzParsePathReport(f *testing.F) { fuzz(f) }
func FuzzParseOffer(f *testing.F)      { fuzz(f) }
func FuzzReadValues(f *testing.F)      { fuzz(f) }
func FuzzParseListing(f *testing.F)    { fuzz(f) }
func FuzzParseTimes(f *testing.F)      { fuzz(f) }
func FuzzParseValuesFile(f *testing.F) { fuzz(f) }

// fuzz runs the target that has f's name. Its seeds are the valid messages,
// also cut short, with a byte too many, and with a bit flipped. Odd seeds are
// files in testdata.
func fuzz(f *testing.F) {
	i := slices.IndexFunc(targets(), func(t target) bool { return t.name == f.Name() })
	if i < 0 {
		f.Fatalf("no target of the name %s", f.Name())
	}
	target := targets()[i]
	for _, m := range target.seeds {
		b := m.bytes(f)
		f.Add(b)
		f.Add(b[:len(b)-1])
		f.Add(append(bytes.Clone(b), 0))
		flipped := bytes.Clone(b)
		flipped[len(b)/2] ^= 0x40
		f.Add(flipped)
	}
	f.Fuzz(func(t *testing.T, b []byte) { target.check(t, b) })
}

// same fails unless an accepted message is encoded as the bytes consumed.
func same(t testing.TB, encoded, consumed []byte) {
	t.Helper()
	if !bytes.Equal(encoded, consumed) {
		t.Errorf("another encoding of one message\n got %x\nwant %x", encoded, consumed)
	}
}

// refused fails unless a parser of memory says that b is malformed.
func refused(t testing.TB, err error) bool {
	t.Helper()
	if !isMalformed(err) {
		t.Errorf("got %v, want a *MalformedError", err)
	}
	return false
}

// refusedStream is refused for a reader of a stream, which may also end.
func refusedStream(t testing.TB, b []byte, err error) bool {
	t.Helper()
	if err == io.ErrUnexpectedEOF || err == io.EOF && len(b) == 0 {
		return false
	}
	return refused(t, err)
}

func checkOpen(t testing.TB, b []byte) bool {
	r := bytes.NewReader(b)
	o, err := ReadOpen(r)
	if err != nil {
		return refusedStream(t, b, err)
	}
	same(t, AppendRequest(nil, o), b[:len(b)-r.Len()])
	return true
}

func checkRequest(t testing.TB, b []byte) bool {
	r := bytes.NewReader(b)
	req, err := ReadRequest(r)
	consumed := b[:len(b)-r.Len()]
	if e, ok := errors.AsType[*UnsupportedError](err); ok {
		d := decoder{b: consumed}
		if got := d.varint("type", 1<<62-1); got != e.Type || got <= typePath {
			t.Errorf("type %d was called unsupported, as %d", got, e.Type)
		}
		d.bytes("body", MaxRequestLen)
		if err := d.done(); err != nil {
			t.Errorf("an unsupported request was not consumed as a whole: %v", err)
		}
		return false
	}
	if err != nil {
		return refusedStream(t, b, err)
	}
	same(t, AppendRequest(nil, req), b)
	if ranges, ok := req.(RangesRequest); ok {
		for _, s := range ranges.Spans {
			if s.Offset < 0 || s.Length < 1 || s.Offset > MaxFileSize-s.Length {
				t.Errorf("accepted %+v", s)
			}
		}
	}
	return true
}

func checkHeader(t testing.TB, b []byte) bool {
	r := bytes.NewReader(b)
	h, err := ReadHeader(r)
	if err != nil {
		return refusedStream(t, b, err)
	}
	same(t, h.Append(nil), b[:len(b)-r.Len()])
	return true
}

func checkRefusal(t testing.TB, b []byte) bool {
	r := bytes.NewReader(b)
	e, err := readRefusalFrame(r)
	if err != nil {
		return refusedStream(t, b, err)
	}
	same(t, e.Append(nil), b[:len(b)-r.Len()])
	printable(t, &e)
	return true
}

// printable fails if a peer can bring what it likes to a terminal.
func printable(t testing.TB, err error) {
	t.Helper()
	if s := err.Error(); len(s) > 2048 || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		t.Errorf("text of the error is not safe to print: %q", s)
	}
}

func checkFailedSpan(t testing.TB, b []byte) bool {
	r := bytes.NewReader(b)
	f, err := readFailedSpanFrame(r)
	if err != nil {
		return refusedStream(t, b, err)
	}
	same(t, f.Append(nil), b[:len(b)-r.Len()])
	printable(t, &f.Refusal)
	if f.Index < 0 || f.Index >= MaxSpans || !f.Refusal.Status.refuses() {
		t.Errorf("accepted %+v", f)
	}
	return true
}

func checkOpened(t testing.TB, b []byte) bool {
	o, err := parseOpenedBody(b)
	if err != nil {
		return refused(t, err)
	}
	same(t, o.Append(nil), b)
	if l := o.Limits; l.Streams < 1 || l.Longest < LeastLongest || l.Flight < l.Longest || l.Wasted < 0 {
		t.Errorf("accepted %+v", l)
	}
	return true
}

func checkIndexing(t testing.TB, b []byte) bool {
	i, err := ParseIndexing(b)
	if err != nil {
		return refused(t, err)
	}
	same(t, i.Append(nil), b)
	if i.Done < 0 || i.Done > i.Total || i.Total > MaxFileSize {
		t.Errorf("accepted %+v", i)
	}
	return true
}

func checkPathReport(t testing.TB, b []byte) bool {
	p, err := ParsePathReport(b)
	if err != nil {
		return refused(t, err)
	}
	same(t, p.Append(nil), b)
	if len(b) > MaxReportLen || p.Lost > p.Sent || p.Events > p.Lost || p.Ranks > 1000*p.Events ||
		p.LowRTT > p.HighRTT || max(p.MinRTT, p.SmoothedRTT, p.HighRTT) > MaxRTT {
		t.Errorf("accepted %+v of %d bytes", p, len(b))
	}
	return true
}

func checkOffer(t testing.TB, b []byte) bool {
	o, err := ParseOffer(b)
	if err != nil {
		return refused(t, err)
	}
	same(t, o.Append(nil), b)
	if o.Size < 0 || o.Size > MaxFileSize || o.ValuesLen < 0 || o.ValuesLen > MaxInlineValues {
		t.Errorf("accepted %+v", o)
	}
	return true
}

// checkValues reads a number of values, less one, and their frames.
func checkValues(t testing.TB, b []byte) bool {
	if len(b) < 2 {
		return false
	}
	count := int(b[0])<<8 + int(b[1]) + 1
	b = b[2:]
	r := bytes.NewReader(b)
	v, err := ReadValues(r, count)
	if e, ok := errors.AsType[*Refusal](err); ok {
		printable(t, e)
		return false
	}
	if err != nil {
		return refusedStream(t, b, err)
	}
	if v.Len() != count {
		t.Errorf("got %d values, want %d", v.Len(), count)
	}
	same(t, v.AppendFrames(nil, 0, count), b[:len(b)-r.Len()])
	return true
}

// checkListing also proves that no path and no target leaves the tree.
func checkListing(t testing.TB, b []byte) bool {
	entries, err := ParseListing(b)
	if err != nil {
		return refused(t, err)
	}
	again, err := AppendListing(nil, entries)
	if err != nil {
		t.Errorf("what was read is refused: %v", err)
	}
	same(t, again, b)
	if problem := naiveCheck(entries); problem != "" {
		t.Errorf("accepted a listing in which %s: %+v", problem, entries)
	}
	return true
}

// checkTimes reads a list of times for the number of entries that it names
// itself, and for another.
func checkTimes(t testing.TB, b []byte) bool {
	d := decoder{b: b}
	d.magic(timesMagic)
	n := int(d.varint("number", MaxEntries))
	times, err := ParseTimes(b, n)
	if err != nil {
		return refused(t, err)
	}
	if len(times.Entries) != n {
		t.Errorf("got %d times, want %d", len(times.Entries), n)
	}
	same(t, times.Append(nil), b)
	if _, err := ParseTimes(b, n+1); !isMalformed(err) {
		t.Errorf("%d times for %d entries: got %v, want a *MalformedError", n, n+1, err)
	}
	return true
}

func checkValuesFile(t testing.TB, b []byte) bool {
	f, err := ParseValuesFile(b)
	if err != nil {
		return refused(t, err)
	}
	same(t, f.Append(nil), b)
	if f.Offer.ValuesLen != 0 || f.Offer.Tail != nil || len(f.Values)%ValueLen != 0 {
		t.Errorf("accepted %+v", f.Offer)
	}
	return true
}
