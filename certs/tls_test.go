package certs

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
)

const testALPN = "malcolm/1"

// An outcome is what both ends of one connection saw.
type outcome struct {
	client, server       tls.ConnectionState
	clientErr, serverErr error
}

// A queuedConn is an end of a net.Pipe whose Write does not wait for the other
// end. Without it, two ends that refuse each other at once would wait forever.
type queuedConn struct {
	net.Conn
	queue chan []byte
}

func (c queuedConn) Write(b []byte) (int, error) {
	c.queue <- bytes.Clone(b)
	return len(b), nil
}

// send writes what is queued, until the pipe or the queue is closed.
func (c queuedConn) send() {
	for b := range c.queue {
		if _, err := c.Conn.Write(b); err != nil {
			return
		}
	}
}

// connect makes a TLS connection through a pipe. The server sends one byte and
// the client reads it, and with it whatever the server sent before. If the
// client's handshake succeeds but the server then refuses it, clientErr says
// so. A deadlock ends the test.
func connect(t *testing.T, client, server *tls.Config) (o outcome) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		pipeA, pipeB := net.Pipe()
		a, b := queuedConn{pipeA, make(chan []byte, 64)}, queuedConn{pipeB, make(chan []byte, 64)}
		var ends, senders sync.WaitGroup
		senders.Go(a.send)
		senders.Go(b.send)
		ends.Go(func() {
			conn := tls.Server(b, server)
			if o.serverErr = conn.Handshake(); o.serverErr == nil {
				_, o.serverErr = conn.Write([]byte{1})
			}
			o.server = conn.ConnectionState()
		})
		ends.Go(func() {
			conn := tls.Client(a, client)
			if o.clientErr = conn.Handshake(); o.clientErr == nil {
				_, o.clientErr = io.ReadFull(conn, make([]byte, 1))
			}
			o.client = conn.ConnectionState()
		})
		ends.Wait()
		pipeA.Close()
		pipeB.Close()
		close(a.queue)
		close(b.queue)
		senders.Wait()
	})
	return o
}

func mustServerTLS(t *testing.T, id *Identity) *tls.Config {
	t.Helper()
	conf, err := id.ServerTLS(testNow, testALPN)
	if err != nil {
		t.Fatal(err)
	}
	return conf
}

// stock is a foreign TLS configuration that accepts anything.
func stock(certs ...tls.Certificate) *tls.Config {
	return &tls.Config{
		NextProtos:         []string{testALPN},
		Certificates:       certs,
		InsecureSkipVerify: true,
	}
}

func certificateOf(t *testing.T, key crypto.Signer) tls.Certificate {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: testNow, NotAfter: testNow.AddDate(1, 0, 0)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func TestHandshake(t *testing.T) {
	id := mustGenerate(t)
	var checked []ServerID
	client := ClientTLS(testALPN, func(id ServerID) error {
		checked = append(checked, id)
		return nil
	})
	server := mustServerTLS(t, id)
	var hello *tls.ClientHelloInfo
	server.GetConfigForClient = func(h *tls.ClientHelloInfo) (*tls.Config, error) {
		hello = h
		return nil, nil
	}
	o := connect(t, client, server)
	if o.clientErr != nil || o.serverErr != nil {
		t.Fatalf("client: %v, server: %v", o.clientErr, o.serverErr)
	}
	if got, err := PeerID(o.client); err != nil || got != id.ID() {
		t.Errorf("PeerID: got %s, %v; want %s", got, err, id.ID())
	}
	if len(checked) != 1 || checked[0] != id.ID() {
		t.Errorf("check was called with %v, want once with %v", checked, id.ID())
	}
	if o.client.Version != tls.VersionTLS13 || o.client.NegotiatedProtocol != testALPN {
		t.Errorf("got version %#x and protocol %q", o.client.Version, o.client.NegotiatedProtocol)
	}
	if hello.ServerName != "malcolm" {
		t.Errorf("server name sent: got %q, want malcolm", hello.ServerName)
	}
	if o := connect(t, ClientTLS(testALPN, nil), server); o.clientErr != nil {
		t.Errorf("nil check: %v", o.clientErr)
	}
	if _, err := PeerID(o.server); err == nil {
		t.Error("PeerID of a client without certificate: no error")
	}
}

type refusal struct{ id ServerID }

func (r *refusal) Error() string { return "refused " + r.id.Short() }

func TestCheckStopsHandshake(t *testing.T) {
	sentinel := errors.New("not this one")
	id := mustGenerate(t)
	o := connect(t, ClientTLS(testALPN, func(id ServerID) error {
		return errors.Join(sentinel, &refusal{id})
	}), mustServerTLS(t, id))
	if !errors.Is(o.clientErr, sentinel) {
		t.Errorf("got %v, want one that is %v", o.clientErr, sentinel)
	}
	if r, ok := errors.AsType[*refusal](o.clientErr); !ok || r.id != id.ID() {
		t.Errorf("got %v, want one that is a *refusal of %s", o.clientErr, id.ID())
	}
	if o.serverErr == nil || o.client.HandshakeComplete || o.server.HandshakeComplete {
		t.Errorf("the handshake went on: server %v", o.serverErr)
	}
	if id, err := PeerID(o.client); err == nil {
		t.Errorf("PeerID after the refusal: got %s, want an error", id)
	}
}

func TestServerRefuses(t *testing.T) {
	server := mustServerTLS(t, mustGenerate(t))
	with := func(change func(*tls.Config)) *tls.Config {
		conf := stock()
		change(conf)
		return conf
	}
	if o := connect(t, stock(), server); o.serverErr != nil || o.clientErr != nil {
		t.Fatalf("a client that asks for the right things: %v, %v", o.clientErr, o.serverErr)
	}
	for name, c := range map[string]struct {
		client *tls.Config
		want   string
	}{
		"TLS 1.2":    {with(func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }), "unsupported versions"},
		"other ALPN": {with(func(c *tls.Config) { c.NextProtos = []string{"h3", "malcolm/2"} }), "unsupported application protocols"},
		"no ALPN":    {with(func(c *tls.Config) { c.NextProtos = nil }), "did not agree on a protocol"},
	} {
		o := connect(t, c.client, server)
		if o.serverErr == nil || !strings.Contains(o.serverErr.Error(), c.want) {
			t.Errorf("%s: server got %v, want %q", name, o.serverErr, c.want)
		}
		if o.clientErr == nil {
			t.Errorf("%s: client got no error", name)
		}
	}
}

func TestClientRefuses(t *testing.T) {
	id := mustGenerate(t)
	cert, err := id.Certificate(testNow)
	if err != nil {
		t.Fatal(err)
	}
	ecdsaKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	with := func(change func(*tls.Config)) *tls.Config {
		conf := stock(cert)
		change(conf)
		return conf
	}
	chain := cert
	chain.Certificate = append(chain.Certificate[:1:1], certificateOf(t, ecdsaKey).Certificate[0])
	impostor := cert
	impostor.PrivateKey = mustGenerate(t).key

	if o := connect(t, ClientTLS(testALPN, nil), stock(cert)); o.serverErr != nil || o.clientErr != nil {
		t.Fatalf("a server that does the right things: %v, %v", o.clientErr, o.serverErr)
	}
	for name, c := range map[string]struct {
		server *tls.Config
		want   string
	}{
		"TLS 1.2":    {with(func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }), "protocol version"},
		"other ALPN": {with(func(c *tls.Config) { c.NextProtos = []string{"h3"} }), "no application protocol"},
		"no ALPN":    {with(func(c *tls.Config) { c.NextProtos = nil }), "did not agree on a protocol"},
		"ECDSA":      {stock(certificateOf(t, ecdsaKey)), "type ECDSA, want Ed25519"},
		"RSA":        {stock(certificateOf(t, rsaKey)), "type RSA, want Ed25519"},
		"chain":      {stock(chain), "2 certificates, want 1"},
		"impostor":   {stock(impostor), "invalid signature"},
	} {
		checked := false
		o := connect(t, ClientTLS(testALPN, func(ServerID) error {
			checked = true
			return nil
		}), c.server)
		if o.clientErr == nil || !strings.Contains(o.clientErr.Error(), c.want) {
			t.Errorf("%s: client got %v, want %q", name, o.clientErr, c.want)
		}
		if checked && name != "impostor" { // its lie shows after the certificate
			t.Errorf("%s: check was asked for an ID", name)
		}
		if id, err := PeerID(o.client); err == nil {
			t.Errorf("%s: PeerID is %s, want an error", name, id)
		}
	}
}

// TestEveryHandshakeIsChecked connects twice to a server that offers to resume.
func TestEveryHandshakeIsChecked(t *testing.T) {
	cert, err := mustGenerate(t).Certificate(testNow)
	if err != nil {
		t.Fatal(err)
	}
	server := stock(cert)
	// First check that this server resumes with a client that wants to.
	eager := stock()
	eager.ServerName, eager.ClientSessionCache = "x", tls.NewLRUClientSessionCache(1)
	connect(t, eager, server)
	if o := connect(t, eager, server); !o.client.DidResume {
		t.Fatalf("the test's server does not resume: %v, %v", o.clientErr, o.serverErr)
	}
	checks := 0
	client := ClientTLS(testALPN, func(ServerID) error {
		checks++
		return nil
	})
	for want := 1; want <= 3; want++ {
		o := connect(t, client, server)
		if o.clientErr != nil || o.client.DidResume || checks != want {
			t.Errorf("handshake %d: error %v, resumed %v, %d checks", want, o.clientErr, o.client.DidResume, checks)
		}
	}
}

// A countingCache counts the tickets that a client is given.
type countingCache struct{ puts int }

func (c *countingCache) Get(string) (*tls.ClientSessionState, bool) { return nil, false }
func (c *countingCache) Put(string, *tls.ClientSessionState)        { c.puts++ }

func TestServerSendsNoTickets(t *testing.T) {
	server := mustServerTLS(t, mustGenerate(t))
	cache := &countingCache{}
	client := stock()
	client.ServerName, client.ClientSessionCache = "x", cache
	if o := connect(t, client, stock(server.Certificates...)); o.clientErr != nil || cache.puts == 0 {
		t.Fatalf("the test does not see tickets: %v", o.clientErr)
	}
	cache.puts = 0
	if o := connect(t, client, server); o.clientErr != nil || cache.puts != 0 {
		t.Errorf("got %d tickets, %v", cache.puts, o.clientErr)
	}
}

func TestPeerIDRefusesSecondEncoding(t *testing.T) {
	cert, err := mustGenerate(t).Certificate(testNow)
	if err != nil {
		t.Fatal(err)
	}
	cs := tls.ConnectionState{HandshakeComplete: true, PeerCertificates: []*x509.Certificate{cert.Leaf}}
	if _, err := PeerID(cs); err != nil {
		t.Fatal(err)
	}
	other := *cert.Leaf
	other.RawSubjectPublicKeyInfo = append([]byte(nil), other.RawSubjectPublicKeyInfo...)
	other.RawSubjectPublicKeyInfo[len(other.RawSubjectPublicKeyInfo)-ed25519.PublicKeySize-1] = 1 // unused bits
	cs.PeerCertificates[0] = &other
	if id, err := PeerID(cs); err == nil {
		t.Errorf("got %s, want an error", id)
	}
	if _, err := PeerID(tls.ConnectionState{PeerCertificates: []*x509.Certificate{cert.Leaf}}); err == nil {
		t.Error("PeerID before the handshake is complete: no error")
	}
}
