package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"malcolm/certs"
	"malcolm/cmd/malcolm/config"
	"malcolm/cmd/malcolm/flags"
	"malcolm/cmd/malcolm/human"
)

// systemConfig is the config file of all users. Only tests change it.
var systemConfig = "/etc/malcolm/config.toml"

// configPlaces returns where config files are looked for: the user's, then the
// system's.
func configPlaces(system string) (places []config.Place) {
	if dir, err := certs.ConfigDir(); err == nil {
		places = append(places, config.Place{Path: filepath.Join(dir, filepath.Base(systemConfig))})
	}
	return append(places, config.Place{Path: system})
}

// withoutConfig are the flags that no config file has.
var withoutConfig = []string{"help", "version", "config"}

// targetKey is the key of the positional targets. A place that names sources
// replaces all weaker ones: targets and addresses exclude each other.
const targetKey, addressKey = "target", "address"

// aliases are pairs of flags that mean the same, or that both name sources.
var aliases = map[string]string{
	"color": "color-printing", "color-printing": "color", targetKey: addressKey, addressKey: targetKey,
}

// A setting is a value of a flag that is not on the command line.
type setting struct {
	texts    []string
	list     bool
	isBool   bool   // the texts are true or false
	variable string // of the environment; empty: it is from a file
	at       string // file and line
}

// origin names the variable or the place in a file.
func (s setting) origin() string {
	if s.variable != "" {
		return s.variable
	}
	return s.at
}

// settings is the kong.Resolver of the environment and the config files. The
// environment is stronger than the files, an earlier file than a later one. A
// flag also replaces weaker flags that it excludes. It serves one parse.
type settings struct {
	getenv func(string) string
	places []config.Place // where files may be, the strongest first
	files  []*config.File // nil: not read yet
	read   bool
	err    error // the first one: of a file, or an invalid value
	// used are the settings that count, by the long names of their flags.
	used map[string]setting
}

func newSettings(getenv func(string) string, places []config.Place) *settings {
	return &settings{getenv: getenv, places: places, used: make(map[string]setting)}
}

// Validate implements kong.Resolver.
func (*settings) Validate(*kong.Application) error { return nil }

// load reads the config files. Kong calls it, more than once, before it asks
// for values.
func (s *settings) load(ctx *kong.Context) error {
	if s.read {
		return s.err
	}
	s.read = true
	named := s.getenv(envName("config"))
	for _, p := range ctx.Path {
		if p.Flag != nil && p.Flag.Name == "config" {
			named = string(ctx.Value(p).Interface().(flags.Path))
		}
	}
	if named != "" {
		s.places = []config.Place{{Path: named, Named: true}}
	}
	if s.files, s.err = config.Read(s.places); s.err != nil {
		return s.err
	}
	known := configKeys(ctx.Model.Node)
	for _, f := range s.files {
		if err := f.Check(known); err != nil && s.err == nil {
			s.err = err
		}
	}
	return s.err
}

// configKeys returns what a config file may have: the keys of each command's
// table.
func configKeys(app *kong.Node) map[string][]string {
	keys := make(map[string][]string)
	for _, leaf := range app.Leaves(true) {
		table := configTable(leaf)
		keys[table] = []string{}
		for _, f := range leaf.Flags {
			if !slices.Contains(withoutConfig, f.Name) {
				keys[table] = append(keys[table], f.Name)
			}
		}
		if targetsOf(leaf) != nil {
			keys[table] = append(keys[table], targetKey)
		}
	}
	return keys
}

// configTable is the name of a command's table: "serve", "trust.list".
func configTable(command *kong.Node) string {
	return strings.Join(strings.Fields(command.FullPath())[1:], ".")
}

// targetsOf returns the positional targets of a command; nil: it has none that
// may be missing.
func targetsOf(command *kong.Node) *kong.Positional {
	for _, p := range command.Positional {
		if p.Name == targetKey && !p.Required {
			return p
		}
	}
	return nil
}

// Resolve implements kong.Resolver. Kong asks for flags that are not on the
// command line.
func (s *settings) Resolve(ctx *kong.Context, of *kong.Path, flag *kong.Flag) (any, error) {
	if s.err != nil {
		return nil, s.err
	}
	found, ok := s.find(ctx, of.Node(), flag.Name, excluders(of.Node(), flag))
	if !ok {
		return nil, nil
	}
	value, err := found.value(flag)
	if err != nil {
		s.err = fmt.Errorf("%s: %w", found.named(flag.Name), err)
		return nil, s.err
	}
	s.used[flag.Name] = found
	return value, nil
}

// named names a setting in an error.
func (s setting) named(flag string) string {
	if s.variable != "" {
		return s.variable
	}
	return s.at + ": " + flag
}

// excluders returns the flags that exclude a flag.
func excluders(node *kong.Node, flag *kong.Flag) (names []string) {
	if other := aliases[flag.Name]; other != "" {
		names = append(names, other)
	}
	for _, f := range node.Flags {
		shares := func(group string) bool { return slices.Contains(f.Xor, group) }
		if f != flag && slices.ContainsFunc(flag.Xor, shares) {
			names = append(names, f.Name)
		}
	}
	return names
}

// find returns the strongest setting of a key, unless something stronger
// excludes it.
func (s *settings) find(ctx *kong.Context, command *kong.Node, key string, excluded []string) (setting, bool) {
	if slices.ContainsFunc(excluded, func(name string) bool { return onLine(ctx, name) }) {
		return setting{}, false
	}
	levels := []func(string) (setting, bool){s.variable}
	if command.Parent != nil {
		for _, f := range s.files {
			levels = append(levels, func(key string) (setting, bool) { return inFile(f, configTable(command), key) })
		}
	}
	for _, level := range levels {
		if found, ok := level(key); ok {
			return found, true
		}
		for _, name := range excluded {
			if other, ok := level(name); ok && other.isOn() {
				return setting{}, false
			}
		}
	}
	return setting{}, false
}

// onLine reports whether the command line has a flag or a positional argument.
func onLine(ctx *kong.Context, name string) bool {
	return slices.ContainsFunc(ctx.Path, func(p *kong.Path) bool {
		switch {
		case p.Resolved:
			return false
		case p.Positional != nil:
			return p.Positional.Name == name
		}
		return p.Flag != nil && p.Flag.Name == name
	})
}

// variable returns what the environment says of a flag.
func (s *settings) variable(flag string) (setting, bool) {
	name := envName(flag)
	if name == "" || flag == targetKey {
		return setting{}, false
	}
	text := s.getenv(name)
	return setting{texts: []string{text}, variable: name}, text != ""
}

func inFile(f *config.File, table, key string) (setting, bool) {
	found, ok := f.Lookup(table, key)
	return setting{texts: found.Texts, list: found.List, isBool: found.Bool, at: found.At()}, ok
}

// isOn reports whether a setting has an effect: it is not a switch that is off.
func (s setting) isOn() bool {
	return len(s.texts) > 0 && !isFalse(s.texts[0])
}

func isFalse(text string) bool { return text == "0" || strings.EqualFold(text, "false") }

// value returns the setting's value for the parser; nil: the flag counts as not
// given.
func (s setting) value(flag *kong.Flag) (any, error) {
	if flag.IsBool() {
		if s.list {
			return nil, errors.New("a switch is true or false, not a list")
		}
		return switchValue(s.texts[0])
	}
	if s.isBool {
		return nil, fmt.Errorf("%s is for switches: this flag has a value", s.texts[0])
	}
	if s.list && flag.Target.Kind() != reflect.Slice {
		return nil, errors.New("this flag has one value, not a list")
	}
	for _, text := range s.texts {
		if err := tryText(flag, text); err != nil {
			return nil, err
		}
	}
	if s.list {
		if len(s.texts) == 0 {
			return nil, nil
		}
		flag.Mapper = several{flag.Mapper, s.texts}
	}
	return s.texts[0], nil
}

func switchValue(text string) (any, error) {
	switch {
	case text == "1" || strings.EqualFold(text, "true"):
		return true, nil
	case isFalse(text):
		return nil, nil
	}
	return nil, fmt.Errorf("%s is neither 1 nor 0, neither true nor false", human.Quote(text))
}

// tryText returns what is wrong with a flag's value.
func tryText(flag *kong.Flag, text string) error {
	if values := flag.EnumSlice(); flag.Enum != "" && !slices.Contains(values, text) {
		return fmt.Errorf("%s is none of %s", human.Quote(text), strings.Join(values, ", "))
	}
	trial := reflect.New(flag.Target.Type()).Elem()
	err := flag.Parse(kong.Scan().PushTyped(text, kong.FlagValueToken), trial)
	flag.Set = false
	if inner := errors.Unwrap(err); inner != nil {
		err = inner
	}
	return err
}

// several decodes the texts of a list as if the flag were given once for each.
type several struct {
	kong.Mapper
	texts []string
}

// Decode implements [kong.Mapper].
func (m several) Decode(ctx *kong.DecodeContext, target reflect.Value) error {
	ctx.Scan.Pop() // the one word that stands for all
	for _, text := range m.texts {
		one := kong.Scan().PushTyped(text, kong.FlagValueToken)
		if err := m.Mapper.Decode(ctx.WithScanner(one), target); err != nil {
			return err
		}
	}
	return nil
}

// targets gives the command the positional targets of a file, if nothing
// stronger names sources.
func (s *settings) targets(ctx *kong.Context) error {
	command := ctx.Selected()
	if command == nil {
		return nil
	}
	p := targetsOf(command)
	if p == nil || onLine(ctx, targetKey) {
		return nil
	}
	found, ok := s.find(ctx, command, targetKey, []string{addressKey})
	if !ok {
		return nil
	}
	s.used[targetKey] = found
	if err := p.Parse(kong.ScanAsType(kong.PositionalArgumentToken, found.texts...), p.Target); err != nil {
		s.err = fmt.Errorf("%s: %w", found.named(targetKey), err)
	}
	return s.err
}
