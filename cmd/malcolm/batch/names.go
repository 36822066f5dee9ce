package batch

import (
	"fmt"
	"sync"

	"malcolm/transfer/localfile"
)

// Names are the paths that the files of a list have taken. Any goroutine may
// call its methods. The zero value is ready to use.
type Names struct {
	mu    sync.Mutex
	taken map[string]int // the line that writes to a path
}

// A takenError says which line writes to a path.
type takenError struct{ line int }

func (e *takenError) Error() string { return fmt.Sprintf("line %d writes it", e.line) }

// Claim takes a path for a line. The error, a [*localfile.Error], says that
// another line has it.
func (n *Names) Claim(path string, line int) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if other, ok := n.taken[path]; ok && other != line {
		return &localfile.Error{Op: "write", Path: path, Err: &takenError{other}}
	}
	if n.taken == nil {
		n.taken = make(map[string]int)
	}
	n.taken[path] = line
	return nil
}

// Of returns the line that has a path; 0: no line has it.
func (n *Names) Of(path string) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.taken[path]
}
