package certs

import (
	"crypto/tls"
	"os"
	"sync"
	"time"
)

// webCertLook is the least time between two looks whether a certificate was
// renewed.
const webCertLook = 10 * time.Second

// A WebCertificate is a certificate for browsers, in two files of PEM, which
// others renew. Any goroutine may call its methods. Make one with
// [LoadWebCertificate].
type WebCertificate struct {
	cert, key string

	mu     sync.Mutex
	have   tls.Certificate
	states [2]fileState // of cert and key when they were read
	looked time.Time
}

// A fileState tells whether a file is another one.
type fileState struct {
	modified time.Time
	size     int64
}

// LoadWebCertificate reads a certificate with its chain, and its key. The error
// names the files.
func LoadWebCertificate(cert, key string) (*WebCertificate, error) {
	w := &WebCertificate{cert: cert, key: key, states: statesOf(cert, key), looked: time.Now()}
	have, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return nil, err
	}
	w.have = have
	return w, nil
}

// statesOf returns the states of two files; the zero state says that there is
// no file.
func statesOf(paths ...string) (states [2]fileState) {
	for i, path := range paths {
		if info, err := os.Stat(path); err == nil {
			states[i] = fileState{info.ModTime(), info.Size()}
		}
	}
	return states
}

// Get returns the certificate as it is now: files that have changed are read
// again. While a renewal is under way they may not fit together: then Get
// returns the old certificate.
func (w *WebCertificate) Get() *tls.Certificate {
	w.mu.Lock()
	defer w.mu.Unlock()
	if time.Since(w.looked) >= webCertLook {
		w.looked = time.Now()
		w.renew()
	}
	have := w.have
	return &have
}

// renew reads files that have changed. The caller holds mu.
func (w *WebCertificate) renew() {
	now := statesOf(w.cert, w.key)
	if now == w.states {
		return
	}
	if have, err := tls.LoadX509KeyPair(w.cert, w.key); err == nil {
		w.have, w.states = have, now
	}
}
