package wire

// Limits of malcolm/1. A length above its limit is refused before anything is
// allocated for it.
const (
	// MaxRequestLen bounds a request's body, in bytes.
	MaxRequestLen = 4 << 10
	// MaxOfferLen bounds an encoded offer, in bytes.
	MaxOfferLen = 1 << 10
	// MaxNameLen bounds the file name in an offer, in bytes of UTF-8.
	MaxNameLen = 230
	// MaxTextLen bounds the text that explains a refusal, in bytes.
	MaxTextLen = 256
	// MaxSelectorLen bounds the file selector in a hello, in bytes.
	MaxSelectorLen = 1 << 10
	// MaxFileSize is the size of the largest file that can be offered, in
	// bytes: MaxChunks chunks of 16 MiB.
	MaxFileSize = MaxChunks * 16 << 20
	// MaxChunks bounds the number of chunks of a file.
	MaxChunks = 1 << 20
	// MaxInlineValues is the largest length in bytes of values that follow
	// the offer on the same stream, if the hello asks for them.
	MaxInlineValues = 64 << 10

	hashLen = 32 // BLAKE3, and every HMAC proof
)
