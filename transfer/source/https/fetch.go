package https

import (
	"context"
	"io"
	"slices"

	"malcolm/transfer/source"
)

// Fetch returns what an address has, at most limit bytes, and the host where
// its redirects have led. Redirects, addresses and headers are treated as those
// of mirrors. Plain http is only used on this machine: anybody on the way could
// change what comes, and nothing proves it. The error is a [*source.Fault]; of
// the kind [source.Absent] if there is nothing at the address.
func Fetch(ctx context.Context, cfg *Config, target source.Target, limit int64) (data []byte, host string, err error) {
	cfg.ready()
	m := New(target, cfg).(*mirror)
	way, err := m.Connect(ctx)
	if err != nil {
		return nil, "", err
	}
	c := way.(*conn)
	defer c.Close()
	b, err := c.enter(ctx, []part{{to: limit + 1, size: -1, all: true, ends: []int64{limit + 1}}})
	if err != nil {
		return nil, "", err
	}
	defer b.Close()
	return b.all(limit)
}

// all returns what comes, at most limit bytes, and from which host.
func (b *body) all(limit int64) (data []byte, host string, err error) {
	b.reading.Lock()
	defer b.reading.Unlock()
	if err := b.ready(); err != nil {
		return nil, "", b.end(err)
	}
	a := b.asked
	if a == nil { // limit is less than 0
		return nil, "", errLong
	}
	if addr := a.link.addr.Addr(); a.to.url.Scheme != "https" && !addr.IsLoopback() {
		return nil, "", errPlain
	}
	if a.resp.ContentLength > limit {
		return nil, "", errLong
	}
	host, _ = hostPort(a.to.url)
	for {
		if err := a.link.deadline(stallTime); err != nil {
			return nil, "", b.end(a.bodyFault(err))
		}
		data = slices.Grow(data, 16<<10)
		n, err := a.body.read(data[len(data):cap(data)])
		data = data[:len(data)+n]
		switch {
		case int64(len(data)) > limit:
			return nil, "", errLong
		case err == io.EOF:
			a.length = 0
			return data, host, nil
		case err != nil:
			return nil, "", b.end(a.bodyFault(err))
		}
	}
}

var (
	errLong  = saying(source.Unsupported, "it is too long")
	errPlain = saying(source.Unsupported, "it came over plain http, where anybody on the way may change it")
)
