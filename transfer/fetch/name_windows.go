package fetch

import (
	"path/filepath"
	"strings"
)

// systemNameProblem says why this system cannot write to a name that the common
// rules allow; empty: it can.
func systemNameProblem(name string) string {
	switch {
	case strings.ContainsAny(name, `<>:"|?*`):
		return "contains a character that Windows does not allow"
	case strings.HasSuffix(name, ".") || strings.HasSuffix(name, " "):
		return "ends in a dot or a space, which Windows does not allow"
	case !filepath.IsLocal(name):
		return "is reserved on Windows"
	}
	return ""
}
