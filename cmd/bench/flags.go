package main

import (
	"fmt"
	"math"
	"os"
	"regexp"
	"strconv"
	"strings"
)

// The settings of --quick.
const (
	quickSize   = 256e6
	quickRounds = 3
	quickFiles  = 100
)

// leastRounds is the least number of rounds for a median.
const leastRounds = 1

// runCmd is the command line of a measurement.
type runCmd struct {
	Size   Size     `default:"2GB" placeholder:"SIZE" help:"Size of the file: 2GB, 256MB, 1GiB. Default ${default}."`
	Rounds int      `default:"5" placeholder:"N" help:"Rounds; each runs every row once. Default ${default}."`
	Files  int      `default:"1000" placeholder:"N" help:"How many files of 1 MiB the figure \"small\" copies. Default ${default}."`
	Quick  bool     `help:"256 MB, 3 rounds, 100 small files."`
	Dir    string   `placeholder:"DIR" help:"Where the files lie; default: /dev/shm, else the directory for temporary files."`
	Only   []Filter `sep:"none" placeholder:"PATTERN" help:"Measure only what matches, such as veth/, malcolm-4$, more/index; may be repeated."`
	Skip   []Filter `sep:"none" placeholder:"PATTERN" help:"Leave out what matches; may be repeated."`
	List   bool     `help:"List what would be measured, and what not and why."`
	Binary string   `name:"malcolm" placeholder:"FILE" help:"The malcolm to measure; default: it is built."`
	JSON   string   `name:"json" placeholder:"FILE" help:"Write every sample and figure as JSON."`
	SVG    string   `name:"svg" placeholder:"FILE" help:"Write a bar chart."`
}

// settle fills in what --quick and the system decide, and refuses what is
// impossible.
func (c *runCmd) settle() error {
	if c.Quick {
		c.Size, c.Rounds, c.Files = quickSize, quickRounds, quickFiles
	}
	switch {
	case c.Rounds < leastRounds:
		return &usageError{fmt.Sprintf("--rounds %d: at least one is needed", c.Rounds)}
	case c.Files < 1:
		return &usageError{fmt.Sprintf("--files %d: at least one is needed", c.Files)}
	case c.Size < 1<<20:
		return &usageError{fmt.Sprintf("--size %d: at least 1MiB is needed", c.Size)}
	}
	if c.Dir == "" {
		c.Dir = os.TempDir()
		if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() {
			c.Dir = "/dev/shm"
		}
	}
	return nil
}

// wants reports whether --only and --skip keep name.
func (c *runCmd) wants(name string) bool {
	for _, f := range c.Skip {
		if f.MatchString(name) {
			return false
		}
	}
	for _, f := range c.Only {
		if f.MatchString(name) {
			return true
		}
	}
	return len(c.Only) == 0
}

// A Filter is a regular expression that a name must match somewhere.
type Filter struct{ *regexp.Regexp }

// UnmarshalText implements [encoding.TextUnmarshaler].
func (f *Filter) UnmarshalText(text []byte) (err error) {
	f.Regexp, err = regexp.Compile(string(text))
	return err
}

// A Size is a number of bytes, typed as 256MB (powers of 1000) or 1GiB (powers
// of 1024).
type Size int64

var units = []struct {
	suffix string
	bytes  float64
}{
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30},
	{"kB", 1e3}, {"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"B", 1}, {"", 1},
}

// UnmarshalText implements [encoding.TextUnmarshaler].
func (s *Size) UnmarshalText(text []byte) error {
	for _, u := range units {
		digits, ok := strings.CutSuffix(string(text), u.suffix)
		if !ok {
			continue
		}
		n, err := strconv.ParseFloat(strings.TrimSpace(digits), 64)
		if err != nil || !(n >= 0) || n*u.bytes > math.MaxInt64/2 {
			break
		}
		*s = Size(n * u.bytes)
		return nil
	}
	return fmt.Errorf("%q is no size such as 2GB, 256MB or 1GiB", text)
}

// String writes a size as a person would, in powers of 1000, with at most two
// digits behind the point.
func (s Size) String() string {
	for _, u := range []struct {
		name  string
		bytes float64
	}{{"GB", 1e9}, {"MB", 1e6}, {"kB", 1e3}} {
		if float64(s) >= u.bytes {
			return strconv.FormatFloat(math.Round(100*float64(s)/u.bytes)/100, 'f', -1, 64) + " " + u.name
		}
	}
	return fmt.Sprintf("%d B", int64(s))
}
