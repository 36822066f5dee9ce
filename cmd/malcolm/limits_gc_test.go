package main

import (
	"runtime/debug"
	"testing"

	"malcolm/transfer/serve"
	"malcolm/transfer/tree"
)

// Garbage is collected often while a directory is read, and from then on if it
// is large, unless the user says how often.
func TestCollectOften(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(100))
	now := func() int {
		percent := debug.SetGCPercent(100)
		debug.SetGCPercent(percent)
		return percent
	}
	for _, test := range []struct {
		name    string
		gogc    string
		tree    *serve.Tree
		entries int
		want    [2]int // while it is read, afterwards
	}{
		{"a file", "", nil, 0, [2]int{100, 100}},
		{"small", "", new(serve.Tree), 10, [2]int{treeGCPercent, 100}},
		{"large", "", new(serve.Tree), manyEntries, [2]int{treeGCPercent, treeGCPercent}},
		{"the user's", "70", new(serve.Tree), manyEntries, [2]int{100, 100}},
	} {
		told := 0
		event, end := collectOften(&terminal{getenv: func(string) string { return test.gogc }}, test.tree, func(serve.Event) { told++ })
		got := [2]int{now()}
		if event(serve.Ready{}); test.tree != nil {
			event(serve.Ready{Tree: &tree.Totals{Files: test.entries - 2, Links: 1, Directories: 1}})
		}
		got[1] = now()
		if end(); got != test.want || now() != 100 || told == 0 {
			t.Errorf("%s: %v, want %v; %d at the end, want 100", test.name, got, test.want, now())
		}
	}
}
