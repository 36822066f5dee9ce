package wire

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
)

// What a server says of its congestion control arrives, beside an idle type,
// and in ascending order.
func TestCongestion(t *testing.T) {
	limits := Limits{Streams: 1, Flight: LeastLongest, Longest: LeastLongest}
	long := strings.Repeat("b", maxCongestionLen)
	for _, name := range []string{"bbr", "cubic", "!", "~", long} {
		idle := Idle()
		o := Opened{Limits: limits, Tail: idle.WithCongestion(name)}
		body := o.Append(nil)
		got, err := ReadOpened(bytes.NewReader(body), Header{Length: len(body)})
		if err != nil || !reflect.DeepEqual(got, o) || got.Congestion() != name {
			t.Errorf("%q: got %+v, %v, want what was said", name, got, err)
		}
		if len(idle) != 1 {
			t.Errorf("%q: the given tail was changed: %v", name, idle)
		}
	}
	for _, name := range []string{"", long + "b", "b r", "b\x1b[31m", "b\x7f", "b\xff", "bär", "b\x00"} {
		if got := (Tail{}).WithCongestion(name); len(got) != 0 {
			t.Errorf("%q is said: %v", name, got)
		}
		o := Opened{Limits: limits, Tail: Tail{{Type: tailCongestion, Data: []byte(name)}}}
		body := o.Append(nil)
		got, err := ReadOpened(bytes.NewReader(body), Header{Length: len(body)})
		if err != nil || got.Congestion() != "" {
			t.Errorf("%q: got %q, %v, want that it says nothing", name, got.Congestion(), err)
		}
	}
	// The bytes of the specification.
	golden := append([]byte{1}, append(bytes.Repeat([]byte{0x81, 0, 0, 0}, 2), 0, 0, 1, 3, 'b', 'b', 'r')...)
	if got := (Opened{Limits: limits, Tail: Tail{}.WithCongestion("bbr")}).Append(nil); !bytes.Equal(got, golden) {
		t.Errorf("bytes = %x, want %x", got, golden)
	}
}
