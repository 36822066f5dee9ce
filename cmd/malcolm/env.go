package main

import (
	"slices"
	"strings"
)

// Every flag also comes from the environment: MALCOLM_ and its long name in
// capitals, with _ for -. The command line wins, also with a flag that excludes
// the variable's. An empty variable counts as not set. An error of a value
// names the variable.

// envPrefix is the beginning of the variables' names.
const envPrefix = "MALCOLM_"

// withoutEnv are the flags without a variable: it would make no sense, or could
// hold a secret.
var withoutEnv = []string{"help", "version", "token", "header"}

// envNames are variables that are not named after their flag.
var envNames = map[string]string{"port": "MALCOLM_PORTS"}

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
