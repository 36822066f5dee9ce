package schedule

import "time"

// A grower is one server.
type grower struct {
	id     int
	number int // connections that it should have, at least 1
	seen
	gauge
	attempt
	outcome
}

// A seen is what the caller said of a server.
type seen struct {
	joined time.Time
	open   int
	rtt    time.Duration // 0: not known
	came   int64         // bytes since it joined
	heard  time.Time     // when bytes came last
	idle   time.Time     // when the caller last said that it was not busy
}

// A gauge is what is measured of a server.
type gauge struct {
	settled time.Time   // nothing is measured before this time
	current measurement // the measurement under way, unless its start is zero
	half    measurement // its later part, once that has begun
	steps   []float64   // rates between the steps of the measurement, bytes a second
	stepped time.Time   // its last step, and the bytes by then
	counted int64
}

// An attempt is the try under way, or the last one.
type attempt struct {
	from    int       // number before it; 0: none is under way
	opened  bool      // all its connections have been open at once
	whole   time.Time // when they last were
	before  rates
	started time.Time // when the measurement of before began
	noise   float64   // variation of the total during that measurement, bytes a second
	grown   time.Time // when it began
}

// An outcome is what came of the tries.
type outcome struct {
	shrunk time.Time // when the number was last reduced
	held   time.Time // no try before this time
	usual  float64   // the greater rate, before or after, of a try that was undone
}
