//go:build race

package schedule_test

// How many transfers the simulations run: few where each takes long.
const (
	simSeeds    = 50
	targetSeeds = 10
)
