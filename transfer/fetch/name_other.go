//go:build !windows

package fetch

// systemNameProblem says why this system cannot write to a name that the common
// rules allow; empty: it can.
func systemNameProblem(string) string { return "" }
