package view

import (
	"fmt"
	"strings"

	"malcolm/cmd/malcolm/human"
	"malcolm/transfer/fetch"
	"malcolm/transfer/partfile"
)

// A planEvent is the event of get --dry-run.
type planEvent struct {
	head
	Path          string   `json:"path"`
	Name          string   `json:"name"`
	Kind          string   `json:"kind"`
	Bytes         int64    `json:"bytes"`
	Checksum      string   `json:"checksum"`
	Action        string   `json:"action"`
	Replace       bool     `json:"replace"` // a file that is there
	KeptBytes     int64    `json:"kept_bytes"`
	MissingBytes  int64    `json:"missing_bytes"`
	MissingChunks int      `json:"missing_chunks"`
	ChunkBytes    int64    `json:"chunk_bytes"`
	Servers       []string `json:"servers"`
}

// actionNames are the actions for what is there already.
var actionNames = map[partfile.Action]string{
	partfile.Fetch: "fetch", partfile.Resume: "resume", partfile.StartOver: "start_over", partfile.AlreadyRight: "already_right",
}

// Plan shows what a run would do.
func Plan(on Printer, p *fetch.Plan) {
	from := []string{}
	for _, s := range p.Servers {
		if s.State == fetch.StateServing || s.State == fetch.StateConnecting && s.Target.IsMirror() {
			from = append(from, s.Target.String())
		}
	}
	on.Emit(planEvent{
		head: is("plan"), Path: jsonText(p.Path), Name: jsonText(p.Name), Kind: jsonKind(p.Tree.Voted), Bytes: p.Size,
		Checksum: human.Checksum(p.Tree.Voted, p.Checksum),
		Action:   actionNames[p.Action], Replace: p.Replace, KeptBytes: p.Kept, MissingBytes: p.Missing,
		MissingChunks: p.MissingChunks, ChunkBytes: p.ChunkSize, Servers: from,
	})
	if p.Tree.Voted {
		on.Result(fmt.Sprintf("tree    %s: %s, %s", human.Quote(p.Name), totalsOf(p.Tree.Totals), proofOf(p.Tree.Voted, p.Checksum)))
	} else {
		on.Result(fmt.Sprintf("file    %s: %s in %s, BLAKE3 %s", human.Quote(p.Name), human.Bytes(p.Size),
			human.Plural(p.Chunks, "chunk", "chunks"), human.Hex(p.Checksum)))
	}
	on.Result("to      " + human.ShellQuote(p.Path))
	on.Result("plan    " + planLine(p))
	on.Result("from    " + strings.Join(from, " "))
}

// planLine says in words what would be done.
func planLine(p *fetch.Plan) string {
	missing := fmt.Sprintf("fetch %s in %s", human.Bytes(p.Missing), human.Plural(p.MissingChunks, "chunk", "chunks"))
	var line string
	switch p.Action {
	case partfile.AlreadyRight:
		return "nothing: the " + noun(p.Tree.Voted) + " is there and right"
	case partfile.Resume:
		line = fmt.Sprintf("keep %s of an earlier run, %s", human.Bytes(p.Kept), missing)
	case partfile.StartOver:
		line = "drop the unfinished download that is there, " + missing
	default:
		line = missing
	}
	if p.Replace {
		line += ", and replace a " + noun(p.Tree.Voted) + " of that name"
	}
	return line
}
