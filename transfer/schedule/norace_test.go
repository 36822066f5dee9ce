//go:build !race

package schedule_test

// simSeeds is how many transfers a simulation runs.
const simSeeds = 300
