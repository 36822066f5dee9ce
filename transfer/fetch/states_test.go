package fetch

import "testing"

func TestStates(t *testing.T) {
	for s := StateConnecting; s <= StateWrong; s++ {
		if s.String() == "" {
			t.Errorf("state %d has no name", s)
		}
	}
}
