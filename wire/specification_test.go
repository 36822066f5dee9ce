package wire

import (
	"fmt"
	"math/bits"
	"strings"
	"testing"
	"time"
)

// TestSpecificationLimits finds each limit in the package comment.
func TestSpecificationLimits(t *testing.T) {
	spec := specification(t)
	log2 := func(n uint64) int {
		if n&(n-1) != 0 {
			t.Fatalf("%d is no power of two", n)
		}
		return bits.Len64(n) - 1
	}
	size := fmt.Sprintf("at most 2^%d", log2(MaxFileSize))
	for _, tt := range []struct{ section, want string }{
		{"Notation", fmt.Sprintf("hash        %d bytes\n", hashLen)},
		{"Notation", fmt.Sprintf("nanoseconds, 0 to %d,", maxNanos)},
		{"Notation", fmt.Sprintf("varint type, bytes<=%d, each", maxTailLen)},
		{"Notation", fmt.Sprintf("in ascending order; at most %d of them", maxTail)},
		{"Notation", fmt.Sprintf("Types of 2^%d to 2^%d never", log2(firstIdle), log2(lastIdle))},
		{"Notation", fmt.Sprintf("up to %d random bytes", maxIdleLen)},
		{"Connection", fmt.Sprintf("ALPN %q", ALPN)},
		{"Connection", fmt.Sprintf("varint n >= 1, at most 2^%d ", log2(MaxSegmentLen))},
		{"Connection", fmt.Sprintf("bytes<=%d text: nothing follows", MaxTextLen)},
		{"Request", fmt.Sprintf("length of the body, at most %d\n", MaxRequestLen)},
		{"Request", fmt.Sprintf("%d bytes run", runLen)},
		{"Request", fmt.Sprintf("bytes<=%d key: name of the token's key, 0 or %[1]d bytes", keyLen)},
		{"Request", fmt.Sprintf("bytes<=%d proof: the client's, 0 bytes without a key, else %[1]d", hashLen)},
		{"Request", fmt.Sprintf("take at most %d bytes;", MaxInlineValues)},
		{"Request", fmt.Sprintf("bytes<=%d selector", MaxSelectorLen)},
		{"Request", fmt.Sprintf("first + count is at most 2^%d", log2(MaxChunks))},
		{"Request", fmt.Sprintf("number of spans, 1 to %d", MaxSpans)},
		{"Request", fmt.Sprintf("offset + length at\n\t                most 2^%d", log2(MaxFileSize))},
		{"Request", fmt.Sprintf("chunk, below 2^%d:", log2(MaxChunks))},
		{"Reply", fmt.Sprintf("length of the body, at most %d\n", MaxFrameLen)},
		{"Reply", "each " + size},
		{"Reply", fmt.Sprintf("come back, at most 2^%d;", log2(MaxWait))},
		{"Reply", fmt.Sprintf("text    up to the end of the body, at most %d bytes", MaxTextLen)},
		{"Reply", fmt.Sprintf("1\n\t          to 2^%d - 1; varint flight", log2(maxCount+1))},
		{"Reply", fmt.Sprintf("at most\n\t          2^%d - 1; bytes<=%d proof", log2(maxCount+1), hashLen)},
		{"Reply", fmt.Sprintf("flight and longest are at least 2^%d,", log2(LeastLongest))},
		{"Path report", fmt.Sprintf("At most %d bytes:", MaxReportLen)},
		{"Path report", fmt.Sprintf("never fall, and are at most 2^%d;", log2(MaxPackets))},
		{"Path report", fmt.Sprintf("at most %d times that", MaxRank)},
		{"Path report", fmt.Sprintf("each 0 to %d\n", MaxRank)},
		{"Path report", fmt.Sprintf("window in bytes, at most 2^%d\n", log2(MaxWindow))},
		{"Path report", fmt.Sprintf("rounded\ndown, at most 2^%d;", log2(uint64(MaxRTT/time.Microsecond)))},
		{"Reply", fmt.Sprintf("%d  congestion  name", tailCongestion)},
		{"Reply", fmt.Sprintf("1 to %d bytes of ASCII", maxCongestionLen)},
		{"Offer", fmt.Sprintf("At most %d bytes.", MaxOfferLen)},
		{"Offer", "size in bytes, " + size},
		{"Offer", fmt.Sprintf("bytes<=%d  name", MaxNameLen)},
		{"Offer", fmt.Sprintf("none follow; at most %d", MaxInlineValues)},
		{"Values", "at least size/4096 "},
		{"Values", fmt.Sprintf("at most 2^%d.", log2(LeastLongest))},
		{"Listing", fmt.Sprintf("its entries, at most 2^%d bytes", log2(MaxListingLen))},
		{"Listing", fmt.Sprintf("number of entries, at most 2^%d\n", log2(MaxEntries))},
		{"Listing", fmt.Sprintf("bytes<=%d  path\n", MaxPathLen)},
		{"Listing", "varint size, " + size},
		{"Listing", fmt.Sprintf("bytes<=%d target\n", MaxPathLen)},
		{"Listing", fmt.Sprintf("parts of 1 to %d bytes", MaxPartLen)},
		{"Listing", fmt.Sprintf("the bytes %q", listingMagic)},
		{"Listing", fmt.Sprintf("the bytes %q", timesMagic)},
		{"File of values", fmt.Sprintf("the bytes %q", valuesMagic)},
		{"File of values", fmt.Sprintf("bytes<=%d  an offer", MaxOfferLen)},
		{"File of values", fmt.Sprintf("varint length, at most 2^%d,", log2(MaxListingLen))},
		{"Proof", fmt.Sprintf("first %d bytes of HKDF", keyLen)},
	} {
		text := spec[tt.section] // with its lines, or as one
		if !strings.Contains(text+"\n"+strings.Join(strings.Fields(text), " "), tt.want) {
			t.Errorf("section %q does not say %q", tt.section, tt.want)
		}
	}
}
