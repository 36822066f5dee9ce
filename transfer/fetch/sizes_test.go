package fetch

import (
	"bytes"
	"testing"
)

// Bytes are written once only, and nobody waits for a reader that hangs.
func TestOnward(t *testing.T) {
	var out bytes.Buffer
	o := &onward{out: &out}
	for _, run := range []string{"ab", "a", "abcd", "abcdefgh"} {
		if !o.rewind() {
			t.Fatal("cannot begin anew")
		}
		for i := 0; i < len(run); i += 3 {
			p := run[i:min(i+3, len(run))]
			if n, err := o.Write([]byte(p)); n != len(p) || err != nil {
				t.Errorf("write %q: %d, %v", p, n, err)
			}
		}
	}
	if out.String() != "abcdefgh" {
		t.Errorf("wrote %q", out.String())
	}
	o.mu.Lock()
	if o.rewind() {
		t.Error("begins anew in the middle of a write")
	}
}
