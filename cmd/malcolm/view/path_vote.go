package view

import (
	"encoding/base64"
	"strings"
	"unicode/utf8"

	"malcolm/cmd/malcolm/human"
	"malcolm/transfer/fetch"
)

// A pathVoteEvent says what servers have at a path on which directories differ
// that have no majority.
type pathVoteEvent struct {
	head
	jsonPath
	Versions []pathVersion `json:"versions"`
}

// A pathVersion is what one group of servers has there.
type pathVersion struct {
	Group     string   `json:"group"` // the checksum of their directory
	Hosts     []string `json:"hosts"`
	Kind      string   `json:"kind"` // of the entry; empty: nothing is there
	Bytes     int64    `json:"bytes"`
	Checksum  string   `json:"checksum"` // of a file; else empty
	Target    string   `json:"target"`   // of a link; else empty
	RawTarget string   `json:"raw_target"`
}

func pathVoteOf(e *fetch.UndecidedError, p fetch.PathVote) pathVoteEvent {
	event := pathVoteEvent{head: is("path_vote"), jsonPath: pathOf(p.Path), Versions: []pathVersion{}}
	for i, number := range p.Groups {
		g, has := e.Result.Groups[number], p.Has[i]
		v := pathVersion{Group: human.Checksum(g.Tree, g.Checksum), Hosts: append([]string{}, g.Hosts...)}
		if has != nil {
			v.Kind, v.Bytes = entryKinds[has.Kind], has.Size
			if has.IsFile() {
				v.Checksum = human.Hex(has.Checksum)
			}
			v.Target = strings.ToValidUTF8(has.Target, "\uFFFD")
			if !utf8.ValidString(has.Target) {
				v.RawTarget = base64.StdEncoding.EncodeToString([]byte(has.Target))
			}
		}
		event.Versions = append(event.Versions, v)
	}
	return event
}
