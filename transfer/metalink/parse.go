package metalink

import (
	"bytes"
	"cmp"
	"encoding/xml"
	"errors"
	"io"
	"slices"
	"strings"

	"malcolm/wire"
)

// maxText bounds the text of an element that is read, in bytes: an address and
// the white space around it.
const maxText = 2 * MaxURLLen

// mostOthers bounds [File.Others].
const mostOthers = 5

// Parse reads a document. The error is an [*Error].
func Parse(b []byte) (Document, error) {
	if len(b) > MaxLen {
		return Document{}, refuse("%d bytes, at most %d are allowed", len(b), MaxLen)
	}
	p := parser{xml.NewDecoder(bytes.NewReader(b))}
	d, err := p.document()
	if err == nil {
		return d, nil
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return Document{}, e
	}
	// The decoder's own words quote the document.
	line, _ := p.InputPos()
	return Document{}, refuse("it is no XML that malcolm reads, at line %d", line)
}

// A parser is a decoder of XML, with what a Metalink needs.
type parser struct{ *xml.Decoder }

// document reads everything.
func (p parser) document() (d Document, err error) {
	if err := p.root(); err != nil {
		return d, err
	}
	err = p.each(func(e xml.StartElement) error {
		if !is(e, "file") {
			return p.Skip()
		}
		if len(d.Files) == MaxFiles {
			return refuse("more than %d files", MaxFiles)
		}
		f, err := p.file(e)
		if err != nil {
			return err
		}
		d.Files = append(d.Files, f)
		return nil
	})
	if err != nil {
		return d, err
	}
	if len(d.Files) == 0 {
		return d, refuse("it names no file")
	}
	return d, p.end()
}

// root finds the outermost element.
func (p parser) root() error {
	for {
		t, err := p.Token()
		if err == io.EOF {
			return refuse("it is empty")
		}
		if err != nil {
			return err
		}
		e, ok := t.(xml.StartElement)
		switch {
		case !ok:
		case is(e, "metalink"):
			return nil
		case e.Name.Local == "metalink":
			return refuse("it is a Metalink of another version: malcolm reads version 4 (RFC 5854)")
		default:
			return refuse("it is XML, and no Metalink")
		}
	}
}

// end refuses elements behind the outermost one.
func (p parser) end() error {
	for {
		t, err := p.Token()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if _, ok := t.(xml.StartElement); ok {
			return refuse("it has two outermost elements")
		}
	}
}

func is(e xml.StartElement, name string) bool {
	return e.Name.Space == namespace && e.Name.Local == name
}

func attribute(e xml.StartElement, name string) string {
	for _, a := range e.Attr {
		if a.Name.Space == "" && a.Name.Local == name {
			return a.Value
		}
	}
	return ""
}

// each calls do for the elements in an element. do reads each to its end.
func (p parser) each(do func(xml.StartElement) error) error {
	for {
		t, err := p.Token()
		if err != nil {
			return err
		}
		switch e := t.(type) {
		case xml.StartElement:
			if err := do(e); err != nil {
				return err
			}
		case xml.EndElement:
			return nil
		}
	}
}

// text reads the text of an element to its end, without the white space around
// it.
func (p parser) text() (string, error) {
	var b strings.Builder
	for {
		t, err := p.Token()
		if err != nil {
			return "", err
		}
		switch t := t.(type) {
		case xml.CharData:
			if b.Len()+len(t) > maxText {
				return "", refuse("an element of more than %d bytes", maxText)
			}
			b.Write(t)
		case xml.StartElement:
			return "", refuse("an element where text belongs")
		case xml.EndElement:
			return strings.TrimSpace(b.String()), nil
		}
	}
}

// file reads a file.
func (p parser) file(start xml.StartElement) (File, error) {
	f := File{Name: attribute(start, "name"), Size: -1}
	if err := CheckName(f.Name); err != nil {
		return f, err
	}
	err := p.each(func(e xml.StartElement) error {
		switch {
		case is(e, "size"):
			return p.size(&f)
		case is(e, "hash") && strings.EqualFold(attribute(e, "type"), "sha-256"):
			return p.hash(&f)
		case is(e, "url"):
			return p.url(&f, e)
		}
		return p.Skip()
	})
	slices.SortStableFunc(f.URLs, func(a, b URL) int { return cmp.Compare(a.Priority, b.Priority) })
	return f, err
}

func (p parser) size(f *File) error {
	text, err := p.text()
	if err != nil {
		return err
	}
	n, ok := parseNumber(text, 0, wire.MaxFileSize)
	switch {
	case !ok:
		return refuse("a size that no file has")
	case f.Size >= 0 && f.Size != n:
		return refuse("a file of two sizes")
	}
	f.Size = n
	return nil
}

func (p parser) hash(f *File) error {
	text, err := p.text()
	if err != nil {
		return err
	}
	sum, err := parseSum(text)
	switch {
	case err != nil:
		return err
	case f.SHA256 != nil && *f.SHA256 != *sum:
		return refuse("a file of two sha-256")
	}
	f.SHA256 = sum
	return nil
}

func (p parser) url(f *File, e xml.StartElement) error {
	priority := int64(LastPriority)
	if text := attribute(e, "priority"); text != "" {
		var ok bool
		if priority, ok = parseNumber(text, 1, LastPriority); !ok {
			return refuse("a priority that is not 1 to %d", LastPriority)
		}
	}
	text, err := p.text()
	if err != nil {
		return err
	}
	_, other, err := CheckURL(text)
	switch {
	case err != nil:
		return err
	case other != "":
		if len(f.Others) < mostOthers && !slices.Contains(f.Others, other) {
			f.Others = append(f.Others, other)
		}
		return nil
	case len(f.URLs) == MaxURLs:
		return refuse("more than %d addresses of one file", MaxURLs)
	}
	f.URLs = append(f.URLs, URL{text, int(priority)})
	return nil
}
