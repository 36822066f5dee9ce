//go:build !race

package main

// raceEnabled reports whether the race detector is on, which needs several
// times the memory of the program.
const raceEnabled = false
