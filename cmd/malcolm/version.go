package main

import (
	"context"
	"runtime"
	"runtime/debug"
	"strings"

	"malcolm/cmd/malcolm/view"
)

type versionCmd struct{ OutputFlags }

// Help is what kong prints after the flags.
func (*versionCmd) Help() string {
	return `Examples:
  malcolm version
  malcolm version --json
  malcolm version | grep quic-go

The version and the revision of the sources, whether they were changed after it, the Go release and the platform, and each module that is built in.`
}

func (*versionCmd) run(_ context.Context, _ []string, t *terminal) error {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		info = &debug.BuildInfo{GoVersion: runtime.Version()}
	}
	buildOf(info).Show(t)
	return nil
}

// buildOf returns what the toolchain recorded.
func buildOf(info *debug.BuildInfo) view.Build {
	b := view.Build{Version: versionOf(info), Go: info.GoVersion, Platform: runtime.GOOS + "/" + runtime.GOARCH}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Revision = s.Value
		case "vcs.time":
			b.Time = s.Value
		case "vcs.modified":
			b.Dirty = s.Value == "true"
		}
	}
	for _, m := range info.Deps {
		if m.Replace != nil {
			m = m.Replace
		}
		b.Modules = append(b.Modules, view.Module{Path: m.Path, Version: m.Version, Sum: m.Sum})
	}
	return b
}

// versionOf returns the version of the program itself.
func versionOf(info *debug.BuildInfo) string {
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	return "development"
}

// version says what was built, as the toolchain recorded it.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "malcolm (unknown version)"
	}
	return strings.Join([]string{"malcolm", versionOf(info), info.GoVersion}, " ")
}
