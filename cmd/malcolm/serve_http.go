package main

import (
	"crypto/tls"
	"fmt"
	"net"

	"malcolm/certs"
	"malcolm/cmd/malcolm/flags"
	"malcolm/cmd/malcolm/view"
	"malcolm/transfer/localfile"
	"malcolm/transfer/serve"
	"malcolm/transport"
)

// HTTPFlags are the flags of serve for browsers, curl and aria2.
type HTTPFlags struct {
	HTTPS   bool         `name:"https" group:"HTTP" help:"On the TCP ports, answer browsers, curl and aria2 too. With --token they need signed links: malcolm link."`
	TLSCert flags.Path   `name:"tls-cert" group:"HTTP" placeholder:"FILE" help:"Certificate with its chain, in PEM, for browsers; read again when it is renewed. Default: one of serve's identity, which no browser trusts and curl can pin."`
	TLSKey  flags.Path   `name:"tls-key" group:"HTTP" placeholder:"FILE" help:"The key of --tls-cert, in PEM."`
	SHA256  bool         `name:"sha256" group:"HTTP" help:"Compute SHA-256s too, for clients that check them (Repr-Digest; aria2). They are kept with the other hashes."`
	HTTP    flags.Listen `name:"http" group:"HTTP" placeholder:"[ADDR:]PORT" help:"Answer HTTP without TLS there, for a reverse proxy. Without ADDR on this machine alone."`

	given net.Listener // takes the place of --http; nil: nothing does
}

// check refuses flags that contradict each other.
func (f *HTTPFlags) check(noTCP bool) error {
	switch {
	case f.HTTPS && noTCP:
		return usage("--https needs the TCP ports, which --no-tcp leaves out")
	case (f.TLSCert == "") != (f.TLSKey == ""):
		return usage("--tls-cert and --tls-key belong together")
	case f.TLSCert != "" && !f.HTTPS:
		return usage("--tls-cert needs --https")
	}
	return nil
}

// A plainListenError says that the address for HTTP could not be bound.
type plainListenError struct {
	addr   string
	reason string
}

func (e *plainListenError) Error() string { return fmt.Sprintf("--http %s: %s", e.addr, e.reason) }

// http returns how HTTP is answered. The commands of its pages are those that
// show prints.
func (f *HTTPFlags) http(show *view.Serve) (h serve.HTTP, err error) {
	h = serve.HTTP{Secure: f.HTTPS, Commands: show.Commands, Reopen: f.openHTTP}
	if f.TLSCert != "" {
		cert, err := certs.LoadWebCertificate(string(f.TLSCert), string(f.TLSKey))
		if err != nil {
			return h, &localfile.Error{Op: "load the certificate", Path: string(f.TLSCert), Err: err}
		}
		h.Certificate = func() *tls.Certificate { return cert.Get() }
	}
	switch {
	case f.given != nil:
		h.Plain, h.Reopen = f.given, nil
	case f.HTTP.IsValid():
		h.Plain, err = f.openHTTP(nil)
		if err != nil {
			return h, &plainListenError{f.HTTP.String(), bindReason(err)}
		}
	}
	return h, nil
}

// openHTTP opens the socket for HTTP without TLS; again is nil the first time.
func (f *HTTPFlags) openHTTP(again net.Addr) (net.Listener, error) {
	port := f.HTTP.Port()
	if at, ok := again.(*net.TCPAddr); ok {
		port = uint16(at.Port)
	}
	return transport.OpenTCP(f.HTTP.Addr().String(), port)
}
