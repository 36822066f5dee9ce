package main

import (
	"errors"

	"malcolm/cmd/malcolm/screen"
)

// ColorFlags are every command's flags about colour.
type ColorFlags struct {
	Color     screen.ColorMode `enum:"auto,always,never" default:"auto" placeholder:"WHEN" help:"Colour: auto, always or never. NO_COLOR is honoured."`
	ColorBool bool             `name:"color-printing" short:"c" help:"Colour even when not on a terminal: --color=always."`
}

func (f ColorFlags) mode() (screen.ColorMode, error) { return mergeColor(f.Color, f.ColorBool) }

// mergeColor joins --color and -c, which means always. An empty mode is auto.
// It fails if the two contradict each other.
func mergeColor(mode screen.ColorMode, printing bool) (screen.ColorMode, error) {
	if mode == "" {
		mode = screen.ColorAuto
	}
	if !printing {
		return mode, nil
	}
	if mode == screen.ColorNever {
		return "", errors.New("-c and --color=never contradict each other")
	}
	return screen.ColorAlways, nil
}
