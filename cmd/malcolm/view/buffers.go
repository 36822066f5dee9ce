package view

import (
	"fmt"
	"slices"
	"strings"

	"malcolm/cmd/malcolm/human"
	"malcolm/transport"
)

// smallBuffers says which of the system's limits on socket buffers to raise,
// and how.
func smallBuffers(small []transport.SmallBuffer) string {
	var sizes, settings []string
	for _, b := range small {
		direction := "sending"
		if b.Receive {
			direction = "receiving"
		}
		sizes = append(sizes, human.Bytes(int64(b.Size))+" for "+direction)
		if b.Setting != "" {
			settings = append(settings, fmt.Sprintf("%s=%d", b.Setting, transport.WantedBuffer))
		}
	}
	text := "the system gives sockets buffers of only " + strings.Join(sizes, " and ") + ", which may cost speed on quick networks"
	if settings = slices.Compact(settings); len(settings) > 0 {
		text += "; to raise them: sudo sysctl -w " + strings.Join(settings, " ")
	}
	return text
}
