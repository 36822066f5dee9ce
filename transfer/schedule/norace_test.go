//go:build !race

package schedule_test

// The numbers of transfers that the simulations run: simSeeds small ones,
// targetSeeds of those that have a target.
const (
	simSeeds    = 300
	targetSeeds = 100
)
