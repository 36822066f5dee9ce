//go:build !race

package main

// raceEnabled reports whether the race detector is on, which keeps several times the memory of the program.
const raceEnabled = false
