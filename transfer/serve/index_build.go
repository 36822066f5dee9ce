package serve

import (
	"context"
	"errors"

	"malcolm/transfer/scan"
	"malcolm/wire"
)

// build opens the source of an origin and hashes it, unless the cache knows it.
// It returns nil and no error when the source changed meanwhile. A cache that
// fails is only told.
func (ix *index) build(ctx context.Context, from *origin) (*version, error) {
	file, err := from.source.Open()
	if err != nil {
		return nil, err
	}
	h, err := scan.HashFile(ctx, file, ix.hashes.config(), &ix.making)
	if err != nil {
		file.Close()
		if errors.Is(err, scan.ErrUnsteady) {
			err = nil
		}
		return nil, err
	}
	if h.Unkept != nil {
		ix.tell(CacheFailed{Err: h.Unkept})
	}
	offer := wire.Offer{Size: h.Info.Size(), ModTime: h.Info.ModTime(), Name: wire.OfferableName(from.name), Checksum: h.Checksum}
	return &version{file: file, info: h.Info, values: h.Values, sha256: h.SHA256, offer: offer}, nil
}

func (h Hashes) config() scan.FileConfig {
	return scan.FileConfig{Cache: h.Cache, Rehash: h.Rehash, SHA256: h.SHA256}
}
