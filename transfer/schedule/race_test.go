//go:build race

package schedule_test

// The numbers of transfers that the simulations run: few, as each takes long.
const (
	simSeeds    = 50
	targetSeeds = 10
)
