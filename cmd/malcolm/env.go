package main

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"malcolm/cmd/malcolm/human"
)

// Every flag also comes from the environment: MALCOLM_ and its long name in
// capitals, with _ for -. The command line wins, also with a flag that excludes
// the variable's. An empty variable counts as not set. An error of a value
// names the variable.

// envPrefix is the beginning of the variables' names.
const envPrefix = "MALCOLM_"

// withoutEnv are the flags without a variable: it would make no sense, or could
// contain a secret.
var withoutEnv = []string{"help", "version", "token"}

// envNames are variables that are not named after their flag.
var envNames = map[string]string{"port": "MALCOLM_PORTS"}

// aliases are pairs of flags with the same meaning.
var aliases = map[string]string{"color": "color-printing", "color-printing": "color"}

// envName returns the variable of a flag; empty: it has no variable.
func envName(flag string) string {
	if slices.Contains(withoutEnv, flag) {
		return ""
	}
	if name := envNames[flag]; name != "" {
		return name
	}
	return envPrefix + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// An environment is the kong.Resolver of the variables.
type environment struct {
	getenv func(string) string
	err    error             // of the first invalid value
	used   map[string]string // the variables used, by the long names of their flags
}

func newEnvironment(getenv func(string) string) *environment {
	return &environment{getenv: getenv, used: make(map[string]string)}
}

// Validate implements kong.Resolver.
func (*environment) Validate(*kong.Application) error { return nil }

// Resolve implements kong.Resolver. Kong asks for flags that are not on the
// command line.
func (e *environment) Resolve(ctx *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	name := envName(flag.Name)
	if name == "" {
		return nil, nil
	}
	text := e.getenv(name)
	if text == "" || overridden(ctx, flag) {
		return nil, nil
	}
	value, err := envValue(flag, text)
	if err != nil {
		e.err = fmt.Errorf("%s: %w", name, err)
		return nil, e.err
	}
	if value != nil {
		e.used[flag.Name] = name
	}
	return value, nil
}

// overridden reports whether the command line has a flag that excludes this
// one.
func overridden(ctx *kong.Context, flag *kong.Flag) bool {
	return slices.ContainsFunc(ctx.Path, func(p *kong.Path) bool {
		if p.Flag == nil || p.Resolved {
			return false
		}
		excludes := func(group string) bool { return slices.Contains(p.Flag.Xor, group) }
		return p.Flag.Name == aliases[flag.Name] || slices.ContainsFunc(flag.Xor, excludes)
	})
}

// envValue returns the value of a flag for the parser; nil: as if the flag was
// not given.
func envValue(flag *kong.Flag, text string) (any, error) {
	if flag.IsBool() {
		switch strings.ToLower(text) {
		case "1", "true":
			return true, nil
		case "0", "false":
			return nil, nil
		}
		return nil, fmt.Errorf("%s is neither 1 nor 0, neither true nor false", human.Quote(text))
	}
	if values := flag.EnumSlice(); flag.Enum != "" && !slices.Contains(values, text) {
		return nil, fmt.Errorf("%s is none of %s", human.Quote(text), strings.Join(values, ", "))
	}
	trial := reflect.New(flag.Target.Type()).Elem()
	err := flag.Parse(kong.Scan().PushTyped(text, kong.FlagValueToken), trial)
	flag.Set = false
	if inner := errors.Unwrap(err); inner != nil {
		err = inner
	}
	return text, err
}
