package web

import (
	"net/http"
	"path"
	"strings"
)

// shownTypes are the types of files that a browser may show: none of them runs
// anything. Text is UTF-8 for lack of better knowledge.
var shownTypes = map[string]string{
	".txt": "text/plain; charset=utf-8", ".text": "text/plain; charset=utf-8", ".log": "text/plain; charset=utf-8",
	".md": "text/plain; charset=utf-8", ".csv": "text/plain; charset=utf-8", ".tsv": "text/plain; charset=utf-8",
	".sha256": "text/plain; charset=utf-8", ".b3": "text/plain; charset=utf-8",
	".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".gif": "image/gif", ".webp": "image/webp",
	".avif": "image/avif", ".bmp": "image/bmp", ".ico": "image/x-icon",
	".mp4": "video/mp4", ".m4v": "video/mp4", ".webm": "video/webm", ".ogv": "video/ogg",
	".mp3": "audio/mpeg", ".m4a": "audio/mp4", ".ogg": "audio/ogg", ".opus": "audio/ogg", ".oga": "audio/ogg",
	".flac": "audio/flac", ".wav": "audio/wav",
}

// savedTypes are the types of some files that a browser saves.
var savedTypes = map[string]string{
	".pdf": "application/pdf", ".zip": "application/zip", ".gz": "application/gzip", ".tgz": "application/gzip",
	".xz": "application/x-xz", ".zst": "application/zstd", ".bz2": "application/x-bzip2", ".tar": "application/x-tar",
	".7z": "application/x-7z-compressed", ".json": "application/json", ".meta4": "application/metalink4+xml",
}

const (
	otherType = "application/octet-stream"
	// filePolicy lets a browser show what it was sent, and nothing more:
	// no script, no frame, no form, no origin.
	filePolicy = "default-src 'none'; img-src 'self'; media-src 'self'; style-src 'unsafe-inline'; sandbox"
)

// describeType sets what a browser does with a file of a name.
func describeType(h http.Header, name string) {
	h.Set("Content-Security-Policy", filePolicy)
	ending := strings.ToLower(path.Ext(name))
	if shown := shownTypes[ending]; shown != "" {
		h.Set("Content-Type", shown)
		return
	}
	kind := savedTypes[ending]
	if kind == "" {
		kind = otherType
	}
	h.Set("Content-Type", kind)
	h.Set("Content-Disposition", "attachment") // under the last part of its address
}
