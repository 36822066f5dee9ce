package serve

import (
	"testing"

	"malcolm/certs"
)

// TestResetKey: a restart on the same machine has the same reset key. Another
// machine with the same identity has another, and so has a run that knows no
// machine.
func TestResetKey(t *testing.T) {
	var ids [2]*certs.Identity
	for i := range ids {
		var err error
		if ids[i], err = certs.Generate(); err != nil {
			t.Fatal(err)
		}
	}
	key := func(id int, machine byte) [32]byte {
		cfg := Config{Identity: ids[id], Machine: [32]byte{machine}}
		return cfg.resetKey()
	}
	if once, again := key(0, 1), key(0, 1); once != again {
		t.Error("a restart has another key")
	}
	for i, other := range [][32]byte{key(0, 2), key(1, 1), key(0, 0)} {
		if other == key(0, 1) {
			t.Errorf("case %d has the same key", i)
		}
	}
	if once, again := key(0, 0), key(0, 0); once == again {
		t.Error("two runs that know no machine have the same key")
	}
}
