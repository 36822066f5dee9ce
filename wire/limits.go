package wire

import "time"

// Limits of malcolm/1. A length above its limit is refused before anything is
// allocated for it.
const (
	// MaxRequestLen bounds a request's body, in bytes.
	MaxRequestLen = 16 << 10
	// MaxFrameLen bounds the body of a frame of a reply, in bytes.
	MaxFrameLen = 128 << 10
	// MaxSegmentLen bounds the bytes of a message in a segment over TCP.
	MaxSegmentLen = 256 << 10
	// MaxOfferLen bounds an encoded offer, in bytes.
	MaxOfferLen = 1 << 10
	// MaxNameLen bounds the name in an offer, in bytes of UTF-8.
	MaxNameLen = 230
	// MaxReportLen bounds an encoded path report, in bytes.
	MaxReportLen = 64
	// MaxPackets bounds the counts in a path report, MaxWindow its
	// congestion window in bytes, and MaxRTT its round trips.
	MaxPackets = 1 << 48
	MaxWindow  = 1 << 40
	MaxRTT     = 1 << 26 * time.Microsecond
	// MaxRank bounds the rank of a loss event, in thousandths.
	MaxRank = 1000
	// MaxTextLen bounds the text of a refusal, in bytes.
	MaxTextLen = 256
	// MaxWait bounds the wait that a refusal asks for, in milliseconds.
	MaxWait = 1 << 32
	// MaxSelectorLen bounds the selector in a stat, in bytes.
	MaxSelectorLen = 1 << 10
	// MaxSpans bounds the number of spans in a request for ranges.
	MaxSpans = 256
	// MaxFileSize is the size of the largest file that can be offered, in
	// bytes: MaxChunks chunks of 16 MiB.
	MaxFileSize = MaxChunks * LeastLongest
	// MaxChunks bounds the number of a file's chunks.
	MaxChunks = 1 << 20
	// MaxInlineValues bounds the values that follow an offer, in bytes.
	MaxInlineValues = 64 << 10
	// LeastLongest is the lower bound, in bytes, of both limits that a
	// server announces: for one request, and for all ranges under way. It
	// is the length of the largest chunk.
	LeastLongest = 16 << 20
	// ValueLen is the length of a chunk value, in bytes.
	ValueLen = hashLen

	// MaxTimesSize bounds the list of a tree's times, in bytes: 12 for each
	// entry and each directory, and a little more.
	MaxTimesSize = 1 << 25
	// MaxEntries bounds the number of entries of a listing, MaxListingLen
	// its encoding, in bytes.
	MaxEntries    = 1 << 20
	MaxListingLen = 128 << 20
	// MaxPathLen bounds a path and a link's target, MaxPartLen each part of
	// them, in bytes.
	MaxPathLen = 4096
	MaxPartLen = 255

	// maxCongestionLen bounds the name of a congestion control, in bytes.
	maxCongestionLen = 16

	maxTailLen  = 256 // of the bytes of one type
	maxTail     = 16  // types in a tail
	hashLen     = 32  // BLAKE3, and every HMAC proof
	runLen      = 16
	keyLen      = 8
	maxAnnounce = 1<<62 - 1 // of bytes in the reply to open
	maxCount    = 1<<31 - 1 // of requests in the reply to open
)
