package human

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// PortRanges writes ports in their order, runs as ranges: "10001-10004",
// "10007". It sorts ports.
func PortRanges(ports []int) (words []string) {
	slices.Sort(ports)
	for i, j := 0, 0; i < len(ports); i = j {
		for j = i + 1; j < len(ports) && ports[j] <= ports[j-1]+1; j++ {
		}
		word := strconv.Itoa(ports[i])
		if ports[j-1] > ports[i] {
			word += "-" + strconv.Itoa(ports[j-1])
		}
		words = append(words, word)
	}
	return words
}

// Ports writes at most eight ranges of ports: "10001-10004,10007". It sorts
// ports.
func Ports(ports []int) string {
	const most = 8
	words := PortRanges(ports)
	text := strings.Join(words[:min(len(words), most)], ",")
	if more := len(words) - most; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}
