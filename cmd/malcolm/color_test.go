package main

import (
	"testing"

	"malcolm/cmd/malcolm/screen"
)

func TestMergeColor(t *testing.T) {
	tests := []struct {
		mode     screen.ColorMode
		printing bool
		want     screen.ColorMode
		ok       bool
	}{
		{"", false, screen.ColorAuto, true},
		{screen.ColorAuto, false, screen.ColorAuto, true},
		{screen.ColorAlways, false, screen.ColorAlways, true},
		{screen.ColorNever, false, screen.ColorNever, true},
		{"", true, screen.ColorAlways, true},
		{screen.ColorAuto, true, screen.ColorAlways, true},
		{screen.ColorAlways, true, screen.ColorAlways, true},
		{screen.ColorNever, true, "", false},
	}
	for _, test := range tests {
		got, err := mergeColor(test.mode, test.printing)
		if got != test.want || (err == nil) != test.ok {
			t.Errorf("%q, -c %t: got %q, %v", test.mode, test.printing, got, err)
		}
	}
}
