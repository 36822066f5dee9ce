//go:build race

package schedule_test

// simSeeds is how many transfers a simulation runs: few where each takes long.
const simSeeds = 50
