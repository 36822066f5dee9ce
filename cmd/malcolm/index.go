package main

import (
	"context"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"malcolm/cmd/malcolm/flags"
	"malcolm/cmd/malcolm/human"
	"malcolm/cmd/malcolm/screen"
	"malcolm/cmd/malcolm/spool"
	"malcolm/cmd/malcolm/view"
	"malcolm/transfer/beside"
	"malcolm/transfer/localfile"
	"malcolm/transfer/metalink"
	"malcolm/transfer/scan"
	"malcolm/transfer/source/https"
)

type indexCmd struct {
	Path     flags.Path `arg:"" help:"The file or directory."`
	Output   flags.Path `short:"o" placeholder:"FILE" help:"Where to write the values; - is stdout. Default: beside the file or directory, as NAME.malcolm."`
	Force    bool       `help:"Replace a file that is there with other content."`
	Rehash   bool       `help:"Hash the files even if their hashes were kept: for disks that may have lost bits."`
	Metalink bool       `help:"Also write NAME.meta4: a Metalink 4 (RFC 5854) with sizes, SHA-256 and the addresses of --mirror, for aria2 and others."`
	Mirrors  []string   `name:"mirror" sep:"none" placeholder:"URL" help:"With --metalink: where the file or directory is on the web. May be repeated, best first. A file may be given by the directory it lies in: https://host/dir/."`
	PickFlags
	Interval flags.Interval `short:"i" default:"1" placeholder:"SECONDS" help:"Time between status reports; 0 turns them off. Default ${default}."`
	OutputFlags
}

// Help is what kong prints after the flags.
func (*indexCmd) Help() string {
	return `Examples:
  malcolm index data.mp4
  malcolm index photos/ --exclude '*.tmp' -o /srv/values/photos.malcolm
  malcolm index f.iso --metalink --mirror https://a.example/f.iso --mirror https://b.example/

Writes NAME.malcolm beside the file or directory: its checksum and the value of each chunk. Whoever has that file can check every chunk of NAME, wherever it comes from: malcolm verify NAME NAME.malcolm needs no network. The checksum and the path go to stdout.`
}

func (c *indexCmd) run(ctx context.Context, _ []string, t *terminal) error {
	if err := c.check(t); err != nil {
		return err
	}
	object, err := c.object()
	if err != nil {
		return c.failure(ctx, err)
	}
	values, err := c.valuesPath(object.Tree != nil)
	if err != nil {
		return err
	}
	if values != stdoutName {
		if err := probe(values); err != nil {
			return err
		}
	}
	var progress scan.Progress
	stop := view.Indexing(t.view(), c.Interval.Duration(), &progress)
	made, err := beside.Make(ctx, object, &progress)
	stop()
	if err != nil {
		return c.failure(ctx, err)
	}
	defer made.Close()
	done := view.Index{Path: string(c.Path), Made: made}
	if values == stdoutName {
		t.mute = true // there is no path
		out := stdoutWriter{Writer: spool.Again(t.raw), raw: t.raw}
		if err := made.Encode(stopping{ctx, out}); err != nil {
			return c.failure(ctx, err)
		}
		if err := out.close(ctx); err != nil {
			return err
		}
	} else if done.Values, err = place(ctx, values, c.Force, made.Encode); err != nil {
		return err
	}
	if c.Metalink {
		if done.Metalink, err = c.writeMetalink(ctx, t, object.Name, made, values); err != nil {
			return err
		}
	}
	view.Indexed(t, done)
	return nil
}

// check refuses flags that make no sense together.
func (c *indexCmd) check(t *terminal) error {
	file, _ := t.raw.(*os.File)
	switch toStdout := c.Output == stdoutName; {
	case c.Metalink && len(c.Mirrors) == 0:
		return usage("--metalink needs --mirror URL: the address of the file")
	case !c.Metalink && len(c.Mirrors) > 0:
		return usage("--mirror needs --metalink")
	case toStdout && c.Metalink:
		return usage("--metalink with -o -: the values already go to stdout")
	case toStdout && t.flags.JSON:
		return usage("--json with -o -: the values already go to stdout")
	case toStdout && screen.IsTerminal(file) && !c.Force:
		return &usageError{&terminalOutputError{}}
	case len(c.Mirrors) > metalink.MaxURLs:
		return usage("--mirror: at most " + human.Comma(metalink.MaxURLs) + " are possible")
	}
	for _, address := range c.Mirrors {
		u, other, err := metalink.CheckURL(address)
		switch {
		case err != nil:
			return usage("--mirror " + human.Quote(address) + ": " + err.Error())
		case other != "" || u == nil:
			return usage("--mirror " + human.Quote(address) + ": mirrors begin with https:// or http://")
		case u.User != nil:
			return usage("--mirror " + human.Quote(u.Redacted()) + ": everybody who has the Metalink could read the password")
		}
	}
	return nil
}

// object finds the file or directory to index.
func (c *indexCmd) object() (o beside.Object, err error) {
	path := string(c.Path)
	if isDirectory(path) {
		part, err := partOf(path)
		if err != nil {
			return o, err
		}
		o.Name, part.Name = part.Name, ""
		o.Tree = c.scan(c.Rehash)
		o.Tree.SHA256, o.Tree.Parts = c.Metalink, []scan.Part{part}
		return o, nil
	}
	if c.isUsed() {
		return o, usage(ofDirectories)
	}
	o.Name, o.Hashes = filepath.Base(path), scan.FileConfig{Cache: indexCache(), Rehash: c.Rehash, SHA256: c.Metalink}
	o.File, err = localfile.Offer(path)
	return o, err
}

// valuesPath returns where the values go.
func (c *indexCmd) valuesPath(isTree bool) (string, error) {
	out, err := string(c.Output), error(nil)
	if out == "" {
		out, err = nameBeside(string(c.Path))
	}
	if err != nil || out == stdoutName || !isTree || len(c.Include)+len(c.Exclude) > 0 {
		return out, err
	}
	dir, err1 := filepath.Abs(string(c.Path))
	whole, err2 := filepath.Abs(out)
	if rel, err := filepath.Rel(dir, whole); err1 == nil && err2 == nil && err == nil && filepath.IsLocal(rel) {
		return "", usage("-o " + human.ShellQuote(out) + " lies in the directory: it would have to list itself; leave it out with --exclude, or write it elsewhere")
	}
	return out, nil
}

// nameBeside returns the name of the file of values of a path.
func nameBeside(path string) (string, error) {
	path = filepath.Clean(path)
	if base := filepath.Base(path); base == "." || base == ".." {
		whole, err := filepath.Abs(path)
		if err != nil {
			return "", &localfile.Error{Op: "open", Path: path, Err: err}
		}
		path = whole
	}
	if filepath.Dir(path) == path {
		return "", usage("a place is needed for the values of " + human.ShellQuote(path) + ": nothing can lie beside it; add -o FILE")
	}
	return path + beside.Suffix, nil
}

// failure says that the object could not be indexed.
func (c *indexCmd) failure(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	e, ok := errors.AsType[*localfile.Error](err)
	switch {
	case ok && e.Op != "serve", isOutputError(err):
		return err
	case ok:
		return &localfile.Error{Op: "index", Path: e.Path, Err: e.Err}
	case errors.As(err, new(*usageError)):
		return err
	}
	return &localfile.Error{Op: "index", Path: string(c.Path), Err: err}
}

// isDirectoryURL reports whether an address is that of a directory: its path
// ends in a slash.
func isDirectoryURL(address string) bool {
	path, _, _ := strings.Cut(address, "?")
	return strings.HasSuffix(path, "/")
}

// belowURL returns the address of what lies at a path below an address, which
// was checked.
func belowURL(address, path string) string {
	u, err := url.Parse(address)
	if err != nil {
		return address
	}
	return https.Below(u, path).String()
}

// writeMetalink writes a Metalink beside the values. It says what cannot be in
// one.
func (c *indexCmd) writeMetalink(ctx context.Context, t *terminal, name string, made *beside.Made, values string) (view.Written, error) {
	var d metalink.Document
	for e := range made.Files() {
		f := metalink.File{Name: name, Size: e.Size, SHA256: e.SHA256}
		if made.Snapshot != nil {
			f.Name = name + "/" + e.Path
		}
		if err := metalink.CheckName(f.Name); err != nil {
			t.Warn("%s is not in the Metalink: %s", human.Quote(f.Name), err.Error())
			continue
		}
		for i, mirror := range c.Mirrors {
			switch {
			case made.Snapshot != nil:
				mirror = belowURL(mirror, e.Path)
			case isDirectoryURL(mirror):
				mirror = belowURL(mirror, name)
			}
			f.URLs = append(f.URLs, metalink.URL{Address: mirror, Priority: i + 1})
		}
		d.Files = append(d.Files, f)
	}
	if made.Snapshot != nil {
		if n := made.Snapshot.Totals(); n.Links+n.Directories > 0 {
			t.Say("a Metalink has files only: %s and %s are not in it", human.Plural(n.Links, "link", "links"), human.Plural(n.Directories, "empty directory", "empty directories"))
		}
	}
	b, err := d.Append(nil)
	path := strings.TrimSuffix(values, beside.Suffix) + metalink.Suffix
	if err == nil && len(d.Files) == 0 {
		err = errors.New("no file can be in it")
	}
	if err != nil {
		return view.Written{}, &localfile.Error{Op: "write", Path: path, Err: err}
	}
	return place(ctx, path, c.Force, writing(b))
}
