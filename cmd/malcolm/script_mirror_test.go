package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"

	"malcolm/transfer/beside"
	"malcolm/transfer/manifest"
	"malcolm/transfer/tree"
	"malcolm/wire"
)

// The commands of scripts about mirrors:
//
//	mirror [-plain] [-wrong] [-whole] VAR DIR
//	                                  serve DIR over https, or http with -plain, on 127.0.0.1, and
//	                                  set VAR to its URL. A byte of each 100,000 is wrong with
//	                                  -wrong. There are no ranges with -whole. Its certificate is in $WORK/ca.pem, VARKEY is its key
//	                                  as --pin takes it, and what it was asked is in VAR.log, a line
//	                                  each: method, address, range, and what X-Token says
//	values PATH                       write PATH.malcolm, the values of a file or directory
//	sha256 VAR FILE                   set VAR to the SHA-256 of a file
//	lines FILE LINE...                write a file of lines

func (s *script) sha256(args []string) {
	s.want(args, 2, "sha256 VAR FILE")
	data, err := os.ReadFile(s.MkAbs(args[1]))
	s.Check(err)
	sum := sha256.Sum256(data)
	s.set(args[0], hex.EncodeToString(sum[:]))
}

func (s *script) lines(args []string) {
	if len(args) == 0 {
		s.Fatalf("usage: lines FILE LINE...")
	}
	s.Check(os.WriteFile(s.MkAbs(args[0]), []byte(strings.Join(args[1:], "\n")+"\n"), 0o600))
}

func (s *script) mirror(args []string) {
	plain, wrong, whole := false, false, false
	for len(args) > 0 && strings.HasPrefix(args[0], "-") {
		plain, wrong, whole = plain || args[0] == "-plain", wrong || args[0] == "-wrong", whole || args[0] == "-whole"
		args = args[1:]
	}
	s.want(args, 2, "mirror [-plain] [-wrong] [-whole] VAR DIR")
	name, dir := args[0], s.MkAbs(args[1])
	log, err := os.Create(s.MkAbs(name + ".log"))
	s.Check(err)
	var handler http.Handler = http.FileServer(http.Dir(dir))
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		line := r.Method + " " + r.URL.RequestURI() + " " + r.Header.Get("Range") + " " + r.Header.Get("X-Token") + "\n"
		_, _ = log.WriteString(line) // in one write
		if wrong {
			w = &lying{ResponseWriter: w}
		}
		if whole {
			r.Header.Del("Range")
		}
		handler.ServeHTTP(w, r)
	}))
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	if plain {
		server.Start()
	} else {
		server.StartTLS()
		cert := server.Certificate()
		s.Check(os.WriteFile(s.MkAbs("ca.pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}), 0o600))
		key := sha256.Sum256(cert.RawSubjectPublicKeyInfo)
		s.set(name+"KEY", "sha256//"+base64.StdEncoding.EncodeToString(key[:]))
	}
	s.set(name, server.URL)
	s.cleanup(func() {
		server.Close()
		log.Close()
	})
}

// A lying answer has wrong bytes.
type lying struct {
	http.ResponseWriter
	sent int
}

func (l *lying) Write(p []byte) (int, error) {
	p = bytes.Clone(p)
	for i := range p {
		if l.sent++; l.sent%100_000 == 0 {
			p[i]++
		}
	}
	return l.ResponseWriter.Write(p)
}

// values writes the file of values of a file, or of a directory of files.
func (s *script) values(args []string) {
	s.want(args, 1, "values PATH")
	path := s.MkAbs(args[0])
	info, err := os.Stat(path)
	s.Check(err)
	f := wire.ValuesFile{Offer: wire.Offer{Name: filepath.Base(path), ModTime: info.ModTime()}}
	if info.IsDir() {
		f.Offer.Kind = wire.KindTree
		var entries []wire.Entry
		s.Check(filepath.WalkDir(path, func(name string, e os.DirEntry, err error) error {
			if err != nil || e.IsDir() {
				return err
			}
			values, sum, size := s.hashes(name)
			if values.Len() > 1 {
				f.Values = append(f.Values, values.Bytes()...)
			}
			relative, err := filepath.Rel(path, name)
			entries = append(entries, wire.Entry{Path: filepath.ToSlash(relative), Size: size, Checksum: sum})
			return err
		}))
		_, err := tree.New(entries)
		s.Check(err)
		f.Listing, err = wire.AppendListing(nil, entries)
		s.Check(err)
		f.Offer.Size, f.Offer.Checksum = int64(len(f.Listing)), manifest.Sum(f.Listing)
	} else {
		values, sum, size := s.hashes(path)
		if f.Offer.Size, f.Offer.Checksum = size, sum; values.Len() > 1 {
			f.Values = values.Bytes()
		}
	}
	s.Check(os.WriteFile(path+beside.Suffix, f.Append(nil), 0o600))
}

func (s *script) hashes(path string) (wire.Values, [32]byte, int64) {
	data, err := os.ReadFile(path)
	s.Check(err)
	values, sum, err := manifest.Build(context.Background(), bytes.NewReader(data), int64(len(data)), manifest.BuildOptions{})
	s.Check(err)
	return values, sum, int64(len(data))
}
