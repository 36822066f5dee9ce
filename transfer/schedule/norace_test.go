//go:build !race

package schedule_test

// How many transfers the simulations run: simSeeds small ones, targetSeeds of
// those that have a target.
const (
	simSeeds    = 300
	targetSeeds = 100
)
