// Command image writes an OCI image of malcolm, for amd64 and arm64, from
// programs that are built already. It needs no daemon and no network, and the
// same input gives the same bytes. The image has the program, certificates of
// authorities if they are given, and directories that belong to the user 65532,
// as whom it runs.
//
// go-containerregistry brings four modules, and none of them is in malcolm
// itself. Its program crane v0.21.6 is not used: it appends a layer without a
// network, but changes the user and the entry point of an image only in a
// registry.
package main

import (
	"archive/tar"
	"bytes"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// user is whom the program runs as. It has no name in the image.
const user = 65532

// Places in the image.
const (
	programPath = "usr/bin/malcolm"
	authorities = "etc/ssl/certs/ca-certificates.crt"
	statePath   = "var/lib/malcolm"
	cachePath   = "var/cache/malcolm"
	dataPath    = "data"
)

// A build is what an image is made of.
type build struct {
	programs    map[string][]byte // by architecture, such as "amd64"
	authorities []byte            // PEM; nil: without
	version     string
	revision    string
	time        time.Time
}

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "image: error:", err)
		os.Exit(1)
	}
}

func run(args []string, stdout io.Writer) error {
	var b build
	flags := flag.NewFlagSet("image", flag.ContinueOnError)
	out := flags.String("o", "malcolm.oci.tar", "the `file` to write")
	ca := flags.String("authorities", "", "a `file` with certificates of authorities, for https mirrors")
	epoch := flags.Int64("time", 0, "`seconds` since 1970: the time of all that is in the image")
	flags.StringVar(&b.version, "version", "", "the version, for the image's labels")
	flags.StringVar(&b.revision, "revision", "", "the revision, for the image's labels")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() == 0 {
		return fmt.Errorf("no program: name each as ARCHITECTURE=FILE")
	}
	b.time, b.programs = time.Unix(*epoch, 0).UTC(), make(map[string][]byte)
	for _, word := range flags.Args() {
		architecture, name, ok := strings.Cut(word, "=")
		if !ok {
			return fmt.Errorf("%q is not written ARCHITECTURE=FILE", word)
		}
		program, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		b.programs[architecture] = program
	}
	if *ca != "" {
		var err error
		if b.authorities, err = os.ReadFile(*ca); err != nil {
			return err
		}
	}
	index, err := b.index()
	if err != nil {
		return err
	}
	digest, err := index.Digest()
	if err != nil {
		return err
	}
	if err := write(*out, index, b.time); err != nil {
		return err
	}
	_, err = fmt.Fprintln(stdout, digest)
	return err
}

// index returns the images of all architectures, in the order of their names.
func (b build) index() (v1.ImageIndex, error) {
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	var architectures []string
	for a := range b.programs {
		architectures = append(architectures, a)
	}
	slices.Sort(architectures)
	for _, a := range architectures {
		image, err := b.image(a)
		if err != nil {
			return nil, err
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{
			Add:        image,
			Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: a}},
		})
	}
	return index, nil
}

// image returns the image of an architecture.
func (b build) image(architecture string) (v1.Image, error) {
	files, err := b.files(b.programs[architecture])
	if err != nil {
		return nil, err
	}
	open := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(files)), nil }
	layer, err := tarball.LayerFromOpener(open, tarball.WithMediaType(types.OCILayer))
	if err != nil {
		return nil, err
	}
	base := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	image, err := mutate.Append(base, mutate.Addendum{
		Layer: layer, History: v1.History{Created: v1.Time{Time: b.time}, CreatedBy: "malcolm " + b.version},
	})
	if err != nil {
		return nil, err
	}
	return mutate.ConfigFile(image, b.config(image, architecture))
}

// config returns the image's configuration, with the layers that it has.
func (b build) config(image v1.Image, architecture string) *v1.ConfigFile {
	config, err := image.ConfigFile()
	if err != nil {
		panic("image: internal error: " + err.Error()) // it was made a moment ago
	}
	config = config.DeepCopy()
	config.OS, config.Architecture, config.Created = "linux", architecture, v1.Time{Time: b.time}
	config.Config = v1.Config{
		User:       fmt.Sprintf("%d:%d", user, user),
		Entrypoint: []string{"/" + programPath},
		Cmd:        []string{"--help"},
		WorkingDir: "/" + dataPath,
		Env: []string{
			"PATH=/usr/bin", "XDG_STATE_HOME=/" + path.Dir(statePath), "XDG_CACHE_HOME=/" + path.Dir(cachePath),
		},
		Labels: map[string]string{
			"org.opencontainers.image.title":    "malcolm",
			"org.opencontainers.image.version":  b.version,
			"org.opencontainers.image.revision": b.revision,
			"org.opencontainers.image.created":  b.time.Format(time.RFC3339),
		},
	}
	return config
}

// files returns the image's files as a tar archive.
func (b build) files(program []byte) ([]byte, error) {
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	made := make(map[string]bool)
	var add func(name string, mode int64, owner int, content []byte) error
	add = func(name string, mode int64, owner int, content []byte) error {
		if parent := path.Dir(name); parent != "." && !made[parent] {
			if err := add(parent, 0o755, 0, nil); err != nil {
				return err
			}
		}
		made[name] = true
		h := &tar.Header{
			Name: name, Mode: mode, Uid: owner, Gid: owner, ModTime: b.time, Format: tar.FormatPAX,
			Typeflag: tar.TypeReg, Size: int64(len(content)),
		}
		if content == nil {
			h.Typeflag, h.Name = tar.TypeDir, name+"/"
		}
		if err := w.WriteHeader(h); err != nil {
			return err
		}
		_, err := w.Write(content)
		return err
	}
	if b.authorities != nil {
		if err := add(authorities, 0o644, 0, b.authorities); err != nil {
			return nil, err
		}
	}
	if err := add(programPath, 0o755, 0, program); err != nil {
		return nil, err
	}
	for _, dir := range []string{statePath, cachePath, dataPath} {
		if err := add(dir, 0o755, user, nil); err != nil {
			return nil, err
		}
	}
	return archive.Bytes(), w.Close()
}

// write writes an index as an archive of an OCI layout.
func write(name string, index v1.ImageIndex, at time.Time) error {
	dir, err := os.MkdirTemp("", "image-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if _, err := layout.Write(dir, index); err != nil {
		return err
	}
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	err = filepath.WalkDir(dir, func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		within, err := filepath.Rel(dir, file)
		if err != nil {
			return err
		}
		h := &tar.Header{Name: filepath.ToSlash(within), Mode: 0o644, ModTime: at, Size: int64(len(content)), Format: tar.FormatPAX}
		if err := w.WriteHeader(h); err != nil {
			return err
		}
		_, err = w.Write(content)
		return err
	})
	if err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	return os.WriteFile(name, archive.Bytes(), 0o644)
}
