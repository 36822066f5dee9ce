package main

import (
	"reflect"
	"runtime/debug"
	"testing"

	"github.com/alecthomas/kong"

	"malcolm/transfer/admission"
	"malcolm/transfer/serve"
	"malcolm/transport"
)

// Every limit is a flag of serve, with the default of package serve.
func TestHostileLimitsAreFlags(t *testing.T) {
	c, err := parsed("serve", "-f", "x")
	if err != nil {
		t.Fatal(err)
	}
	want := serve.Limits{
		Places: 1024, Bytes: 256 << 20, Streams: transport.DefaultMaxStreams,
		Wasted: admission.DefaultWasted, HandshakeRate: admission.DefaultHandshakes,
		HandshakeTimeout: transport.DefaultHandshakeTimeout, OpenTimeout: admission.DefaultOpenTime,
		RequestTimeout: serve.DefaultRequestTimeout, StallTimeout: serve.DefaultStallTimeout,
		IdleTimeout: admission.DefaultIdleTime, IndexingTimeout: serve.DefaultIndexingTimeout, DrainTime: serve.DefaultDrainTime,
	}
	if got := c.Serve.limits(1 << 30); got != want {
		t.Errorf("limits = %+v, want %+v", got, want)
	}
	if small := c.Serve.limits(64 << 20); small.Places != admission.LeastPlaces || small.Bytes != 16<<20 {
		t.Errorf("in a container of 64 MiB there are %d places and %d bytes, want %d and 16 MiB", small.Places, small.Bytes, admission.LeastPlaces)
	}
	flags, limits := reflect.TypeFor[LimitFlags](), reflect.ValueOf(want)
	if flags.NumField() != limits.NumField() {
		t.Errorf("%d flags for %d limits", flags.NumField(), limits.NumField())
	}
	for i := range limits.NumField() {
		if limits.Field(i).IsZero() {
			t.Errorf("%s has no default", limits.Type().Field(i).Name)
		}
	}
	for i := range flags.NumField() {
		if f := flags.Field(i); f.Tag.Get("group") != "Limits" {
			t.Errorf("%s is not among the limits in --help", f.Name)
		}
	}
}

// 0 never means unlimited.
func TestHostileLimitsAreNeverOff(t *testing.T) {
	var model []*kong.Flag
	for _, node := range kong.Must(new(cli), kong.Vars{"version": ""}).Model.Children {
		for _, f := range node.Flags {
			if f.Group != nil && f.Group.Key == "Limits" {
				model = append(model, f)
			}
		}
	}
	flags := reflect.TypeFor[LimitFlags]()
	if len(model) != flags.NumField() {
		t.Fatalf("%d flags are limits, want %d", len(model), flags.NumField())
	}
	for i := range model {
		name := "--" + model[i].Name
		for _, value := range []string{"0", "-1", "inf", ""} {
			if _, err := parsed("serve", "-f", "x", name+"="+value); err == nil {
				t.Errorf("%s=%s is accepted", name, value)
			}
		}
	}
}

func parsed(args ...string) (*cli, error) {
	var c cli
	parser, err := kong.New(&c, kong.Name("malcolm"), kong.Vars{"version": ""})
	if err != nil {
		return nil, err
	}
	_, err = parser.Parse(args)
	return &c, err
}

const mib = 1 << 20

// TestMemoryLimit: another file that needs more raises the limit, a smaller one
// does not lower it.
func TestMemoryLimit(t *testing.T) {
	before := debug.SetMemoryLimit(-1)
	defer debug.SetMemoryLimit(before)
	t.Setenv("GOMEMLIMIT", "")
	m := newMemoryLimit(100 * mib)
	m.most = 1000 * mib
	for _, step := range []struct {
		do   func()
		want int64
	}{
		{func() { m.grant(10 * mib) }, 110 * mib},
		{func() { m.need(200 * mib) }, 210 * mib},
		{func() { m.need(50 * mib) }, 210 * mib},
		{func() { m.grant(900 * mib) }, 1000 * mib},
	} {
		step.do()
		if got := debug.SetMemoryLimit(-1); got != step.want {
			t.Errorf("got %d, want %d", got, step.want)
		}
	}
	t.Setenv("GOMEMLIMIT", "1GiB")
	debug.SetMemoryLimit(500 * mib)
	m = newMemoryLimit(100 * mib)
	m.grant(10 * mib)
	if got := debug.SetMemoryLimit(-1); got != 500*mib {
		t.Errorf("GOMEMLIMIT does not hold: got %d", got)
	}
}
