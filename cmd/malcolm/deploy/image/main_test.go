package main

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// imageOf builds an image of two programs and returns its digest and its bytes.
func imageOf(t *testing.T, args ...string) (digest string, image []byte) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"amd64": "one program", "arm64": "another", "ca": "authorities"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	out := filepath.Join(dir, "image.tar")
	var stdout bytes.Buffer
	all := append([]string{"-o", out, "-authorities", filepath.Join(dir, "ca"), "-time", "1700000000", "-version", "v1", "-revision", "abc"}, args...)
	all = append(all, "arm64="+filepath.Join(dir, "arm64"), "amd64="+filepath.Join(dir, "amd64"))
	if err := run(all, &stdout); err != nil {
		t.Fatal(err)
	}
	image, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(stdout.String()), image
}

// TestStable: the same input gives the same bytes, and another time others.
func TestStable(t *testing.T) {
	digest, image := imageOf(t)
	if again, same := imageOf(t); again != digest || !bytes.Equal(image, same) {
		t.Errorf("built twice: %s and %s", digest, again)
	}
	if other, _ := imageOf(t, "-time", "1700000001"); other == digest {
		t.Error("the time is not in the image")
	}
	if !strings.HasPrefix(digest, "sha256:") || len(digest) != len("sha256:")+64 {
		t.Errorf("the digest is %q", digest)
	}
}

// blobs returns the files of an archive, by their names.
func blobs(t *testing.T, archive []byte) map[string][]byte {
	t.Helper()
	files := make(map[string][]byte)
	for r := tar.NewReader(bytes.NewReader(archive)); ; {
		h, err := r.Next()
		if err == io.EOF {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.ModTime.Unix() != 1700000000 {
			t.Errorf("%s is of %v", h.Name, h.ModTime.UTC().Format(time.RFC3339))
		}
		if files[h.Name], err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
	}
}

// TestRunsAsNobody: both images run malcolm as 65532, and their directories for
// data are that user's.
func TestRunsAsNobody(t *testing.T) {
	_, image := imageOf(t)
	files := blobs(t, image)
	type reference struct {
		Digest   string
		Platform struct{ OS, Architecture string }
	}
	var index struct{ Manifests []reference }
	read := func(name string, into any) {
		text, ok := files[name]
		if !ok {
			t.Fatalf("%s is not there", name)
		}
		if err := json.Unmarshal(text, into); err != nil {
			t.Fatal(err)
		}
	}
	blob := func(digest string) string { return "blobs/sha256/" + strings.TrimPrefix(digest, "sha256:") }
	read("index.json", &index)
	if len(index.Manifests) != 2 || index.Manifests[0].Platform.Architecture != "amd64" || index.Manifests[1].Platform.Architecture != "arm64" {
		t.Fatalf("index.json has %+v", index)
	}
	for _, of := range index.Manifests {
		var manifest struct {
			Config reference
			Layers []reference
		}
		read(blob(of.Digest), &manifest)
		var config struct {
			OS, Architecture string
			Config           struct {
				User       string
				Entrypoint []string
				WorkingDir string
			}
		}
		read(blob(manifest.Config.Digest), &config)
		if config.OS != "linux" || config.Architecture != of.Platform.Architecture {
			t.Errorf("%s is of %s/%s", of.Platform.Architecture, config.OS, config.Architecture)
		}
		if c := config.Config; c.User != "65532:65532" || c.Entrypoint[0] != "/usr/bin/malcolm" || c.WorkingDir != "/data" {
			t.Errorf("%s: %+v", of.Platform.Architecture, c)
		}
		if len(manifest.Layers) != 1 || len(files[blob(manifest.Layers[0].Digest)]) == 0 {
			t.Errorf("%s: %d layers", of.Platform.Architecture, len(manifest.Layers))
		}
	}
	b := build{authorities: []byte("x"), time: time.Unix(1700000000, 0)}
	layer, err := b.files([]byte("program"))
	if err != nil {
		t.Fatal(err)
	}
	owners := make(map[string]int)
	for r := tar.NewReader(bytes.NewReader(layer)); ; {
		h, err := r.Next()
		if err != nil {
			break
		}
		if _, ok := owners[h.Name]; ok {
			t.Errorf("%s is there twice", h.Name)
		}
		owners[h.Name] = h.Uid
	}
	for name, want := range map[string]int{
		"usr/bin/malcolm": 0, "etc/ssl/certs/ca-certificates.crt": 0, "etc/": 0, "var/lib/malcolm/": user, "var/cache/malcolm/": user, "data/": user,
	} {
		if got, ok := owners[name]; !ok || got != want {
			t.Errorf("%s belongs to %d, %v, want %d", name, got, ok, want)
		}
	}
}

func TestUsage(t *testing.T) {
	for _, args := range [][]string{{}, {"amd64"}, {"amd64=missing"}, {"-authorities", "missing", "amd64=main.go"}, {"-x"}} {
		if err := run(append([]string{"-o", filepath.Join(t.TempDir(), "o")}, args...), io.Discard); err == nil {
			t.Errorf("%q: no error", args)
		}
	}
}
