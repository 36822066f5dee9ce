package wire

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

func TestValues(t *testing.T) {
	b := unhexed(hex00 + hex40 + hex80)
	v, err := ParseValues(b)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := v.Len(), 3; got != want {
		t.Errorf("number of values: got %d, want %d", got, want)
	}
	for i, want := range []string{hex00, hex40, hex80} {
		if got := fmt.Sprintf("%x", v.At(i)); got != want {
			t.Errorf("value %d: got %s, want %s", i, got, want)
		}
	}
	if !bytes.Equal(v.Bytes(), b) {
		t.Errorf("bytes: got %x, want %x", v.Bytes(), b)
	}
	if got, want := ValuesLen(3), len(b); got != want {
		t.Errorf("length of three values: got %d, want %d", got, want)
	}
	if got, want := v.AppendFrames(nil, 1, 1), append([]byte{0, 32}, b[32:64]...); !bytes.Equal(got, want) {
		t.Errorf("frames of the second value: got %x, want %x", got, want)
	}
	if got := (Values{}).AppendFrames(nil, 0, 0); len(got) != 0 || (Values{}).Len() != 0 {
		t.Errorf("an empty file has %d values, in frames %x", (Values{}).Len(), got)
	}
}

// TestValuesAreRefused: a server may refuse before the first value, and in the
// middle of them.
func TestValuesAreRefused(t *testing.T) {
	all := NewValues(5000).AppendFrames(nil, 0, 5000) // two frames
	second := 1 + 4 + MaxFrameLen
	for _, at := range []int{0, second} {
		for s := range Status(14) {
			want := Refusal{Status: s, Text: "gone"}
			_, err := ReadValues(bytes.NewReader(want.Append(bytes.Clone(all[:at]))), 5000)
			got, ok := err.(*Refusal)
			switch {
			case s.refuses() && (!ok || *got != want):
				t.Errorf("%s at %d: got %v, want %v", s, at, err, &want)
			case !s.refuses() && !isMalformed(err):
				t.Errorf("%s at %d: got %v, want a *MalformedError", s, at, err)
			}
		}
	}
}

// TestValuesSetConcurrently is for the race detector: the goroutines that hash
// chunks record them.
func TestValuesSetConcurrently(t *testing.T) {
	const n = 8
	v := NewValues(n)
	done := make(chan struct{})
	for i := range n {
		go func() {
			v.Set(i, filled(byte(i)))
			done <- struct{}{}
		}()
	}
	for range n {
		<-done
	}
	for i := range n {
		if v.At(i) != filled(byte(i)) {
			t.Errorf("value %d: got %x", i, v.At(i))
		}
	}
}

func TestNewValuesPanics(t *testing.T) {
	for _, n := range []int{-1, 1<<20 + 1} {
		func() {
			defer func() {
				if got := fmt.Sprint(recover()); !strings.HasPrefix(got, "malcolm: internal error") {
					t.Errorf("%d values: recovered %q", n, got)
				}
			}()
			NewValues(n)
		}()
	}
}
